# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A robot with a free base on legs: what all of them share.

Isaac Lab's order of a step is kept: rewards and ends first, then resets, then observations. The observation that comes
with ``done`` is therefore the first one of the next episode. The reference resets one step later and spends an action
on the dead robot. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import warp as wp

from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.joints import indices_of
from cpo_lab.tasks.layout import assemble
from cpo_lab.tasks.legs.env_cfg import LegsEnvCfg
from cpo_lab.tasks.quarantine import Bounds
from cpo_lab.tasks.rotations import rotate_back


class LegsEnv(TaskEnv):
    """Walk or run; a robot's class adds actions, rules and observations.

    Shapes: N environments, J joints of the robot, all in the task's order.
    """

    cfg: LegsEnvCfg

    bounds: ClassVar[Bounds] = Bounds(distance=1000.0)
    """What is absurd: a robot may run as far as an episode lasts."""

    def __init__(self, cfg: LegsEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self.robot = self.scene["robot"]
        self.layout = cfg.layout()
        """The observation's terms."""
        self.joints = indices_of(cfg.joints(), self.robot.joint_names, "joint").to(self.device)
        """Where the task's joints stand in the engine's order [J]."""
        self.joint_ids = wp.from_torch(self.joints.int().contiguous(), dtype=wp.int32)
        """The same as Isaac Lab's calls take it."""
        limits = self.robot.data.joint_limits.torch[0, self.joints]
        self.lower, self.upper = limits[:, 0].clone(), limits[:, 1].clone()
        """Joint limits [rad], shape [J] each."""
        self.default = self.robot.data.default_joint_pos.torch[0, self.joints].clone()
        """Default joint positions [rad], shape [J]."""
        self.last_actions = torch.zeros(self.num_envs, cfg.action_space, device=self.device)
        """Clipped actions of the last step [N, J]; zeros after a reset."""
        self.extras["log"] = {}
        self._make_state()

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        raise NotImplementedError

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        # in place: a runner steps in inference mode, and a reset outside it must still be able to write
        torch.clamp(actions, -1.0, 1.0, out=self.last_actions)
        self.command(self.last_actions)

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics."""

    def command(self, actions: torch.Tensor) -> None:
        """Hand actions [N, J] in [-1, 1] to the motors, which keep them."""
        raise NotImplementedError

    # -----------------------------------------------------------------------------------------------------------------
    # state
    # -----------------------------------------------------------------------------------------------------------------

    def read(self, values: Any) -> torch.Tensor:
        """Return a joint quantity of the articulation's data in the task's order, shape [N, J]."""
        return values.torch[:, self.joints]

    @property
    def clip(self) -> float:
        """Largest magnitude of an observation."""
        return float("inf")

    @property
    def height(self) -> torch.Tensor:
        """Height of the base's frame above the ground [m], shape [N]."""
        return self.robot.data.root_link_pose_w.torch[:, 2] - self.scene.env_origins[:, 2]

    def base_velocity(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return linear [m/s] and angular velocity [rad/s] of the base in its own axes, shape [N, 3] each."""
        rotation = self.robot.data.root_link_pose_w.torch[:, 3:]
        linear, angular = self.robot.data.root_com_vel_w.torch.split(3, dim=-1)
        return rotate_back(rotation, linear), rotate_back(rotation, angular)

    def _get_time_outs(self) -> torch.Tensor:
        return self.episode_length_buf >= self.max_episode_length - 1

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        self.last_actions[env_ids] = 0.0
        self.place(env_ids)
        joints = len(self.joints)
        uniform = torch.rand(len(env_ids), 2 * joints, device=self.device)
        positions = self._start_positions(uniform[:, :joints])
        velocities = self.cfg.joint_velocity_noise * (2.0 * uniform[:, joints:] - 1.0)
        self.robot.write_joint_position_to_sim_index(position=positions, joint_ids=self.joint_ids, env_ids=env_ids)
        self.robot.write_joint_velocity_to_sim_index(velocity=velocities, joint_ids=self.joint_ids, env_ids=env_ids)

    def _start_positions(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return joint positions at a reset [rad], shape [n, J], from numbers in [0, 1] of the same shape."""
        raise NotImplementedError

    def place(self, env_ids: torch.Tensor, lift: float = 0.0) -> None:
        """Put the bases of environments [n] where they start, upright and at rest, ``lift`` higher [m]."""
        pose = self.robot.data.default_root_pose.torch[env_ids].clone()
        pose[:, :3] += self.scene.env_origins[env_ids]
        pose[:, 2] += lift
        self.robot.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)
        still = torch.zeros(len(env_ids), 6, device=self.device)
        self.robot.write_root_velocity_to_sim_index(root_velocity=still, env_ids=env_ids)

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        self._log()
        return {"policy": assemble(self.layout, self._observed(), self.clip)}

    def _observed(self) -> dict[str, torch.Tensor]:
        """Unscaled values of all terms of the layout."""
        raise NotImplementedError

    def _log(self) -> None:
        """Tell ``extras["log"]`` how the task goes."""

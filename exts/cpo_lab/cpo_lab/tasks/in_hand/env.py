# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""In-hand reorientation of an object (reference: IsaacGymEnvs ``tasks/shadow_hand.py``): what all hands share.

Isaac Lab's order of a step is kept: rewards and ends first, then resets, then observations. The observation that comes
with ``done`` is therefore the first one of the next episode, where the reference shows the terminal state. A reached
goal, however, stays in the observation of the step that reached it, as in the reference, and is replaced at the start
of the next step. Nothing here waits for the device: goals are drawn for all environments and selected by a mask.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from cpo_lab.assets.cube import MarkedCubeCfg
from cpo_lab.assets.nucleus import fit_variant
from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.in_hand.env_cfg import InHandEnvCfg
from cpo_lab.tasks.in_hand.goal_marker import GoalMarker
from cpo_lab.tasks.in_hand.hand_map import HandMap
from cpo_lab.tasks.in_hand.rules import (
    random_goal_rotation,
    random_joint_positions,
    relative_rotation,
    reorient_reward,
    rotation_angle,
)
from cpo_lab.tasks.joints import unscale
from cpo_lab.tasks.layout import assemble
from cpo_lab.tasks.physical_contract import InHand, JointGroup, OnSurface


class InHandEnv(TaskEnv):
    """Turn an object in a hand to one goal orientation after the other; a hand's class adds what only it observes.

    ``extras["episode_metrics"]["successes"]`` holds, per environment, the goals reached in its last finished episode.
    Shapes: N environments, J joints and A actions of the hand.
    """

    cfg: InHandEnvCfg

    def __init__(self, cfg: InHandEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self.hand, self.object = self.scene["robot"], self.scene["object"]
        self.rules = cfg.rules()
        """Constants of reward, success and end."""
        self.layout = cfg.layout()
        """The observation's terms."""
        self.map = HandMap(self.hand, cfg.names, self.device)
        """The hand in the task's order and signs."""
        self._start_positions = self._default_positions()
        self._make_state()
        self._goal_marker: GoalMarker | None = None
        self.set_debug_vis(bool(self.sim.visualizers))
        self.extras["log"] = {}
        self.extras["episode_metrics"] = {"successes": self.episode_successes}

    @staticmethod
    def fit_to_engine(cfg: InHandEnvCfg) -> list[str]:
        """Take the description of the hand that the engine reads, if its file holds several."""
        return fit_variant(cfg.scene.robot, cfg.sim.physics)

    def _default_positions(self) -> torch.Tensor:
        """Joint positions that start positions are drawn around [rad], shape [J]."""
        return self.map.default.clone()

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        n, device = self.num_envs, self.device
        self.targets = self._start_positions.expand(n, -1).clone()
        """Commanded joint positions [N, J], the task's order and sign, radians."""
        self.motors = self.map.motor_targets(self.targets)
        """Commanded motor targets [N, A], order of the actions, radians."""
        self.last_actions = torch.zeros(n, self.cfg.action_space, device=device)
        """Clipped actions of the last step [N, A]; zeros after a reset."""
        self.goal_rotation = torch.zeros(n, 4, device=device)
        """Goal orientation [N, 4], xyzw."""
        self.goal_rotation[:, 3] = 1.0
        start = torch.tensor(self.cfg.scene.object.init_state.pos, device=device)
        self.goal_position = (start + torch.tensor(self.cfg.goal_offset, device=device)).repeat(n, 1)
        """Goal position [N, 3] in the environment frame, metres."""
        self.goal_reached = torch.zeros(n, dtype=torch.bool, device=device)
        """Environments that get a new goal at the start of the next step [N]."""
        self.successes = torch.zeros(n, device=device)
        """Goals reached in the running episode [N]."""
        self.episode_successes = torch.zeros(n, device=device)
        """Goals reached in the last finished episode [N], 0 before one has finished."""
        self.distance = torch.zeros(n, device=device)
        """Object to goal position after the last step [N], metres."""
        self.angle = torch.zeros(n, device=device)
        """Object to goal orientation after the last step [N], radians."""
        self._has_stepped = False

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self._renew_goals(self.goal_reached)
        # in place here and below: a runner steps in inference mode, and a reset outside it must still be able to write
        torch.clamp(actions, -1.0, 1.0, out=self.last_actions)
        motors = self.map.scale(self.last_actions)
        if self.cfg.action_smoothing != 1.0:
            motors = torch.lerp(self.motors, motors, self.cfg.action_smoothing)
        self.motors.copy_(motors)
        # once per policy step: the engine keeps the command, and every write of it costs about 3 % of a step on a CPU
        self.map.command(self.motors, self.targets)

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics."""

    def _renew_goals(self, mask: torch.Tensor) -> None:
        """Draw a new goal orientation where ``mask`` [N] is set."""
        uniform = 2.0 * torch.rand(self.num_envs, 2, device=self.device) - 1.0
        renewed = torch.where(mask.unsqueeze(-1), random_goal_rotation(uniform), self.goal_rotation)
        self.goal_rotation.copy_(renewed)

    # -----------------------------------------------------------------------------------------------------------------
    # rewards and ends
    # -----------------------------------------------------------------------------------------------------------------

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        pose = self.object.data.root_link_pose_w.torch
        position = pose[:, :3] - self.scene.env_origins
        self.distance = (position - self.goal_position).norm(dim=-1)
        self.angle = rotation_angle(relative_rotation(pose[:, 3:], self.goal_rotation))
        self._has_stepped = True
        return self.distance >= self.cfg.fall_distance, self.episode_length_buf >= self.max_episode_length - 1

    def _get_rewards(self) -> torch.Tensor:
        reward, reached = reorient_reward(self.distance, self.angle, self.last_actions, self.rules)
        self.goal_reached.copy_(reached)
        self.successes += reached
        return reward

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        count = len(env_ids)
        self.keep_outcome(self.episode_successes, self.successes, env_ids)
        self.successes[env_ids] = 0.0
        self.last_actions[env_ids] = 0.0
        self.goal_reached[env_ids] = False
        uniform = torch.rand(count, 2 + 3 + 2 + len(self.map.joints), device=self.device)
        signed = 2.0 * uniform[:, :7] - 1.0
        self.goal_rotation[env_ids] = random_goal_rotation(signed[:, :2])
        self._place_object(env_ids, signed[:, 2:5], signed[:, 5:7])
        lower, upper = self.map.lower, self.map.upper
        positions = random_joint_positions(
            uniform[:, 7:], self._start_positions, lower, upper, self.cfg.reset_joint_interval
        ).clamp(lower, upper)  # the Allegro thumb's default lies below its lower limit
        self.targets[env_ids] = positions
        self.motors[env_ids] = self.map.motor_targets(positions)
        self.map.write(positions, env_ids)

    def _place_object(self, env_ids: torch.Tensor, offset: torch.Tensor, rotation: torch.Tensor) -> None:
        """Put the object above the palm, at rest.

        Args:
            env_ids: Environments [K].
            offset: Displacement in units of ``reset_position_noise`` [K, 3].
            rotation: Numbers in [-1, 1] for the orientation [K, 2].
        """
        pose = self.object.data.default_root_pose.torch[env_ids].clone()
        pose[:, :3] += self.scene.env_origins[env_ids] + self.cfg.reset_position_noise * offset
        pose[:, 3:] = self._start_rotation(rotation)
        self.object.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)
        still = torch.zeros(len(env_ids), 6, device=self.device)
        self.object.write_root_velocity_to_sim_index(root_velocity=still, env_ids=env_ids)

    def _start_rotation(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return orientations of the object at a reset [K, 4] from numbers in [-1, 1] [K, 2]."""
        return random_goal_rotation(uniform)

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        hand, origins = self.hand.data, self.scene.env_origins
        pose, velocity = self.object.data.root_link_pose_w.torch, self.object.data.root_com_vel_w.torch
        values = {
            "joint_position": unscale(self.map.read(hand.joint_pos), self.map.lower, self.map.upper),
            "joint_velocity": self.map.read(hand.joint_vel),
            "object_pose": torch.cat((pose[:, :3] - origins, pose[:, 3:]), dim=-1),
            "object_linear_velocity": velocity[:, :3],
            "object_angular_velocity": velocity[:, 3:],
            "goal_pose": torch.cat((self.goal_position, self.goal_rotation), dim=-1),
            "relative_rotation": relative_rotation(pose[:, 3:], self.goal_rotation),
            "last_action": self.last_actions,
            **self._own_observations(),
        }
        self._log()
        return {"policy": assemble(self.layout, values, self.cfg.observation_clip)}

    def _own_observations(self) -> dict[str, torch.Tensor]:
        """Unscaled values of the terms that only this hand's layout has."""
        return {}

    def _log(self) -> None:
        log = self.extras["log"]
        log["Task/successes"] = self.episode_successes.mean()
        if self._has_stepped:
            log["Task/goal_distance"] = self.quarantine.mean(self.distance)
            log["Task/rotation_distance"] = self.quarantine.mean(self.angle)

    # -----------------------------------------------------------------------------------------------------------------
    # what a viewer shows
    # -----------------------------------------------------------------------------------------------------------------

    def _set_debug_vis_impl(self, debug_vis: bool) -> None:
        """Show or hide the goal; the marker is made when it is first shown."""
        if debug_vis and self._goal_marker is None:
            spawn = self.cfg.scene.object.spawn
            # another object's goal is shown by a cube as well, whose colours tell the orientation
            edge = spawn.size[0] if isinstance(spawn, MarkedCubeCfg) else 0.05
            self._goal_marker = GoalMarker(edge, self.num_envs, self.device)
        if self._goal_marker is not None:
            self._goal_marker.show(debug_vis)

    def _debug_vis_callback(self, event: Any) -> None:
        """Move the shown goals; called before a viewer draws."""
        if self._goal_marker is not None:
            shift = torch.tensor(self.cfg.goal_display_offset, device=self.device)
            self._goal_marker.update(self.goal_position + self.scene.env_origins + shift, self.goal_rotation)

    # -----------------------------------------------------------------------------------------------------------------
    # what the checks of the physics ask
    # -----------------------------------------------------------------------------------------------------------------

    finger_joint: ClassVar[int]
    """Joint in the task's order that bends the first finger from its base."""

    def joint_groups(self) -> list[JointGroup]:
        """The hand's joints, in the sense of its own file."""
        index = self.map.joints
        lower, upper = self.hand.data.joint_limits.torch[0, index].unbind(dim=-1)
        default = self.map.to_task(self._start_positions).clamp(lower, upper)

        def pull(targets: torch.Tensor) -> None:
            self.map.pull(self.map.motor_targets(self.map.to_task(targets)))

        return [JointGroup(self.hand, index, lower, upper, default, self.finger_joint, pull)]

    def resting_places(self) -> list[OnSurface | InHand]:
        """The object above the palm, 20 mm below where an episode starts."""
        start = torch.tensor(self.cfg.scene.object.init_state.pos, device=self.device).repeat(self.num_envs, 1)
        start[:, 2] -= 0.02
        return [InHand("cube", start, self.goal_position, self.cfg.fall_distance)]

    # -----------------------------------------------------------------------------------------------------------------
    # checkpoints
    # -----------------------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs beyond a fresh reset: the metric of the last finished episodes."""
        return {"episode_successes": self.episode_successes.clone()}

    def restore_from_checkpoint(self, state: dict[str, torch.Tensor]) -> None:
        """Take back :meth:`state_for_checkpoint` of a run with the same number of environments."""
        self.episode_successes.copy_(state["episode_successes"])

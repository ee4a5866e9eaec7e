# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's arm before a table with a cube: what both tasks share.

Isaac Lab's order of a step is kept: rewards and ends first, then resets, then observations. The observation that comes
with ``done`` is therefore the first one of the next episode. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from isaaclab.utils.math import quat_mul
from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets.franka.bench import CUBE_EDGE, TABLE_TOP
from cpo_lab.assets.franka.panda_table import (
    ARM_JOINTS,
    FINGER_JOINTS,
    FINGER_OPEN,
    FINGERS,
    GRIP_SITE,
    HAND,
    HAND_FRAME,
    HAND_TURN,
    JOINT_NAMES,
    TIP,
    panda,
)
from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.franka import starts
from cpo_lab.tasks.franka.control import arm_torques
from cpo_lab.tasks.franka.env_cfg import FrankaEnvCfg
from cpo_lab.tasks.joints import indices_of
from cpo_lab.tasks.layout import assemble
from cpo_lab.tasks.physical_contract import InHand, JointGroup, OnSurface
from cpo_lab.tasks.rotations import rotate

ARM = len(ARM_JOINTS)
"""Joints of the arm, which come before the fingers'."""

NEWTON_FINGER_ARMATURE = 1.0
"""Inertia that a finger's motor adds on Newton [kg]. Contacts of MuJoCo are as stiff as what they hold is heavy, and
fingers of 23 g that are pushed by 200 N go through a cube."""

DROP = 0.001
"""Gap under a cube that is put onto the table [m]."""


class FrankaEnv(TaskEnv):
    """Move a cube on a table; a task's class adds goal, rules and ends.

    Shapes: N environments, 9 joints in the task's order, the arm's first. Positions are in the environment's frame.
    """

    cfg: FrankaEnvCfg

    def __init__(self, cfg: FrankaEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self.robot, self.cube = self.scene["robot"], self.scene["object"]
        self.layout = cfg.layout()
        """The observation's terms."""
        self._make_constants()
        n, device = self.num_envs, self.device
        self.last_actions = torch.zeros(n, cfg.action_space, device=device)
        """Clipped actions of the last step [N, 7]."""
        self.reward = torch.zeros(n, device=device)
        """Reward of the last step [N]."""
        self.success = torch.zeros(n, dtype=torch.bool, device=device)
        """Environments whose episode the last step ended with success, bool [N]."""
        self.episode_success = torch.zeros(n, device=device)
        """1 if the last finished episode was a success [N]; 0 before one has finished."""
        self._is_stale = True
        self.extras["log"] = {}
        self.extras["episode_metrics"] = {"success": self.episode_success}
        self._make_state()

    @staticmethod
    def fit_to_engine(cfg: FrankaEnvCfg) -> list[str]:
        """Give the fingers armature on Newton, unless they have some."""
        fingers = cfg.scene.robot.actuators.get("fingers")
        if not isinstance(cfg.sim.physics, NewtonCfg) or fingers is None or fingers.armature:
            return []
        fingers.armature = NEWTON_FINGER_ARMATURE
        return [f"armature of the fingers: {NEWTON_FINGER_ARMATURE:g} kg, which lets them grasp on Newton"]

    def _make_constants(self) -> None:
        """Find joints and links, and put what never changes onto the device."""
        robot, device = self.robot, self.device
        self.rules = self.cfg.rules()
        """Constants of reward and end."""
        self.control = self.cfg.control()
        """Constants of the arm's control."""
        self.joints = indices_of(JOINT_NAMES, robot.joint_names, "joint").to(device)
        """Where the task's joints stand in the engine's order [9]."""
        self.joint_ids, self.arm_ids, self.finger_ids = (
            wp.from_torch(part.int().contiguous(), dtype=wp.int32)
            for part in (self.joints, self.joints[:ARM], self.joints[ARM:])
        )
        """The same, of arm and fingers by themselves, as Isaac Lab's calls take it."""
        (self._hand, *fingers) = indices_of((HAND, *FINGERS), robot.body_names, "link").tolist()
        self._fingers = torch.tensor(fingers, device=device)
        limits = robot.data.joint_limits.torch[0, self.joints]
        self.lower, self.upper = limits[:, 0].clone(), limits[:, 1].clone()
        """Joint limits [rad; m for fingers], shape [9] each."""
        self.default = robot.data.default_joint_pos.torch[0, self.joints].clone()
        """Default joint positions [rad; m for fingers], shape [9]."""
        table = panda()
        self._efforts = torch.tensor([table.joint(name).effort for name in ARM_JOINTS], device=device)
        self._site = torch.tensor([GRIP_SITE], device=device)
        self._frame = torch.tensor([HAND_FRAME], device=device)
        self._turn = torch.tensor([HAND_TURN], device=device)
        self._tips = torch.tensor(TIP, device=device)
        cfg = self.cfg
        self._steps = torch.tensor([cfg.position_step] * 3 + [cfg.rotation_step] * 3, device=device)
        self._still = torch.zeros(self.num_envs, len(JOINT_NAMES), device=device)

    def _make_state(self) -> None:
        """Allocate what the rules remember."""
        raise NotImplementedError

    # -----------------------------------------------------------------------------------------------------------------
    # actions
    # -----------------------------------------------------------------------------------------------------------------

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        # in place: a runner steps in inference mode, and a reset outside it must still be able to write
        torch.clamp(actions, -1.0, 1.0, out=self.last_actions)
        targets = self.robot.actuators.target_command
        targets.set_effort_index(value=self._torques(self._steps * self.last_actions[:, :6]), joint_ids=self.arm_ids)
        opening = torch.where(self.last_actions[:, 6:] >= 0.0, FINGER_OPEN, 0.0)
        targets.set_position_index(value=opening.repeat(1, len(FINGER_JOINTS)), joint_ids=self.finger_ids)

    def _apply_action(self) -> None:
        """Nothing is left to do at the rate of the physics: torques hold for the whole step, as in the reference."""

    def _torques(self, step: torch.Tensor) -> torch.Tensor:
        """Torques of the arm that ask the gripper to move by ``step`` (world axes) [N, 6]; [N, 7]."""
        data, arm = self.robot.data, self.joints[:ARM]
        pose = data.body_link_pose_w.torch[:, self._hand]
        row = self._hand - int(self.robot.is_fixed_base)  # a base that cannot move has no rows
        jacobian = data.body_link_jacobian_w.torch[:, row][:, :, arm].clone()
        spin = jacobian[:, 3:].transpose(1, 2)
        jacobian[:, :3] += torch.linalg.cross(spin, rotate(pose[:, 3:], self._frame).unsqueeze(1)).transpose(1, 2)
        mass = data.mass_matrix.torch[:, arm][:, :, arm]
        position, velocity = data.joint_pos.torch[:, arm], data.joint_vel.torch[:, arm]
        torques = arm_torques(
            jacobian, mass, step, self._grip_velocity(), self.default[:ARM] - position, velocity, self.control
        )
        return torch.clamp(torques, -self._efforts, self._efforts)

    def _grip_velocity(self) -> torch.Tensor:
        """Velocity of the grip site, world axes [m/s and rad/s], shape [N, 6]."""
        data = self.robot.data
        linear, angular = data.body_link_vel_w.torch[:, self._hand].split(3, dim=-1)
        arm = rotate(data.body_link_pose_w.torch[:, self._hand, 3:], self._site)
        return torch.cat((linear + torch.linalg.cross(angular, arm), angular), dim=-1)

    # -----------------------------------------------------------------------------------------------------------------
    # state
    # -----------------------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Read the engine's state and derive gripper and cube."""
        data, origins = self.robot.data, self.scene.env_origins
        pose = data.body_link_pose_w.torch[:, self._hand]
        self.grip_position = pose[:, :3] + rotate(pose[:, 3:], self._site) - origins
        """Place between the fingertips [m], shape [N, 3]."""
        self.grip_rotation = quat_mul(pose[:, 3:], self._turn.expand(self.num_envs, 4))
        """Orientation of the hand, xyzw, shape [N, 4]."""
        fingers = data.body_link_pose_w.torch[:, self._fingers]
        self.tip_positions = fingers[..., :3] + rotate(fingers[..., 3:], self._tips) - origins.unsqueeze(1)
        """The pads of both fingertips [m], shape [N, 2, 3]."""
        self.finger_positions = data.joint_pos.torch[:, self.joints[ARM:]]
        """How far the fingers are open [m], shape [N, 2]."""
        pose = self.cube.data.root_link_pose_w.torch
        self.cube_position, self.cube_rotation = pose[:, :3] - origins, pose[:, 3:]
        """Centre [m] and orientation xyzw of the cube, shape [N, 3] and [N, 4]."""
        self._is_stale = False

    @property
    def cube_height(self) -> torch.Tensor:
        """Height of the cube's centre above the table [m], shape [N]."""
        return self.cube_position[:, 2] - TABLE_TOP

    def target(self) -> torch.Tensor:
        """Where the cube is to be brought, or what it is to be put onto [m], shape [N, 3]."""
        raise NotImplementedError

    def _get_time_outs(self) -> torch.Tensor:
        return self.episode_length_buf >= self.max_episode_length - 1

    def _get_rewards(self) -> torch.Tensor:
        return self.reward

    # -----------------------------------------------------------------------------------------------------------------
    # resets
    # -----------------------------------------------------------------------------------------------------------------

    def _reset_idx(self, env_ids: torch.Tensor) -> None:
        super()._reset_idx(env_ids)
        self.keep_outcome(self.episode_success, self.success.to(self.episode_success.dtype), env_ids)
        count, cfg = len(env_ids), self.cfg
        uniform = torch.rand(count, ARM + starts.UNIFORM, device=self.device)
        positions = self.default.repeat(count, 1)
        positions[:, :ARM] += cfg.joint_position_noise * (2.0 * uniform[:, :ARM] - 1.0)
        self.place_arm(positions.clamp(self.lower, self.upper), env_ids)
        turns, free = uniform[:, ARM : ARM + 2], uniform[:, ARM + 2 :]
        cube, target = starts.places(free, cfg.start_range, cfg.start_apart)
        self.place(self.cube, CUBE_EDGE, cube, starts.turned(turns[:, 0], cfg.start_turn), env_ids)
        self._place_target(target, starts.turned(turns[:, 1], cfg.start_turn), env_ids)
        self._is_stale = True

    def _place_target(self, place: torch.Tensor, rotation: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Put what the cube is brought to onto the table at ``place`` [n, 2], turned by ``rotation`` [n, 4]."""
        raise NotImplementedError

    def place_arm(self, positions: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Put arms and fingers of environments [n] to joint positions [n, 9], at rest and without torque."""
        robot, still = self.robot, self._still[: len(env_ids)]
        robot.write_joint_position_to_sim_index(position=positions, joint_ids=self.joint_ids, env_ids=env_ids)
        robot.write_joint_velocity_to_sim_index(velocity=still, joint_ids=self.joint_ids, env_ids=env_ids)
        targets = robot.actuators.target_command
        targets.set_effort_index(value=still, joint_ids=self.joint_ids, env_ids=env_ids)
        targets.set_position_index(value=positions, joint_ids=self.joint_ids, env_ids=env_ids)

    def place(self, cube: Any, edge: float, place: torch.Tensor, rotation: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Put cubes onto the table, at rest.

        Args:
            cube: Isaac Lab's rigid object.
            edge: Its edge [m].
            place: Where on the table [m], shape [n, 2].
            rotation: Orientation xyzw, shape [n, 4].
            env_ids: Environments [n].
        """
        pose = torch.zeros(len(env_ids), 7, device=self.device)
        pose[:, :2], pose[:, 2], pose[:, 3:] = place, TABLE_TOP + edge / 2.0, rotation
        pose[:, :3] += self.scene.env_origins[env_ids]
        cube.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)
        still = torch.zeros(len(env_ids), 6, device=self.device)
        cube.write_root_velocity_to_sim_index(root_velocity=still, env_ids=env_ids)

    # -----------------------------------------------------------------------------------------------------------------
    # observations
    # -----------------------------------------------------------------------------------------------------------------

    def _get_observations(self) -> dict[str, torch.Tensor]:
        if self._is_stale:  # something was reset, so the state is another one
            self.measure()
        values = {
            "cube_rotation": self.cube_rotation,
            "cube_position": self.cube_position,
            "cube_to_target": self.target() - self.cube_position,
            "grip_position": self.grip_position,
            "grip_rotation": self.grip_rotation,
            "finger_position": self.finger_positions,
        }
        self._log()
        return {"policy": assemble(self.layout, values, self.cfg.observation_clip)}

    def _log(self) -> None:
        """Tell ``extras["log"]`` how the task goes."""
        self.extras["log"]["Task/success"] = self.episode_success.mean()

    # -----------------------------------------------------------------------------------------------------------------
    # what the checks of the physics ask
    # -----------------------------------------------------------------------------------------------------------------

    def joint_groups(self) -> list[JointGroup]:
        """All joints, the fingers nearly closed; the left one is opened, for the arm has torques only."""
        default = self.default.clone()
        default[ARM:] = 0.005
        return [
            JointGroup(
                self.robot,
                self.joints,
                self.lower,
                self.upper,
                default,
                ARM,
                moved="sliding finger",
                step=0.03,
                unit="m",
            )
        ]

    def resting_places(self) -> list[OnSurface | InHand]:
        """The table beside the square of starts, a millimetre above it."""
        height = torch.full((self.num_envs,), TABLE_TOP + CUBE_EDGE / 2.0, device=self.device)
        start = torch.zeros(self.num_envs, 3, device=self.device)
        start[:, 0], start[:, 2] = 0.45, height + DROP
        return [OnSurface("table", start, height)]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One arm with its hand: joints in the reference's order, palm and fingertips, whatever order the engine enumerates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import warp as wp

from cpo_lab.assets.allegro_hand_table import FINGERTIP_LINKS, FINGERTIP_OFFSETS
from cpo_lab.assets.cache import is_generated
from cpo_lab.assets.kuka_allegro_table import JOINT_NAMES, PALM_CENTER_OFFSET, PALM_LINK, kuka_allegro
from cpo_lab.tasks.arms.starts import StartPoses
from cpo_lab.tasks.joints import indices_of
from cpo_lab.tasks.rotations import rotate

if TYPE_CHECKING:
    from isaaclab.assets import Articulation, AssetBaseCfg


class Arm:
    """Reads and commands one articulation of 23 joints; all tensors have the table's joint order."""

    num_joints = len(JOINT_NAMES)

    def __init__(self, robot: Articulation, origins: torch.Tensor, table: AssetBaseCfg) -> None:
        """Find joints and bodies by name.

        Args:
            robot: The articulation.
            origins: Origins of the environments [m], shape [N, 3].
            table: The table that starts must not be inside of.

        Raises:
            UserError: If the robot lacks one of the expected joints or links.
        """
        device = origins.device
        self.robot, self.origins = robot, origins
        self.joints = indices_of(JOINT_NAMES, robot.joint_names, "joint").to(device)
        self._joint_ids = wp.from_torch(self.joints.int().contiguous(), dtype=wp.int32)
        bodies = [PALM_LINK, *FINGERTIP_LINKS]
        self.bodies = indices_of(bodies, robot.body_names, "link").to(device)
        self._offsets = torch.tensor([PALM_CENTER_OFFSET, *FINGERTIP_OFFSETS], device=device)
        limits = robot.data.joint_limits.torch[0, self.joints]
        self.lower, self.upper = limits[:, 0].clone(), limits[:, 1].clone()
        self.default = robot.data.default_joint_pos.torch[0, self.joints].clone()
        # the reference's default is 0 for all fingers, which the thumb's limit forbids in Isaac Lab's configuration
        self.default[7:] = 0.0
        # a robot from another file has another shape
        ours = is_generated(robot.cfg.spawn.usd_path)
        self._starts = StartPoses(kuka_allegro(), robot.cfg, table, str(device)) if ours else None
        self.targets = self.default.clamp(self.lower, self.upper).repeat(len(origins), 1)
        """Commanded joint positions [rad], shape [N, 23]."""

    def measure(self) -> None:
        """Read the state that the engine holds now."""
        data = self.robot.data
        self.position = data.joint_pos.torch[:, self.joints]
        """Joint positions [rad], shape [N, 23]."""
        self.velocity = data.joint_vel.torch[:, self.joints]
        """Joint velocities [rad/s], shape [N, 23]."""
        pose = data.body_link_pose_w.torch[:, self.bodies]
        points = pose[..., :3] + rotate(pose[..., 3:], self._offsets) - self.origins.unsqueeze(1)
        self.palm_center = points[:, 0]
        """Centre of the palm in the environment's frame [m], shape [N, 3]."""
        self.fingertips = points[:, 1:]
        """Fingertips in the environment's frame [m], shape [N, 4, 3]."""
        velocity = data.body_com_vel_w.torch[:, self.bodies[:1]].squeeze(1)
        self.palm_state = torch.cat((pose[:, 0, 3:], velocity), dim=-1)
        """Orientation xyzw and velocities of the last arm link, shape [N, 10]."""

    def command(self) -> None:
        """Hand the targets to the actuators, which keep them until the next command."""
        self.robot.actuators.target_command.set_position_index(value=self.targets, joint_ids=self._joint_ids)

    def choose(self, candidates: torch.Tensor) -> torch.Tensor:
        """Return of candidates [n, K, 23] the first start position of each row that is clear of the table [rad]."""
        if self._starts is None:
            return candidates[:, 0]
        return self._starts.choose(candidates, self.default.clamp(self.lower, self.upper))

    def write(self, positions: torch.Tensor, velocities: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Set joint positions [rad] and velocities [rad/s], shape [n, 23], and make the positions the targets."""
        robot, joints = self.robot, self._joint_ids
        self.targets[env_ids] = positions
        robot.write_joint_position_to_sim_index(position=positions, joint_ids=joints, env_ids=env_ids)
        robot.write_joint_velocity_to_sim_index(velocity=velocities, joint_ids=joints, env_ids=env_ids)
        robot.actuators.target_command.set_position_index(value=positions, joint_ids=joints, env_ids=env_ids)

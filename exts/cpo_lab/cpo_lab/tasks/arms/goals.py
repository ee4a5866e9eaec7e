# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Goals of the arm tasks: places or poses in a box in the air, or a bucket; and how a viewer shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import warp as wp
from isaaclab.markers import VisualizationMarkers

from cpo_lab.assets.cuboids import BASE_EDGE
from cpo_lab.assets.furniture import goal_marker_cfg
from cpo_lab.tasks.arms import rules
from cpo_lab.tasks.rotations import uniform_rotation

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveScene

    from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg

UNIFORM = 7
"""Uniform numbers that :meth:`Goals.draw` needs per environment."""


class Goals:
    """The goal of each environment."""

    def __init__(self, cfg: AllegroKukaEnvCfg, scene: InteractiveScene, device: str) -> None:
        """Put all goals into the origin.

        Args:
            cfg: The task's settings.
            scene: The scene of N environments.
            device: Device of the simulation.
        """
        self.cfg, self._origins = cfg, scene.env_origins
        self.position = torch.zeros_like(self._origins)
        """Goal in the environment's frame [m], shape [N, 3]."""
        self.rotation = torch.zeros(len(self._origins), 4, device=device)
        """Goal orientation xyzw, shape [N, 4]."""
        self.rotation[:, 3] = 1.0
        self.bucket = scene["bucket"] if cfg.use_bucket else None
        """The bucket that goals lie in; None where they lie in the air."""
        if self.bucket is None:
            self._low = torch.tensor(cfg.goal_low, device=device)
            self._high = torch.tensor(cfg.goal_high, device=device)
            self._side = torch.tensor((cfg.goal_side, 0.0, 0.0), device=device)
        else:
            self._upright = self.rotation.clone()
            self._above_origin = torch.tensor((0.0, 0.0, cfg.bucket_goal_height), device=device)

    def draw(self, uniform: torch.Tensor, mask: torch.Tensor) -> None:
        """Draw new goals.

        Args:
            uniform: Numbers in [0, 1], shape [N, 7].
            mask: Environments that get one, bool [N].
        """
        if self.bucket is not None:
            place = rules.bucket_position(uniform[:, :4])
            goal = place + self._above_origin
            write_pose(self.bucket, place + self._origins, self._upright, mask)
        else:
            goal = rules.sample_box(self._low, self._high, uniform[:, :3])
            goal = goal + torch.where(uniform[:, 3:4] < 0.5, -1.0, 1.0) * self._side
        chosen = mask.unsqueeze(-1)
        self.position = torch.where(chosen, goal, self.position)
        if self.cfg.goal_rotation:
            self.rotation = torch.where(chosen, uniform_rotation(uniform[:, 4:7]), self.rotation)


def write_pose(body: Any, position: torch.Tensor, rotation: torch.Tensor, mask: torch.Tensor) -> None:
    """Move bodies.

    Args:
        body: Isaac Lab's rigid object of N environments.
        position: Where to, world [m], shape [N, 3].
        rotation: Orientation xyzw, shape [N, 4].
        mask: Environments whose body is moved, bool [N].
    """
    pose = torch.cat((position, rotation), dim=-1)
    body.write_root_pose_to_sim_mask(root_pose=pose, env_mask=wp.from_torch(mask.contiguous()))


class GoalMarker:
    """Draws each goal as a green copy of the object, or as a small cube where only its place matters."""

    def __init__(self, goals: Goals, object_scale: torch.Tensor, origins: torch.Tensor) -> None:
        """Create the marker.

        Args:
            goals: The goals to draw.
            object_scale: Edges of each environment's object in multiples of 0.05 m, shape [N, 3].
            origins: Origins of the environments, world [m], shape [N, 3].
        """
        self._goals, self._origins = goals, origins
        self._markers = VisualizationMarkers(goal_marker_cfg())
        self._environments = torch.arange(len(origins), device=origins.device)
        small = goals.cfg.keypoints == "center"
        self._sizes = (torch.full_like(object_scale, 0.4) if small else object_scale) * BASE_EDGE

    def show(self, visible: bool) -> None:
        """Show or hide the goals."""
        self._markers.set_visibility(visible)

    def update(self) -> None:
        """Move what is drawn to the goals."""
        self._markers.visualize(
            translations=self._goals.position + self._origins,
            orientations=self._goals.rotation,
            scales=self._sizes,
            environment_ids=self._environments,
        )

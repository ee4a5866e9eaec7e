# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Draws the goal orientation as a second cube beside the hand; exists only while something is drawn."""

from __future__ import annotations

import torch
from isaaclab.markers import VisualizationMarkers
from isaaclab.utils.math import quat_apply

from cpo_lab.assets.cube import FACES, goal_marker_cfg, plate


class GoalMarker:
    """A dark cube with six coloured plates per environment, without physics."""

    def __init__(self, edge: float, num_envs: int, device: str) -> None:
        """Create the marker.

        Args:
            edge: Edge of the cube, metres.
            num_envs: Number of environments N.
            device: Device of the poses.
        """
        self._markers = VisualizationMarkers(goal_marker_cfg(edge))
        centers = [plate(edge, direction)[0] for direction, _ in FACES.values()]
        self._centers = torch.tensor([*centers, (0.0, 0.0, 0.0)], device=device)  # the body is the last one
        self._prototypes = torch.arange(len(self._centers), device=device).repeat(num_envs)
        self._environments = torch.arange(num_envs, device=device).repeat_interleave(len(self._centers))

    def show(self, visible: bool) -> None:
        """Show or hide the cubes."""
        self._markers.set_visibility(visible)

    def update(self, position: torch.Tensor, rotation: torch.Tensor) -> None:
        """Move the cubes to ``position`` [N, 3] (world, metres) and ``rotation`` [N, 4] (xyzw)."""
        parts = len(self._centers)
        rotations = rotation.repeat_interleave(parts, dim=0)
        offsets = quat_apply(rotations, self._centers.repeat(len(position), 1))
        self._markers.visualize(
            translations=position.repeat_interleave(parts, dim=0) + offsets,
            orientations=rotations,
            marker_indices=self._prototypes,
            environment_ids=self._environments,
        )

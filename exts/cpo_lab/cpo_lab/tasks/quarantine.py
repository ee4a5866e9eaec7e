# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Quarantine: an environment whose state, reward or observation cannot be is reset, and nobody learns from that step.

Once per step, on the device and without waiting for it: before the resets, :meth:`Quarantine.judge` looks at the joints
of all robots, at all bodies and at the reward; after them, :meth:`Quarantine.inspect` at the observation. What they
find goes to whoever learns as ``extras["quarantined"]`` (:func:`cpo_rl.contracts.quarantined`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveScene

STATE = ("joint_position", "joint_velocity", "body_position", "body_velocity")
"""What can be wrong with a state, as it is counted."""


@dataclass(frozen=True)
class Bounds:
    """Magnitudes far beyond what happens while the physics holds; NaN and infinity are beyond every one."""

    joint_position: float = 50.0
    """Joint position [rad, or m of a sliding joint]."""

    joint_velocity: float = 1000.0
    """Joint velocity [rad/s or m/s]."""

    distance: float = 100.0
    """Coordinate of a body relative to its environment's origin [m]."""

    speed: float = 100.0
    """Component of a body's linear velocity [m/s]."""

    spin: float = 1000.0
    """Component of a body's angular velocity [rad/s]."""

    reward: float = 1.0e6
    """Reward of a step, not scaled."""

    observation: float = 1.0e6
    """Entry of an observation."""


class Quarantine:
    """Watches N environments.

    Args:
        scene: Its articulations and rigid objects are watched.
        bounds: What is absurd.
    """

    def __init__(self, scene: InteractiveScene, bounds: Bounds) -> None:
        self.bounds = bounds
        self._scene = scene
        self._bodies = [
            *(robot for robot in scene.articulations.values() if not robot.is_fixed_base),
            *scene.rigid_objects.values(),
        ]
        speeds = torch.tensor([bounds.speed] * 3 + [bounds.spin] * 3, device=scene.device)
        self._speeds, self._none = speeds, torch.zeros(scene.num_envs, device=scene.device, dtype=torch.bool)
        self._late = self._none
        self.void = self._none
        """Environments quarantined in the last step before its resets, bool [N]."""
        self._reasons: dict[str, torch.Tensor] = {}

    def judge(self, reward: torch.Tensor) -> torch.Tensor:
        """Judge the state that a step led to and its reward [N]; return the environments to be reset, bool [N].

        They include those whose observation of the step before could not be.
        """
        self._reasons = {**self._state(), "reward": _beyond(reward.unsqueeze(-1), self.bounds.reward)}
        self.void = torch.stack((self._late, *self._reasons.values())).any(0)
        return self.void

    def inspect(self, observations: Mapping[str, torch.Tensor], extras: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Judge the observations of a step after its resets, and publish what was found in ``extras``.

        Args:
            observations: [N, D] by group.
            extras: Gets ``quarantined`` and ``quarantine_reasons``.

        Returns:
            The observations with entries that cannot be set to 0. Their environments are reset in the next step.
        """
        sound, bad = {}, self._none
        for name, group in observations.items():
            good = group.abs() <= self.bounds.observation
            sound[name] = torch.where(good, group, 0.0)
            bad = bad | ~good.all(-1)
        # an observation that could not be makes the step before and the step after it void
        extras["quarantined"] = self.void | bad
        extras["quarantine_reasons"] = {**self._reasons, "observation": bad | self._late}
        self._late = bad
        return sound

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean of values [N] over environments whose last step was not quarantined before its resets; 0 for none."""
        return values.masked_fill(self.void, 0.0).sum() / (~self.void).sum().clamp(min=1)

    def _state(self) -> dict[str, torch.Tensor]:
        """Which environments are in a state that cannot be, bool [N] by what is wrong."""
        found: dict[str, list[torch.Tensor]] = {name: [] for name in STATE}
        for robot in self._scene.articulations.values():
            found["joint_position"].append(_beyond(robot.data.joint_pos.torch, self.bounds.joint_position))
            found["joint_velocity"].append(_beyond(robot.data.joint_vel.torch, self.bounds.joint_velocity))
        for body in self._bodies:
            pose = body.data.root_link_pose_w.torch
            apart = torch.cat((pose[:, :3] - self._scene.env_origins, pose[:, 3:]), -1)
            found["body_position"].append(_beyond(apart, self.bounds.distance))
            found["body_velocity"].append(_beyond(body.data.root_com_vel_w.torch, self._speeds))
        return {name: torch.stack(parts).any(0) if parts else self._none for name, parts in found.items()}


def _beyond(values: torch.Tensor, most: float | torch.Tensor) -> torch.Tensor:
    """Rows of [N, D] that hold a number which is not finite or of a larger magnitude than ``most``, bool [N]."""
    return ~(values.abs() <= most).all(-1)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules of ANYmal's task as functions of tensors. No simulator and no state.

Quaternions are xyzw. The source is the reference as used by CPO, IsaacGymEnvs ``tasks/anymal.py`` and
``cfg/task/Anymal.yaml``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


@dataclass
class WalkRules:
    """Constants of reward and end; rewards are per step, so they hold the reference's factor of the time step."""

    velocity_scale: float = setting(0.02)
    """Reward for walking as commanded."""

    yaw_scale: float = setting(0.01)
    """Reward for turning as commanded."""

    tracking_variance: float = setting(0.25, above=0.0)
    """Squared error at which these rewards have fallen to 1/e [(m/s)^2 and (rad/s)^2]."""

    torque_scale: float = setting(-5.0e-7)
    """Reward per squared torque [1/(N m)^2]."""

    contact_force: float = setting(1.0, at_least=0.0)
    """Force on base or thigh above which the robot counts as fallen [N]."""


def tracking_errors(
    command: torch.Tensor, linear_velocity: torch.Tensor, angular_velocity: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far the motion is from the command.

    Args:
        command: Wanted velocity forwards and to the left [m/s] and turning rate [rad/s], shape [N, 3].
        linear_velocity: Velocity of the base in its own axes [m/s], shape [N, 3].
        angular_velocity: Angular velocity of the base in its own axes [rad/s], shape [N, 3].

    Returns:
        Squared error of the horizontal velocity [(m/s)^2] and of the turning rate [(rad/s)^2], shape [N] each.
    """
    walking = (command[:, :2] - linear_velocity[:, :2]).square().sum(dim=-1)
    turning = (command[:, 2] - angular_velocity[:, 2]).square()
    return walking, turning


def walk_reward(walking: torch.Tensor, turning: torch.Tensor, torques: torch.Tensor, rules: WalkRules) -> torch.Tensor:
    """Reward of one step, never negative.

    ``max(0, 0.02 exp(-walking / 0.25) + 0.01 exp(-turning / 0.25) - 5e-7 sum(torque^2))`` with the default rules, at
    most 0.03.

    Args:
        walking: Squared error of the horizontal velocity [(m/s)^2], shape [N].
        turning: Squared error of the turning rate [(rad/s)^2], shape [N].
        torques: Torques of the joints [N m], shape [N, J].
        rules: Constants.

    Returns:
        Rewards [N].
    """
    reward = (
        rules.velocity_scale * torch.exp(-walking / rules.tracking_variance)
        + rules.yaw_scale * torch.exp(-turning / rules.tracking_variance)
        + rules.torque_scale * torques.square().sum(dim=-1)
    )
    return reward.clamp(min=0.0)


def has_fallen(forces: torch.Tensor, rules: WalkRules) -> torch.Tensor:
    """Whether base or a thigh touches something.

    Args:
        forces: Contact force on each of these links [N], shape [N, L, 3].
        rules: Constants.

    Returns:
        bool [N].
    """
    return (forces.norm(dim=-1) > rules.contact_force).any(dim=-1)


def observed_gravity(rotation: torch.Tensor) -> torch.Tensor:
    """The reference's entry for gravity: the base's downward axis in **world** axes.

    It is ``R (0, 0, -1)``, where a robot would feel its transpose; it turns with the robot's yaw.

    Args:
        rotation: Orientation of the base xyzw, shape [N, 4].

    Returns:
        Unit vectors [N, 3].
    """
    x, y, z, w = rotation.unbind(-1)
    return -torch.stack((2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)), dim=-1)


def draw_command(uniform: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Commands between two corners.

    Args:
        uniform: Numbers in [0, 1], shape [n, 3].
        low: Smallest velocities forwards and to the left [m/s] and turning rate [rad/s], shape [3].
        high: Largest ones, shape [3].

    Returns:
        Commands [n, 3].
    """
    return low + uniform * (high - low)


def start_positions(uniform: torch.Tensor, default: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Joint positions at a reset: each the default times a factor between ``low`` and ``high``.

    Args:
        uniform: Numbers in [0, 1], shape [n, J].
        default: Default positions [rad], shape [J].
        low: Smallest factor.
        high: Largest factor.

    Returns:
        Positions [rad], shape [n, J].
    """
    return default * (low + uniform * (high - low))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules of in-hand reorientation as functions of tensors. No simulator and no state.

Quaternions are xyzw. Sources are lines of the reference, IsaacGymEnvs ``tasks/shadow_hand.py`` as used by CPO.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


def relative_rotation(rotation: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """``rotation * conjugate(goal)`` for unit quaternions [N, 4]: identity for equal ones (``shadow_hand.py:580``)."""
    x1, y1, z1, w1 = rotation.unbind(-1)
    x2, y2, z2, w2 = goal.unbind(-1)
    return torch.stack(
        (
            x1 * w2 - w1 * x2 - y1 * z2 + z1 * y2,
            y1 * w2 - w1 * y2 - z1 * x2 + x1 * z2,
            z1 * w2 - w1 * z2 - x1 * y2 + y1 * x2,
            w1 * w2 + x1 * x2 + y1 * y2 + z1 * z2,
        ),
        dim=-1,
    )


def rotation_angle(rotation: torch.Tensor) -> torch.Tensor:
    """Angle of unit quaternions [N, 4] in radians, [N], in [0, pi]; q and -q give the same (``shadow_hand.py:812``)."""
    return 2.0 * torch.asin(rotation[..., :3].norm(dim=-1).clamp(max=1.0))


def random_goal_rotation(uniform: torch.Tensor) -> torch.Tensor:
    """A turn about X followed, in the turned frame, by one about Y, each by up to half a turn (``shadow_hand.py:855``).

    The result is not uniform over all rotations; that is the reference's choice.

    Args:
        uniform: [N, 2] numbers in [-1, 1].

    Returns:
        Quaternions [N, 4].
    """
    half = 0.5 * math.pi * uniform
    sin, cos = half.sin(), half.cos()
    sin_x, sin_y, cos_x, cos_y = sin[:, 0], sin[:, 1], cos[:, 0], cos[:, 1]
    return torch.stack((sin_x * cos_y, cos_x * sin_y, sin_x * sin_y, cos_x * cos_y), dim=-1)


PEN_TILT = 0.3
"""Largest angle between a pen's start and the horizontal [rad]."""


def flat_pen_rotation(uniform: torch.Tensor) -> torch.Tensor:
    """A pen, whose axis is Z, laid along the fingers within 0.3 rad and turned about its own axis.

    ``rot_x(pi / 2 + 0.3 u0) * rot_z(pi u1)`` (``randomize_rotation_pen`` of ``shadow_hand.py``).

    Args:
        uniform: [N, 2] numbers in [-1, 1].

    Returns:
        Quaternions [N, 4].
    """
    tilt, spin = 0.25 * math.pi + 0.5 * PEN_TILT * uniform[:, 0], 0.5 * math.pi * uniform[:, 1]
    return torch.stack(
        (tilt.sin() * spin.cos(), -tilt.sin() * spin.sin(), tilt.cos() * spin.sin(), tilt.cos() * spin.cos()), dim=-1
    )


def random_joint_positions(
    uniform: torch.Tensor, default: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, interval: float
) -> torch.Tensor:
    """Start positions around ``default``: ``default + interval * (a point between the limits - default)``.

    Source: ``shadow_hand.py:644-650``.

    Args:
        uniform: [N, J] numbers in [0, 1].
        default: Default positions, radians, [J] or [N, J].
        lower: Lower limits, radians, same shape.
        upper: Upper limits, radians, same shape.
        interval: Share of the range to use, 0 to 1.

    Returns:
        Positions [N, J], radians.
    """
    return default + interval * (lower + uniform * (upper - lower) - default)


@dataclass
class ReorientRules:
    """Constants of the reward, the success and the end of an episode (``cfg/task/ShadowHand.yaml``)."""

    distance_scale: float = setting(-10.0)
    """Reward per metre between object and goal position."""

    rotation_scale: float = setting(1.0)
    """Numerator of the rotation reward."""

    rotation_epsilon: float = setting(0.1, above=0.0)
    """Added to the rotation distance in the denominator, radians."""

    action_scale: float = setting(-0.0002)
    """Reward per squared action."""

    success_bonus: float = setting(250.0)
    """Reward for reaching a goal."""

    success_tolerance: float = setting(0.1, above=0.0)
    """Largest rotation distance that counts as reached, radians."""

    fall_distance: float = setting(0.24, above=0.0)
    """Distance from the goal position at which the object counts as fallen, metres."""

    fall_penalty: float = setting(0.0)
    """Reward added when the object falls."""


def reorient_reward(
    distance: torch.Tensor, angle: torch.Tensor, actions: torch.Tensor, rules: ReorientRules
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reward and success of one step (``shadow_hand.py:800-851``).

    ``-10 d + 1 / (angle + 0.1) - 0.0002 sum(a^2) + 250 [angle <= 0.1] + 0 [d >= 0.24]`` with the default rules. The
    position does not matter for a success.

    Args:
        distance: Object to goal position, metres, [N].
        angle: Object to goal orientation, radians, [N].
        actions: Actions in [-1, 1], [N, A].
        rules: Constants.

    Returns:
        reward [N] (not multiplied by the learner's reward scale) and success [N] (bool).
    """
    success = angle <= rules.success_tolerance
    reward = (
        rules.distance_scale * distance
        + rules.rotation_scale / (angle + rules.rotation_epsilon)
        + rules.action_scale * actions.square().sum(dim=-1)
        + rules.success_bonus * success
    )
    if rules.fall_penalty != 0.0:
        reward = reward + rules.fall_penalty * (distance >= rules.fall_distance)
    return reward, success

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules of the humanoid's task as functions of tensors. No simulator and no state.

Quaternions are xyzw. The source is the reference as used by CPO, IsaacGymEnvs ``tasks/humanoid.py`` and
``cfg/task/Humanoid.yaml``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


@dataclass
class RunRules:
    """Constants of reward and end."""

    alive_reward: float = setting(2.0)
    """Reward of every step."""

    up_reward: float = setting(0.1)
    """Reward for an upright torso."""

    up_limit: float = setting(0.93, at_least=-1.0, at_most=1.0)
    """Height of the torso's upward axis above which it is upright."""

    heading_reward: float = setting(0.5)
    """Reward for facing the target, in proportion up to ``heading_limit``."""

    heading_limit: float = setting(0.8, above=0.0, at_most=1.0)
    """Component of the torso's forward axis towards the target that is enough."""

    action_scale: float = setting(-0.01)
    """Reward per squared action."""

    energy_scale: float = setting(-0.05)
    """Reward per action times scaled joint velocity times relative strength of the joint."""

    limit_scale: float = setting(-0.25)
    """Reward at a joint limit, from ``limit_share`` on, times relative strength of the joint."""

    limit_share: float = setting(0.98, at_least=0.0, below=1.0)
    """Share of the way to a limit from which it costs."""

    fall_height: float = setting(0.8)
    """Height of the torso below which the robot has fallen [m]."""

    fall_reward: float = setting(-1.0)
    """The whole reward of a step in which it has fallen."""


def potential(position: torch.Tensor, target: torch.Tensor, dt: float) -> torch.Tensor:
    """Horizontal distance to the target as a potential: its increase is the speed of approach [m/s].

    Args:
        position: Of the torso, environment frame [m], shape [N, 3].
        target: Same frame [m], shape [3].
        dt: Time of a policy step [s].

    Returns:
        ``-distance / dt`` [m/s], shape [N].
    """
    return -(target[:2] - position[:, :2]).norm(dim=-1) / dt


def projections(
    position: torch.Tensor, rotation: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How upright the torso is, and how much it faces the target.

    Args:
        position: Of the torso, environment frame [m], shape [N, 3].
        rotation: Of the torso xyzw, shape [N, 4].
        target: Same frame [m], shape [3].

    Returns:
        Height of the torso's upward axis and component of its forward axis along the horizontal direction to the
        target, both in [-1, 1], shape [N].
    """
    x, y, z, w = rotation.unbind(-1)
    upward = 1.0 - 2.0 * (x * x + y * y)
    forward = torch.stack((1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z)), dim=-1)
    way = target[:2] - position[:, :2]
    return upward, (forward * way).sum(dim=-1) / way.norm(dim=-1).clamp(min=1e-9)


def observed_angles(position: torch.Tensor, rotation: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Yaw, roll and the angle to the target.

    The last is ``atan2(0 - z, 1000 - x) - yaw``: the reference takes the height for the sideways coordinate, so that in
    effect it is minus the yaw.

    Args:
        position: Of the torso, environment frame [m], shape [N, 3].
        rotation: Of the torso xyzw, shape [N, 4].
        target: Same frame [m], shape [3].

    Returns:
        Angles within a half turn [rad], shape [N, 3].
    """
    x, y, z, w = rotation.unbind(-1)
    roll = torch.atan2(2.0 * (w * x + y * z), w * w - x * x - y * y + z * z)
    yaw = torch.atan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)
    aim = torch.atan2(target[2] - position[:, 2], target[0] - position[:, 0]) - yaw
    return wrapped(torch.stack((yaw, roll, aim), dim=-1))


def wrapped(angle: torch.Tensor) -> torch.Tensor:
    """Angles within a half turn to either side [rad]."""
    return torch.remainder(angle + math.pi, 2.0 * math.pi) - math.pi


def run_reward(
    approach: torch.Tensor,
    upward: torch.Tensor,
    heading: torch.Tensor,
    height: torch.Tensor,
    actions: torch.Tensor,
    positions: torch.Tensor,
    velocities: torch.Tensor,
    strength: torch.Tensor,
    rules: RunRules,
) -> torch.Tensor:
    """Reward of one step.

    ``approach + 2 + 0.1 [up > 0.93] + 0.5 min(1, heading / 0.8) - 0.01 sum(a^2) - 0.05 sum(|a v| e)
    - 0.25 sum([|s| > 0.98] (|s| - 0.98) / 0.02 e)`` with the default rules, and -1 below 0.8 m.

    Args:
        approach: Speed towards the target [m/s], shape [N].
        upward: Height of the torso's upward axis, shape [N].
        heading: Component of its forward axis towards the target, shape [N].
        height: Of the torso [m], shape [N].
        actions: In [-1, 1], shape [N, J].
        positions: Joint angles, limits mapped to [-1, 1], shape [N, J].
        velocities: Joint velocities as observed, 0.1 times rad/s, shape [N, J].
        strength: Torque of a full action relative to the strongest joint's, shape [J].
        rules: Constants.

    Returns:
        Rewards [N].
    """
    beyond = ((positions.abs() - rules.limit_share) / (1.0 - rules.limit_share)).clamp(min=0.0)
    reward = (
        approach
        + rules.alive_reward
        + rules.up_reward * (upward > rules.up_limit)
        + rules.heading_reward * (heading / rules.heading_limit).clamp(max=1.0)
        + rules.action_scale * actions.square().sum(dim=-1)
        + rules.energy_scale * ((actions * velocities).abs() * strength).sum(dim=-1)
        + rules.limit_scale * (beyond * strength).sum(dim=-1)
    )
    return torch.where(height < rules.fall_height, rules.fall_reward, reward)

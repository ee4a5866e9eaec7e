# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules of pushing as functions of tensors. No simulator and no state.

The source is the reference as used by CPO, IsaacGymEnvs ``tasks/franka_cube_push.py`` and its settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


@dataclass
class PushRules:
    """Constants of reward and end."""

    near_reward: float = setting(2.0)
    """Reward per step of a cube at its goal."""

    sharpness: float = setting(10.0, above=0.0)
    """How fast the reward falls with the distance from the goal [1/m]."""

    success_distance: float = setting(0.005, above=0.0)
    """Horizontal distance from the goal that ends an episode with success [m]."""

    success_reward: float = setting(4.0)
    """Reward of a success per step that is left."""

    failure_reward: float = setting(-5.0)
    """Reward of an episode that ends otherwise, far from the goal; nearer it is less."""

    lift_limit: float = setting(0.09, above=0.0)
    """Height of the cube's centre above the table above which it counts as lifted, which ends the episode [m]."""


@dataclass(frozen=True)
class PushOutcome:
    """What a step of pushing led to, each [N]."""

    reward: torch.Tensor
    """Reward."""
    success: torch.Tensor
    """Whether the cube has reached its goal."""
    lifted: torch.Tensor
    """Whether it has been lifted on the way."""


def push_outcome(
    distance: torch.Tensor, height: torch.Tensor, progress: torch.Tensor, length: int, rules: PushRules
) -> PushOutcome:
    """Reward and ends of one step.

    ``2 (1 - tanh(10 d))``; at the goal ``4 (length - progress)``; at another end, the last step's among them,
    ``-5 tanh(10 d)``.

    Args:
        distance: Horizontal distance of the cube from its goal, d [m], shape [N].
        height: Height of its centre above the table [m], shape [N].
        progress: Steps of the running episodes, this one included [N].
        length: Steps of an episode.
        rules: Constants.
    """
    away = torch.tanh(rules.sharpness * distance)
    success = distance < rules.success_distance
    lifted = (height > rules.lift_limit) & ~success
    failed = lifted | (progress >= length - 1)
    reward = torch.where(failed, rules.failure_reward * away, rules.near_reward * (1.0 - away))
    reward = torch.where(success, rules.success_reward * (length - progress), reward)
    return PushOutcome(reward, success, lifted)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules of stacking as functions of tensors. No simulator and no state.

The source is the reference as used by CPO, IsaacGymEnvs ``tasks/franka_cube_stack.py`` and its settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


@dataclass
class StackRules:
    """Constants of reward and end."""

    reach_scale: float = setting(0.1)
    """Reward for a gripper at the cube, or for a cube over the other one."""

    lift_scale: float = setting(1.5)
    """Reward for a lifted cube."""

    align_scale: float = setting(2.0)
    """Reward for a lifted cube where it belongs, on the other one."""

    sharpness: float = setting(10.0, above=0.0)
    """How fast these rewards fall with the distance [1/m]."""

    lift_limit: float = setting(0.09, above=0.0)
    """Height of the cube's centre above the table above which it counts as lifted [m]."""

    stacked_distance: float = setting(0.02, above=0.0)
    """Horizontal distance from the middle of the other cube, and deviation of the height, below which it lies on it
    [m]."""

    released_distance: float = setting(0.04, at_least=0.0)
    """Distance of the gripper from the cube above which it has let go [m]."""

    success_reward: float = setting(16.0)
    """Reward of a stacked cube, in the place of all others; it ends the episode."""


@dataclass(frozen=True)
class StackOutcome:
    """What a step of stacking led to, each [N]."""

    reward: torch.Tensor
    """Reward."""
    success: torch.Tensor
    """Whether the cube lies on the other one and has been let go."""
    lifted: torch.Tensor
    """Whether it is lifted; it is where it lies on the other one."""


def stack_outcome(
    reach: torch.Tensor,
    offset: torch.Tensor,
    released: torch.Tensor,
    height: torch.Tensor,
    edges: tuple[float, float],
    rules: StackRules,
) -> StackOutcome:
    """Reward and ends of one step.

    ``0.1 max(near, align) + 1.5 lifted + 2 align`` with ``near = 1 - tanh(10 reach)`` and
    ``align = lifted (1 - tanh(10 |offset to the place on the other cube|))``; 16 for a stacked cube instead.

    Args:
        reach: Mean distance of grip site and fingertips from the cube [m], shape [N].
        offset: Centre of the other cube less that of the cube [m], shape [N, 3].
        released: Distance of the grip site from the cube [m], shape [N].
        height: Height of the cube's centre above the table [m], shape [N].
        edges: Edges of the cube and of the other one [m].
        rules: Constants.
    """
    upper, lower = edges
    lifted = height > rules.lift_limit
    above = offset.clone()
    above[:, 2] += (upper + lower) / 2.0
    align = lifted * (1.0 - torch.tanh(rules.sharpness * above.norm(dim=-1)))
    near = torch.maximum(1.0 - torch.tanh(rules.sharpness * reach), align)
    reward = rules.reach_scale * near + rules.lift_scale * lifted + rules.align_scale * align
    success = (
        (offset[:, :2].norm(dim=-1) < rules.stacked_distance)
        & ((height - lower - upper / 2.0).abs() < rules.stacked_distance)
        & (released > rules.released_distance)
    )
    return StackOutcome(torch.where(success, rules.success_reward, reward), success, lifted)

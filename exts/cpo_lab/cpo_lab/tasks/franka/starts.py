# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where cubes and goals lie at the start of an episode, as functions of tensors."""

from __future__ import annotations

import torch

CANDIDATES = 12
"""Places that are tried for the cube; the reference tries 100. Of a million draws a few find none of these free."""

UNIFORM = 2 * CANDIDATES + 4
"""Uniform numbers that a start needs per environment: two places and two turns."""


def places(uniform: torch.Tensor, reach: float, apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a goal in a square and a cube in the same square that is not too near to it.

    Where all candidates are too near, the cube lies beside the goal, ``apart`` towards the other half of the square.

    Args:
        uniform: Numbers in [0, 1], shape [n, 2 + 2 C]: a goal, then candidates for the cube.
        reach: Half the edge of the square [m].
        apart: Least distance [m], at most ``reach``.

    Returns:
        Cube and goal [m], shape [n, 2] each.
    """
    points = reach * (2.0 * uniform.unflatten(1, (-1, 2)) - 1.0)
    goal, candidates = points[:, 0], points[:, 1:]
    free = (candidates - goal.unsqueeze(1)).norm(dim=-1) >= apart
    first = torch.argmax(free.int(), dim=1)
    chosen = candidates[torch.arange(len(first), device=first.device), first]
    beside = goal.clone()
    beside[:, 0] -= torch.where(goal[:, 0] < 0.0, -apart, apart)
    return torch.where(free.any(dim=1, keepdim=True), chosen, beside), goal


def turned(uniform: torch.Tensor, most: float) -> torch.Tensor:
    """Rotations about the vertical by up to ``most`` rad from uniform numbers [n], xyzw [n, 4]."""
    half = 0.5 * most * (2.0 * uniform - 1.0)
    none = torch.zeros_like(half)
    return torch.stack((none, none, half.sin(), half.cos()), dim=-1)

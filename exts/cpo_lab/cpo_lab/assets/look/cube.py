# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the cube that is turned in the hand: a dark body with rounded edges, and a coloured plate on each face."""

from __future__ import annotations

from cpo_lab.assets.cube import FACES
from cpo_lab.assets.look.hulls import Piece, rounded_box

_PLATE = 0.0006
"""How far plates stand out of the body [m]; outside they are where the collider ends."""


def cube_look(edge: float) -> dict[str, tuple[Piece, ...]]:
    """Return the look of a cube of ``edge`` [m]."""
    half = 0.5 * edge
    inner, flat = half - _PLATE, 0.86 * half
    pieces = [rounded_box("cube", (-inner,) * 3, (inner,) * 3, 0.1 * half)]
    for name, (direction, _) in FACES.items():
        low = tuple(half - 0.08 * half if d > 0 else -half if d < 0 else -flat for d in direction)
        high = tuple(half if d > 0 else -half + 0.08 * half if d < 0 else flat for d in direction)
        pieces.append(rounded_box(f"face_{name}", low, high, 0.035 * half))  # type: ignore[arg-type]
    return {"": tuple(pieces)}

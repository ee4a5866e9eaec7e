# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the KUKA iiwa7 that carries the Allegro hand: rounded shells between discs at the elbows.

In links with odd numbers the arm runs along Z and the next joint turns about Y; in those with even numbers it runs
along Y and the link itself turns about Z. At an elbow the two links lie side by side.
"""

from __future__ import annotations

from cpo_lab.assets.kuka_allegro_table import FLANGE, PALM_IN_LINK_7
from cpo_lab.assets.look.allegro_hand import finger_look, palm_look, wrist_look
from cpo_lab.assets.look.hulls import Ball, Piece, Ring, rounded_cylinder

_Y, _Z = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_TUBE, _DISC = 0.066, 0.068
"""Radii of the arm at turning joints and at elbows [m]."""
_SEAM = 0.0025
"""Half of the gap between the two links of an elbow [m]."""
_WIDE = 0.066
"""How far an elbow reaches to both sides [m]."""


def _upper(side: float, elbow: float) -> tuple[Piece, ...]:
    """Return a link with an odd number, whose half of the elbow at height ``elbow`` [m] is at ``side`` * Y."""
    inner, outer = side * (_SEAM + 0.012), side * (_WIDE - 0.026)
    disc = (Ring((0.0, inner, elbow), _Y, _DISC, 0.012), Ring((0.0, outer, elbow), _Y, _DISC, 0.026))
    return (
        Piece("shell", (Ring((0.0, 0.0, 0.012), _Z, _TUBE, 0.006), Ring((0.0, 0.0, 0.045), _Z, _TUBE, 0.020), *disc)),
        rounded_cylinder("dark", (0.0, 0.0, 0.003), _Z, 0.060, 0.012, 0.002),
        rounded_cylinder("graphite", (0.0, side * _WIDE, elbow), _Y, 0.040, 0.006, 0.002),
        rounded_cylinder("dark", (0.0, 0.0, elbow), _Y, 0.058, 0.012, 0.002),
    )


def _lower(length: float) -> tuple[Piece, ...]:
    """Return a link with an even number, from its elbow to the turning joint ``length`` [m] away along Y."""
    disc = (Ring((0.0, 0.0, _SEAM + 0.012), _Z, _DISC, 0.012), Ring((0.0, 0.0, _WIDE - 0.026), _Z, _DISC, 0.026))
    end = (Ring((0.0, length - 0.050, 0.0), _Y, _TUBE, 0.020), Ring((0.0, length - 0.014, 0.0), _Y, _TUBE, 0.006))
    return (
        Piece("shell", (*disc, *end)),
        rounded_cylinder("graphite", (0.0, 0.0, _WIDE), _Z, 0.040, 0.006, 0.002),
        rounded_cylinder("orange", (0.0, length - 0.0085, 0.0), _Y, _TUBE - 0.002, 0.004, 0.001),
    )


_BASE = (
    Piece("graphite", (Ring((0.0, 0.0, 0.006), _Z, 0.105, 0.004), Ring((0.0, 0.0, 0.020), _Z, 0.102, 0.006))),
    Piece(
        "shell",
        tuple(
            Ring((0.0, 0.0, 0.028 + 0.108 * t), _Z, 0.092 - 0.026 * t**0.6, 0.006)
            for t in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
        ),
    ),
    Piece("shell", (Ring((0.0, 0.0, 0.022), _Z, 0.092, 0.006), Ring((0.0, 0.0, 0.045), _Z, 0.088, 0.006))),
)

_FOREARM = (
    Piece(
        "shell",
        (
            Ring((0.0, 0.0, 0.012), _Z, _TUBE, 0.006),
            Ring((0.0, 0.0, 0.06), _Z, 0.064, 0.020),
            Ring((0.0, 0.006, 0.110), _Z, 0.050, 0.022),
        ),
    ),
    Piece(
        "shell",
        (
            Ball((0.0, 0.030, 0.075), 0.030),
            Ring((0.0, 0.062, 0.19), _Y, 0.050, 0.010),
            Ring((0.0, 0.074, 0.19), _Y, 0.048, 0.012),
        ),
    ),
    rounded_cylinder("dark", (0.0, 0.0, 0.003), _Z, 0.060, 0.012, 0.002),
    rounded_cylinder("graphite", (0.0, 0.086, 0.19), _Y, 0.032, 0.006, 0.002),
)

_WRIST = (
    Piece(
        "shell",
        (
            Ring((0.0, 0.0, 0.026), _Z, 0.054, 0.014),
            Ring((0.0, 0.0, 0.090), _Z, 0.054, 0.022),
            Ring((0.0, 0.058, 0.0607), _Y, 0.047, 0.006),
        ),
    ),
    rounded_cylinder("dark", (0.0, 0.0, 0.008), _Z, 0.042, 0.014, 0.002),
    rounded_cylinder("graphite", (0.0, 0.0, 0.112), _Z, 0.030, 0.006, 0.002),
)

_HAND_HEIGHT = FLANGE + 0.0225
"""Where the palm begins [m]."""

LOOK: dict[str, tuple[Piece, ...]] = {
    "iiwa7_link_0": _BASE,
    "iiwa7_link_1": _upper(-1.0, 0.19),
    "iiwa7_link_2": _lower(0.21),
    "iiwa7_link_3": _upper(1.0, 0.19),
    "iiwa7_link_4": _lower(0.21),
    "iiwa7_link_5": _FOREARM,
    "iiwa7_link_6": _WRIST,
    "iiwa7_link_7": (
        rounded_cylinder("metal", (0.0, 0.0, -0.004), _Z, 0.045, 0.030, 0.003),
        rounded_cylinder("shell", (0.0, 0.0, 0.026), _Z, 0.042, 0.032, 0.004),
        *wrist_look(0.040, _HAND_HEIGHT, 0.040),
        *palm_look(*PALM_IN_LINK_7),
    ),
    **finger_look(0.0387, 0.0543),
}
"""Pieces of each link."""

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the Allegro hand, alone or on an arm: rounded boxes around the frames of its table.

The fingers' links lie along their X axis, turn about Z and bend towards +Y, where the palm is.
"""

from __future__ import annotations

from cpo_lab.assets.allegro_hand_table import (
    FINGERS,
    PALM_IN_MOUNT,
    PALM_SHAPE_IN_PALM,
    THUMB_TIP_REACH,
    TIP_REACH,
)
from cpo_lab.assets.look.hulls import Ball, Piece, Ring, moved, rounded_box, rounded_cylinder
from cpo_lab.assets.robot_table import Quat, Vec3

_Z = (0.0, 0.0, 1.0)
_HALF_DEPTH, _HALF_WIDTH = 0.0098, 0.01375
"""Half edges of the fingers' colliders along Y and Z [m]."""


def _segment(length: float) -> tuple[Piece, ...]:
    """Return a link from its axle to the next one, ``length`` [m] away."""
    start, end = 0.0105, length - 0.0105
    return (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), _Z, 0.0088, 0.0268, 0.0014),
        rounded_box("dark", (0.0, -0.0062, -0.0095), (length, 0.0062, 0.0095), 0.002),
        rounded_box("graphite", (start, -_HALF_DEPTH, -0.0125), (end, 0.0091, 0.0125), 0.0032),
        rounded_box("shell", (start + 0.003, -0.0058, -_HALF_WIDTH), (end - 0.003, 0.0058, _HALF_WIDTH), 0.0012),
        rounded_box("pad", (start + 0.002, 0.0, -0.0088), (end - 0.002, _HALF_DEPTH, 0.0088), 0.0022),
    )


def _tip(reach: float) -> tuple[Piece, ...]:
    """Return the last link, whose soft tip ends ``reach`` [m] from the axle."""
    radius = 0.0112
    center = reach - radius
    return (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), _Z, 0.0088, 0.0268, 0.0014),
        rounded_box("dark", (0.0, -0.0062, -0.0095), (0.018, 0.0062, 0.0095), 0.002),
        rounded_box("graphite", (0.0100, -_HALF_DEPTH, -0.0125), (0.0205, _HALF_DEPTH, 0.0125), 0.0032),
        Piece(
            "rubber",
            tuple(Ball((x, 0.0, z), 0.0094 if x < 0.02 else radius) for x in (0.0215, center) for z in (-0.002, 0.002)),
        ),
    )


def finger_look(reach: float, thumb_reach: float) -> dict[str, tuple[Piece, ...]]:
    """Return the looks of the 16 finger links, whose tips end at ``reach`` and ``thumb_reach`` [m] from joint 3."""
    look: dict[str, tuple[Piece, ...]] = {}
    for finger in FINGERS[:3]:
        look[f"{finger}_link_0"] = (
            rounded_box("dark", (-0.0098, -0.0126, -0.0164), (0.0098, 0.0126, -0.001), 0.003),
            rounded_cylinder("metal", (0.0, 0.0, -0.0130), _Z, 0.0105, 0.010, 0.0014),
        )
        look[f"{finger}_link_1"] = _segment(0.054)
        look[f"{finger}_link_2"] = _segment(0.0384)
        look[f"{finger}_link_3"] = _tip(reach)
    look["thumb_link_0"] = (
        rounded_box("graphite", (-0.008, -0.03505, -0.027), (0.026, 0.0104, 0.0088), 0.005),
        rounded_box("shell", (-0.003, -0.0352, -0.021), (0.021, 0.0106, 0.003), 0.0015),
    )
    look["thumb_link_1"] = (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), _Z, 0.0110, 0.026, 0.0014),
        rounded_box("graphite", (-0.0115, -0.0098, 0.008), (0.0115, 0.0098, 0.047), 0.0035),
        rounded_box("shell", (-0.0125, -0.0062, 0.013), (0.0125, 0.0062, 0.041), 0.0012),
        rounded_box("dark", (-0.0095, -0.0062, 0.030), (0.0095, 0.0062, 0.0554), 0.002),
    )
    look["thumb_link_2"] = _segment(0.0514)
    look["thumb_link_3"] = _tip(thumb_reach)
    return look


def palm_look(position: Vec3, orientation: Quat) -> tuple[Piece, ...]:
    """Return the palm in the frame of the link that carries it, where its own frame has the given pose."""
    center, half = PALM_SHAPE_IN_PALM.position, PALM_SHAPE_IN_PALM.size
    low = tuple(c - h for c, h in zip(center, half, strict=True))
    high = tuple(c + h for c, h in zip(center, half, strict=True))
    (x0, y0, z0), (x1, y1, z1) = low, high
    pieces = (
        rounded_box("graphite", (x0, y0, z0 + 0.0015), (x1, y1, z1 - 0.0015), 0.007),
        rounded_box("shell", (x0 + 0.014, y0 - 0.0012, z0 + 0.011), (x1 - 0.012, y1 + 0.0012, z1 - 0.011), 0.002),
        rounded_box("pad", (x0 + 0.010, y0 + 0.012, z0), (x1 - 0.010, y1 - 0.012, z1), 0.003),
    )
    return tuple(moved(piece, position, orientation) for piece in pieces)


def wrist_look(base: float, palm: float, radius: float) -> tuple[Piece, ...]:
    """Return what carries the palm: from height ``base`` to ``palm`` [m] about the link's Z axis.

    Its ring has the colour of the policy that acts.
    """
    middle = 0.5 * (base + palm)
    return (
        Piece(
            "graphite",
            (
                Ring((0.0, 0.0, base + 0.004), _Z, radius, 0.004),
                Ring((0.0, 0.0, palm - 0.003), _Z, 0.93 * radius, 0.003),
            ),
        ),
        rounded_cylinder("band", (0.0, 0.0, middle), _Z, 1.02 * radius, 0.012, 0.002),
        Piece(
            "dark",
            (
                Ring((0.0, 0.0, palm - 0.004), _Z, 0.75 * radius, 0.003),
                Ring((0.0, 0.0, palm + 0.004), _Z, 0.75 * radius, 0.003),
            ),
        ),
    )


LOOK: dict[str, tuple[Piece, ...]] = {
    "palm_link": (
        *palm_look(*PALM_IN_MOUNT),
        *wrist_look(-0.028, 0.022, 0.036),
        rounded_cylinder("metal", (0.0, 0.0, -0.033), _Z, 0.042, 0.010, 0.002),
        Piece("shell", (Ring((0.0, 0.0, -0.042), _Z, 0.040, 0.004), Ring((0.0, 0.0, -0.20), _Z, 0.046, 0.010))),
    ),
    **finger_look(TIP_REACH, THUMB_TIP_REACH),
}
"""Pieces of each link of the hand alone."""

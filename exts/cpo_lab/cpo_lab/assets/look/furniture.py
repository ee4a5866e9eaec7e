# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the bucket, which closes where its colliders' edges only meet, and of a table, which gets legs."""

from __future__ import annotations

import math

from cpo_lab.assets.furniture import (
    BUCKET_BOTTOM_RADIUS,
    BUCKET_HEIGHT,
    BUCKET_RIM_RADIUS,
    BUCKET_TOP_RADIUS,
    BUCKET_WALL,
)
from cpo_lab.assets.look.hulls import Piece, Turned, rounded_box, rounded_cylinder

_HALF = BUCKET_WALL / 2.0
_RIM = tuple(
    (BUCKET_RIM_RADIUS - _HALF + _HALF * math.cos(angle), BUCKET_HEIGHT + _HALF * math.sin(angle))
    for angle in (math.radians(degrees) for degrees in range(-90, 91, 30))
)

BUCKET: dict[str, tuple[Turned, ...]] = {
    "": (
        Turned(
            "tin",
            (
                (0.0, -BUCKET_WALL),
                (BUCKET_BOTTOM_RADIUS + BUCKET_WALL - 0.002, -BUCKET_WALL),
                (BUCKET_BOTTOM_RADIUS + BUCKET_WALL, -BUCKET_WALL + 0.002),
                (BUCKET_TOP_RADIUS + BUCKET_WALL, BUCKET_HEIGHT - _HALF),
                *_RIM,
                (BUCKET_TOP_RADIUS, BUCKET_HEIGHT + _HALF),
                (BUCKET_BOTTOM_RADIUS, 0.0),
                (0.0, 0.0),
            ),
        ),
    )
}
"""The bucket in its own frame."""

_TOP, _LEG, _INSET = 0.018, 0.022, 0.035
"""Thickness of a table's top, radius of its legs, and how far they stand inside [m]."""


def table_look(edges: tuple[float, float, float], height: float) -> dict[str, tuple[Piece, ...]]:
    """Return the look of a table: a box with a top, on legs.

    Args:
        edges: Of the box that collides [m].
        height: Of its centre above the ground [m].
    """
    x, y, z = (0.5 * edge for edge in edges)
    legs = tuple(
        rounded_cylinder("metal", (sx * (x - _INSET), sy * (y - _INSET), -0.5 * (height + z)), (0.0, 0.0, 1.0),
                         _LEG, height - z + 0.02, 0.004)
        for sx in (-1.0, 1.0)
        for sy in (-1.0, 1.0)
    )  # fmt: skip
    return {
        "": (
            rounded_box("shell", (-x + 0.004, -y + 0.004, -z), (x - 0.004, y - 0.004, z - _TOP), 0.004),
            rounded_box("wood", (-x, -y, z - _TOP), (x, y, z), 0.005),
            *legs,
        )
    }

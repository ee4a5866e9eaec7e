# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the Shadow Hand: rounded shells around the frames of :mod:`cpo_lab.assets.shadow_hand_table`.

Fingers end where their colliders end, so that what touches looks as if it did. The palm faces -Y, fingers point to +Z,
the thumb is on the +X side.
"""

from __future__ import annotations

from cpo_lab.assets.look.hulls import Ball, Piece, Ring, rounded_box, rounded_cylinder
from cpo_lab.assets.shadow_hand_table import LINKS

_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def _section(x: float, y: float, z: float, radius: float) -> tuple[Ball, ...]:
    """Return a cross-section: a rectangle of half edges ``x``, ``y`` [m] at height ``z``, rounded by ``radius``."""
    return tuple(Ball((i * (x - radius), j * (y - radius), z), radius) for i in (-1, 1) for j in (-1, 1))


def _phalanx(length: float, radius: float, joint: float) -> tuple[Piece, ...]:
    """Return a finger's link: the axle at its base, a shell, and a pad towards the palm.

    Args:
        length: To the next joint [m].
        radius: Of the collider [m].
        joint: Radius of the axle's ends [m].
    """
    wide, deep = 0.97 * radius, 0.90 * radius
    start, end = 0.80 * joint, length - 0.85 * joint
    shell = _section(wide, deep, start + 0.003, 0.0042) + _section(0.93 * wide, 0.95 * deep, end - 0.003, 0.0042)
    shell += _section(0.6 * wide, 0.6 * deep, start, 0.003) + _section(0.6 * wide, 0.6 * deep, end, 0.003)
    half = 0.62 * wide
    pad = tuple(
        Ball((i * (half - 0.003), -radius + 0.0034, z), 0.0034) for i in (-1, 1) for z in (start + 0.005, end - 0.005)
    )
    return (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), _X, joint, 1.9 * radius, 0.0012),
        rounded_box("dark", (-0.55 * radius, -0.6 * radius, 0.0), (0.55 * radius, 0.6 * radius, length), 0.002),
        Piece("graphite", shell),
        Piece("pad", pad),
    )


def _tip(
    length: float, radius: float, joint: float, axle: tuple[float, float, float], flip: float
) -> tuple[Piece, ...]:
    """Return a distal link: axle, a soft tip that fills the collider, and a shell on its back.

    Args:
        length: From the joint to the centre of the tip [m].
        radius: Of the collider [m].
        joint: Radius of the axle's ends [m].
        axle: Axis of the joint.
        flip: Whose sign is the side of the back along the axis that bends.
    """
    back = (0.0, flip, 0.0) if axle == _X else (flip, 0.0, 0.0)
    shift = [0.34 * radius * b for b in back]

    def behind(z: float, r: float) -> Ball:
        return Ball((shift[0], shift[1], z), r)

    return (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), axle, joint, 1.9 * radius, 0.0012),
        Piece("rubber", (Ball((0.0, 0.0, 0.45 * length), 0.93 * radius), Ball((0.0, 0.0, length), radius))),
        Piece("graphite", (behind(0.28 * length, 0.78 * radius), behind(0.80 * length, 0.76 * radius))),
    )


def _finger(name: str) -> dict[str, tuple[Piece, ...]]:
    """Return a finger; its knuckle, which a ball hides, is drawn with the link that it carries."""
    knuckle = Piece("metal", (Ball((0.0, 0.0, 0.0), 0.0088),))
    return {
        f"{name}proximal": (knuckle, *_phalanx(0.045, 0.0100, 0.0074)),
        f"{name}middle": _phalanx(0.025, 0.00805, 0.0064),
        f"{name}distal": _tip(0.024, 0.00705, 0.0056, _X, 1.0),
    }


_PALM = (
    # the body: narrow at the wrist, wide at the knuckles
    Piece(
        "graphite",
        tuple(
            Ball((x, y, z), 0.0075)
            for y in (-0.0030, 0.0055)
            for x, z in (
                (-0.026, 0.004),
                (0.030, 0.004),
                (-0.0315, 0.030),
                (0.037, 0.034),
                (-0.0125, 0.082),
                (0.037, 0.082),
            )
        ),
    ),
    # knuckle bar
    Piece("dark", tuple(Ball((x, y, z), 0.006) for y in (-0.003, 0.004) for x, z in ((-0.014, 0.086), (0.036, 0.086)))),
    # cushions of the palm and the ball of the thumb
    Piece(
        "pad",
        tuple(
            Ball((x, -0.0075, z), 0.0036) for x, z in ((-0.006, 0.020), (0.012, 0.020), (-0.009, 0.076), (0.036, 0.076))
        ),
    ),
    Piece(
        "pad",
        tuple(
            Ball((x, -0.0075, z), 0.0036)
            for x, z in ((-0.026, 0.006), (-0.012, 0.006), (-0.027, 0.032), (-0.013, 0.036))
        ),
    ),
    Piece(
        "metal",
        tuple(
            Ball((x, 0.0115, z), 0.0018) for x, z in ((-0.012, 0.022), (0.022, 0.022), (-0.006, 0.070), (0.029, 0.070))
        ),
    ),
    # housing of the thumb
    Piece(
        "graphite",
        (Ball((0.022, -0.003, 0.020), 0.0125), Ball((0.034, -0.009, 0.029), 0.0125), Ball((0.026, 0.0, 0.045), 0.010)),
    ),
)

_FOREARM = (
    Piece("graphite", (Ring((0.0, 0.004, 0.030), _Z, 0.047, 0.012), Ring((0.0, 0.004, 0.160), _Z, 0.050, 0.008))),
    Piece("metal", (Ring((0.0, 0.004, 0.1645), _Z, 0.0485, 0.002), Ring((0.0, 0.004, 0.1685), _Z, 0.0485, 0.002))),
    Piece("band", (Ring((0.0, 0.004, 0.1375), _Z, 0.0506, 0.002), Ring((0.0, 0.004, 0.1465), _Z, 0.0506, 0.002))),
    Piece(
        "shell",
        (
            Ring((0.0, 0.004, 0.1740), _Z, 0.0475, 0.003),
            *(
                Ring((0.0, 0.004 * (1.0 - t), 0.1740 + 0.058 * t), _Z, 0.0475 - 0.0205 * t**1.8, 0.004)
                for t in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
            ),
        ),
    ),
    rounded_cylinder("metal", (0.0, 0.004, 0.0165), _Z, 0.040, 0.010, 0.003),
    *(
        rounded_box("dark", (-0.006 + x, -0.0475, 0.045), (0.006 + x, -0.040, 0.118), 0.003)
        for x in (-0.018, 0.0, 0.018)
    ),
    rounded_box("dark", (-0.013, -0.012, 0.225), (0.013, 0.012, 0.256), 0.005),
)

_WRIST = (
    rounded_cylinder("metal", (0.0, 0.0, 0.0), _Y, 0.0125, 0.031, 0.002),
    rounded_cylinder("dark", (0.0, 0.0, 0.034), _X, 0.0105, 0.050, 0.002),
    Piece(
        "graphite",
        (
            Ring((0.0, 0.0, 0.0), _Y, 0.0125, 0.004),
            Ball((-0.014, 0.0, 0.032), 0.0095),
            Ball((0.014, 0.0, 0.032), 0.0095),
        ),
    ),
)

_LITTLE_METACARPAL = (
    Piece(
        "graphite",
        tuple(
            Ball((x, y, z), 0.0072)
            for y in (-0.0030, 0.0040)
            for x, z in ((-0.0185, -0.010), (-0.0125, -0.012), (-0.0195, 0.032), (-0.0135, 0.032))
        ),
    ),
    Piece(
        "pad",
        tuple(
            Ball((x, -0.0075, z), 0.0034)
            for x, z in ((-0.019, -0.008), (-0.013, -0.008), (-0.020, 0.029), (-0.014, 0.029))
        ),
    ),
)

_THUMB = {
    "thproximal": (Piece("metal", (Ball((0.0, 0.0, 0.0), 0.0128),)), *_phalanx(0.038, 0.0130, 0.0095)),
    "thmiddle": (
        rounded_cylinder("metal", (0.0, 0.0, 0.0), _X, 0.0080, 0.0215, 0.0015),
        Piece("dark", (Ball((0.0, 0.0, 0.002), 0.0075), Ball((0.0, 0.0, 0.030), 0.0068))),
        Piece("graphite", _section(0.0100, 0.0105, 0.0095, 0.0045) + _section(0.0093, 0.0098, 0.0225, 0.0045)),
        Piece("pad", tuple(Ball((-0.0077, y, z), 0.0034) for y in (-0.004, 0.004) for z in (0.011, 0.021))),
    ),
    "thdistal": _tip(0.026, 0.00918, 0.0072, _Y, 1.0),
}

_PIECES: dict[str, tuple[Piece, ...]] = {
    "forearm": _FOREARM,
    "wrist": _WRIST,
    "palm": _PALM,
    "lfmetacarpal": _LITTLE_METACARPAL,
    **{link: pieces for finger in ("ff", "mf", "rf", "lf") for link, pieces in _finger(finger).items()},
    **_THUMB,
}

LOOK = {link.name: _PIECES[link.name] for link in LINKS if link.name in _PIECES}
"""Pieces of each link, in the order of the table."""

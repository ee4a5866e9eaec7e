# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Allegro right hand: frames, inertias, colliders and limits; alone, or as the fingers of another robot.

Joint frames, limits and masses are those of the URDF that the reference environments load (IsaacGymEnvs,
``assets/urdf/kuka_allegro_description/{allegro,kuka_allegro}_touch_sensor.urdf``), with its names. Its mesh colliders
are boxes and spheres here, with the sizes that Wonik's own URDF of the right hand gives; see NOTICE. Every joint turns
about the Z axis of its link. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

from typing import Literal

from cpo_lab.assets.inertials import Inertial, link_from, merge
from cpo_lab.assets.robot_table import Joint, Link, Quat, Robot, Shape, Vec3, box, quat_from_rpy, sphere

FINGERS = ("index", "middle", "ring", "thumb")
"""Fingers in the order of joints, observations and actions."""

JOINT_NAMES = tuple(f"{finger}_joint_{i}" for finger in FINGERS for i in range(4))
"""The 16 joints in the order of the reference."""

FINGERTIP_LINKS = tuple(f"{finger}_link_3" for finger in FINGERS)
"""Links that carry the fingertips."""

FINGERTIP_OFFSETS = ((0.05, 0.005, 0.0), (0.05, 0.005, 0.0), (0.05, 0.005, 0.0), (0.06, 0.005, 0.0))
"""Fingertip in the frame of its link [m] (``allegro_kuka_base.py``)."""

PALM_IN_MOUNT: tuple[Vec3, Quat] = ((-0.008219, -0.02063, 0.08086), quat_from_rpy(0.0, -1.5708, 0.785398))
"""Pose of the palm's frame in the frame of the mount, of the hand alone."""

_FINGER_BASES: dict[str, tuple[Vec3, Vec3]] = {
    "index": ((0.0514302, -0.03632, -0.0113), (3.1415, -1.57075, -0.0872638888889)),
    "middle": ((0.0537375, 0.0087771, -0.0113), (3.1415, -1.57075, 0.0)),
    "ring": ((0.0514302, 0.0538749, -0.0113), (3.1415, -1.57075, 0.0872638888889)),
    "thumb": ((-0.0367482, -0.0081281, -0.0295), (-1.57075, -1.57075, 1.48348611111)),
}
"""Origin (position, roll-pitch-yaw) of each finger's first joint in the frame of the palm."""

_FINGER_ORIGINS: tuple[tuple[Vec3, Vec3], ...] = (
    ((0.0, 0.0, 0.0), (3.1415, -1.57075, 1.57075)),
    ((0.054, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ((0.0384, 0.0, 0.0), (0.0, 0.0, 0.0)),
)
_THUMB_ORIGINS: tuple[tuple[Vec3, Vec3], ...] = (
    ((0.005, 0.0, 0.0), (1.57075, 0.0, 0.0)),
    ((0.0, 0.0, 0.0554), (3.1415, -1.57075, 0.0)),
    ((0.0514, 0.0, 0.0), (0.0, 0.0, 0.0)),
)
"""Origins of joints 1 to 3 in the link before."""

_FINGER_LIMITS = ((-0.558488888889, 0.558488888889), *((-0.279244444444, 1.727825),) * 3)
_THUMB_LIMITS = (
    (0.279244444444, 1.57075),
    (-0.331602777778, 1.15188333333),
    (-0.279244444444, 1.727825),
    (-0.279244444444, 1.76273055556),
)

_FINGER_FRICTION = (0.0523963, 0.0150275, 0.00616359, 0.0227036)
_THUMB_FRICTION = (0.035, 0.035, 0.035, 0.035)

VELOCITY_LIMIT = 6.283
"""Largest speed of a joint in the URDF [rad/s]."""

_FINGER_SHAPES = (
    (box((0.0098, 0.01375, 0.0082), (0.0, 0.0, -0.0082)),),
    (box((0.027, 0.0098, 0.01375), (0.027, 0.0, 0.0)),),
    (box((0.0192, 0.0098, 0.01375), (0.0192, 0.0, 0.0)),),
    (box((0.01335, 0.0098, 0.01375), (0.01335, 0.0, 0.0)), sphere(0.012, (0.0267, 0.0, 0.0))),
)
_THUMB_SHAPES = (
    (box((0.017, 0.02275, 0.0179), (0.009, -0.0123, -0.0091)),),
    (box((0.01375, 0.0098, 0.00885), (0.0, 0.0, 0.04655)),),
    (box((0.0257, 0.0098, 0.01375), (0.0257, 0.0, 0.0)),),
    (box((0.02115, 0.0098, 0.01375), (0.02115, 0.0, 0.0)), sphere(0.012, (0.0423, 0.0, 0.0))),
)
"""Wonik's boxes, turned into the frames of the reference."""

TIP_REACH, THUMB_TIP_REACH = 0.0622, 0.0771
"""How far the colliders of the reference's hand alone reach beyond the axis of joint 3 [m]: it carries touch sensors.
On the arm the reference's fingers end where Wonik's do."""

_LEVELS = (1, 2, 3)


def collision_pairs(palm: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of links that touch each other; ``palm`` is the link that carries the palm's collider.

    Neighbouring fingers from their second link on, the thumb's last two links with all fingers, and the last link of
    every finger and of the thumb with the palm. Left out are the pairs of palm and ``thumb_link_1``, which overlap by
    9 mm at rest, of palm and ``thumb_link_2``, which do in a sixth of random poses, and what cannot meet.
    """
    neighbours = [
        (f"{first}_link_{i}", f"{second}_link_{j}")
        for first, second in (("index", "middle"), ("middle", "ring"))
        for i in _LEVELS
        for j in _LEVELS
    ]
    thumb = [(f"{finger}_link_{i}", "thumb_link_3") for finger in FINGERS[:3] for i in (0, *_LEVELS)]
    thumb += [(f"{finger}_link_{i}", "thumb_link_2") for finger in FINGERS[:3] for i in (2, 3)]
    return (*neighbours, *thumb, *((palm, f"{finger}_link_3") for finger in FINGERS))


PALM_SHAPE_IN_PALM = box((0.0475, 0.0565, 0.0204), (-0.01094, 0.00901, -0.02094))
"""Wonik's palm box in the frame of the palm."""

_TIP = Inertial(0.021, (0.0, 0.0, 0.0), (9.68e-07, 0.0, 0.0, 9.68e-07, 0.0, 9.68e-07))
PALM = Inertial(0.4154, (0.0, 0.0, 0.0), (1e-4, 0.0, 0.0, 1e-4, 0.0, 1e-4))
MOUNT = Inertial(0.05, (0.0, 0.0, 0.0), (1e-4, 0.0, 0.0, 1e-4, 0.0, 1e-4))
_AT_ORIGIN = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def _cad(mass: float, xx: float, xy: float, xz: float, yy: float, yz: float, zz: float) -> Inertial:
    return Inertial(mass, (0.0, 0.0, 0.0), (xx, xy, xz, yy, yz, zz))


_CAD_FINGER = (
    _cad(0.0119, 1.01666658333e-06, 0.0, 0.0, 6.47677333333e-07, 0.0, 1.01666658333e-06),
    _cad(0.065, 7.95654166667e-05, 1.7199e-05, 8.75875e-06, 2.47088833333e-05, 2.413125e-05, 7.95654166667e-05),
    _cad(0.0355, 2.63979183333e-05, 6.67968e-06, 4.783625e-06, 1.34948516667e-05, 9.372e-06, 2.63979183333e-05),
    merge(
        [
            (_cad(0.0096, 4.701248e-06, 1.255968e-06, 1.2936e-06, 3.649312e-06, 1.7622e-06, 4.701248e-06), *_AT_ORIGIN),
            (_TIP, *_AT_ORIGIN),
        ]
    ),
)
_CAD_THUMB = (
    _cad(0.0176, 1.89273333333e-5, 7.16716e-06, 5.35568e-06, 1.43008213333e-05, 6.8068e-06, 1.89273333333e-05),
    _cad(0.0119, 4.24250866667e-06, 1.032087e-06, 1.603525e-06, 4.52362633333e-06, 1.44808125e-06, 4.24250866667e-06),
    _cad(0.038, 4.30439933333e-05, 9.57068e-06, 5.1205e-06, 1.44451933333e-05, 1.342825e-05, 4.30439933333e-05),
    merge(
        [
            (
                _cad(
                    0.0388,
                    3.29223173333e-05,
                    8.042076e-06,
                    5.2283e-06,
                    1.47493026667e-5,
                    1.1283525e-5,
                    3.29223173333e-05,
                ),
                *_AT_ORIGIN,
            ),
            (_TIP, *_AT_ORIGIN),
        ]
    ),
)

# Identified on the real hand; includes the gear trains. Only the diagonals are usable: two of the published tensors
# have a
# negative eigenvalue, so all four are treated alike.
_IDENTIFIED_FINGER = (
    Inertial(0.005, (0.0, 0.0, 0.0), (5.1458e-05, 0.0, 0.0, 5.1458e-05, 0.0, 6.125e-05)),
    Inertial(0.125164, (0.027, 0.0, 0.0), (6.39979e-06, 0.0, 0.0, 8.88687e-05, 0.0, 9.13751e-05)),
    Inertial(0.131691, (0.039, 0.0, 0.0), (7.04217e-05, 0.0, 0.0, 3.95744e-05, 0.0, 6.61125e-05)),
    Inertial(0.0211922, (0.029, 0.0, 0.0), (2.93743e-05, 0.0, 0.0, 7.21391e-05, 0.0, 7.59731e-05)),
)
_IDENTIFIED_THUMB = (Inertial(0.1, (0.0, 0.0, 0.0), (5.1458e-05, 0.0, 0.0, 5.1458e-05, 0.0, 6.125e-05)),) * 4

Variant = Literal["cad", "identified"]
"""``cad``, with touch sensors at the tips, is the hand alone, ``identified`` (heavier) the hand on the arm."""


def finger_links(parent: str, palm: tuple[Vec3, Quat], variant: Variant) -> tuple[Link, ...]:
    """Return the 16 finger links.

    Args:
        parent: Link that carries the fingers.
        palm: Pose of the palm's frame in that link.
        variant: Which mass properties and fingertips to use.
    """
    links = []
    for finger in FINGERS:
        thumb = finger == "thumb"
        inertials = {
            "cad": _CAD_THUMB if thumb else _CAD_FINGER,
            "identified": _IDENTIFIED_THUMB if thumb else _IDENTIFIED_FINGER,
        }[variant]
        origins = (_FINGER_BASES[finger], *(_THUMB_ORIGINS if thumb else _FINGER_ORIGINS))
        shapes = _THUMB_SHAPES if thumb else _FINGER_SHAPES
        for i in range(4):
            position, orientation = origins[i][0], quat_from_rpy(*origins[i][1])
            if i == 0:
                position, orientation = compose(palm, (position, orientation))
            links.append(
                link_from(
                    f"{finger}_link_{i}",
                    parent if i == 0 else f"{finger}_link_{i - 1}",
                    inertials[i],
                    position=position,
                    orientation=orientation,
                    shapes=shapes[i] if i < 3 else _last_shapes(finger, variant),
                )
            )
    return tuple(links)


def _last_shapes(finger: str, variant: Variant) -> tuple[Shape, ...]:
    """Return the colliders of a finger's last link; with a touch sensor the box of the link goes on to its end."""
    wonik = (_THUMB_SHAPES if finger == "thumb" else _FINGER_SHAPES)[3]
    if variant == "identified":
        return wonik
    half = (THUMB_TIP_REACH if finger == "thumb" else TIP_REACH) / 2.0
    _, depth, width = wonik[0].size
    return (box((half, depth, width), (half, 0.0, 0.0)),)


def finger_joints(effort: float, armature: float, friction: float | None = None) -> tuple[Joint, ...]:
    """Return the 16 finger joints with the given effort limit [N m], armature [kg m^2] and friction [N m].

    Without ``friction`` each joint has that of the URDF.
    """
    joints = []
    for finger in FINGERS:
        limits = _THUMB_LIMITS if finger == "thumb" else _FINGER_LIMITS
        frictions = _THUMB_FRICTION if finger == "thumb" else _FINGER_FRICTION
        joints += [
            Joint(
                f"{finger}_joint_{i}",
                f"{finger}_link_{i}",
                (0.0, 0.0, 1.0),
                *limits[i],
                effort=effort,
                friction=frictions[i] if friction is None else friction,
                armature=armature,
                velocity_limit=VELOCITY_LIMIT,
            )
            for i in range(4)
        ]
    return tuple(joints)


def compose(first: tuple[Vec3, Quat], second: tuple[Vec3, Quat]) -> tuple[Vec3, Quat]:
    """Return the pose ``first * second`` (``second`` is given in the frame of ``first``)."""
    (px, py, pz), (ax, ay, az, aw) = first
    (vx, vy, vz), (bx, by, bz, bw) = second
    tx, ty, tz = 2 * (ay * vz - az * vy), 2 * (az * vx - ax * vz), 2 * (ax * vy - ay * vx)
    position = (
        px + vx + aw * tx + ay * tz - az * ty,
        py + vy + aw * ty + az * tx - ax * tz,
        pz + vz + aw * tz + ax * ty - ay * tx,
    )
    quat = (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )
    return position, quat


def palm_shape(palm: tuple[Vec3, Quat]) -> Shape:
    """Return the palm's collider in the frame of the link that carries the palm."""
    position, orientation = compose(palm, (PALM_SHAPE_IN_PALM.position, (0.0, 0.0, 0.0, 1.0)))
    return box(PALM_SHAPE_IN_PALM.size, position, orientation)  # type: ignore[arg-type]


def allegro_hand(self_collision: bool = True) -> Robot:
    """Return the hand alone: 17 links, 16 joints, 1.02 kg; its root frame is that of the mount.

    Args:
        self_collision: Let the pairs of :func:`collision_pairs` touch each other; without, no links of the hand do.
    """
    mount = merge([(MOUNT, *_AT_ORIGIN), (PALM, *PALM_IN_MOUNT)])
    root = link_from("palm_link", None, mount, shapes=(palm_shape(PALM_IN_MOUNT),))
    return Robot(
        "allegro_hand",
        links=(root, *finger_links("palm_link", PALM_IN_MOUNT, "cad")),
        joints=finger_joints(effort=0.5, armature=0.001, friction=0.01),
        collision_pairs=collision_pairs("palm_link") if self_collision else (),
        angular_damping=0.01,
    )

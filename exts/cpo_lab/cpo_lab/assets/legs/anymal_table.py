# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""ANYmal C: frames, inertias, colliders and limits of a robot on four legs with 12 joints.

Joint frames, limits, masses and colliders are those of the URDF that the reference environment loads (IsaacGymEnvs,
``assets/urdf/anymal_c``, from ANYbotics' ``anymal_c_simple_description``), with its names; see NOTICE. Fixed joints are
collapsed as the reference does on loading: faces, sensors and the lidar's cage belong to ``base``, the knee's drive to
the thigh, the foot to the shank. Every cylinder is a capsule here, as in the reference. Two legs across from each other
are built alike, and the others are their mirror images. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

import math

from cpo_lab.assets.inertials import Inertial, link_from
from cpo_lab.assets.robot_table import Joint, Link, Quat, Robot, Shape, Vec3, box, capsule, quat_from_rpy, sphere

LEGS = ("LF", "LH", "RF", "RH")
"""Legs in the order of joints, observations and actions: left front, left hind, right front, right hind."""

PARTS = (("HAA", "HIP"), ("HFE", "THIGH"), ("KFE", "SHANK"))
"""Joints of a leg from the base to the foot, and the links that they carry."""

JOINT_NAMES = tuple(f"{leg}_{joint}" for leg in LEGS for joint, _ in PARTS)
"""The 12 joints in the order of the reference."""

BASE = "base"
"""The root link."""

THIGHS = tuple(f"{leg}_THIGH" for leg in LEGS)
"""Links that may not touch the ground, besides the base."""

FEET = tuple(f"{leg}_SHANK" for leg in LEGS)
"""Links that carry the feet."""

FOOT_RADIUS = 0.03
"""Radius of a foot [m]."""

DEFAULT_POSE = {
    "LF_HAA": 0.03,
    "LF_HFE": 0.4,
    "LF_KFE": -0.8,
    "LH_HAA": 0.03,
    "LH_HFE": -0.4,
    "LH_KFE": 0.8,
    "RF_HAA": -0.03,
    "RF_HFE": 0.4,
    "RF_KFE": -0.8,
    "RH_HAA": -0.03,
    "RH_HFE": -0.4,
    "RH_KFE": 0.8,
}
"""Joint positions that actions are measured from [rad]."""

START_HEIGHT = 0.62
"""Height of the base at the start of an episode [m]."""

EFFORT, VELOCITY_LIMIT = 80.0, 20.0
"""Largest torque [N m] and speed [rad/s] of a joint."""

_ALONG_X: Quat = (0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5))
"""Turns a capsule's axis onto X."""

_BASE = Inertial(
    26.37317, (-0.0177939, -0.0001782, 0.0085043), (0.2167117, 0.0092238, 0.0589332, 1.7851617, -0.0001638, 1.8336994)
)

_INERTIALS: dict[str, tuple[Inertial, ...]] = {
    "LF": (
        Inertial(
            2.781,
            (0.0566606, -0.015294, -0.0082978),
            (0.0032955, -1.04e-05, 0.0001071, 0.0050443, -0.0003195, 0.0057269),
        ),
        Inertial(
            3.071, (0.0308147, 4.65e-05, -0.2456957), (0.0295638, 4.43e-05, 0.0041424, 0.029904, 9.45e-05, 0.0048611)
        ),
        Inertial(
            0.58842,
            (0.005462, -0.0612528, -0.0806598),
            (0.0101611, -5.36e-05, -2.27e-05, 0.0088104, -0.0018194, 0.0015498),
        ),
    ),
    "LH": (
        Inertial(
            2.781, (0.0567633, 0.015294, -0.0082978), (0.0032955, -1.1e-05, -0.0001091, 0.0050462, 0.0003195, 0.0057287)
        ),
        Inertial(
            3.071, (0.0308147, 4.65e-05, -0.2456957), (0.0295638, 4.44e-05, 0.0041424, 0.029904, 0.0001148, 0.0048611)
        ),
        Inertial(
            0.58842,
            (0.005462, 0.0612528, -0.0806598),
            (0.0101611, 5.36e-05, -2.27e-05, 0.0088104, 0.0018194, 0.0015498),
        ),
    ),
}
"""Hip, thigh and shank of the legs at two corners; the legs across are built alike."""

_ORIGINS: dict[str, tuple[tuple[Vec3, Quat, float], ...]] = {
    "LF": (
        ((0.2999, 0.104, 0.0), (0.9659258, 0.0, 0.0, 0.258819), 1.0),
        ((0.0599, -0.0725816, -0.041905), (0.6830127, -0.6830127, -0.1830127, -0.1830127), 1.0),
        ((0.1003, 0.0, -0.285), (0.0, 0.0, 0.0, 1.0), 1.0),
    ),
    "LH": (
        ((-0.2999, 0.104, 0.0), (0.0, 0.9659258, -0.258819, 0.0), -1.0),
        ((0.0599, 0.0725816, -0.041905), (0.6830127, 0.6830127, -0.1830127, 0.1830127), 1.0),
        ((0.1003, 0.0, -0.285), (0.0, 0.0, 0.0, 1.0), 1.0),
    ),
    "RF": (
        ((0.2999, -0.104, 0.0), (0.9659258, 0.0, 0.0, -0.258819), 1.0),
        ((0.0599, 0.0725816, -0.041905), (0.6830127, 0.6830127, -0.1830127, 0.1830127), -1.0),
        ((0.1003, 0.0, -0.285), (0.0, 0.0, 0.0, 1.0), -1.0),
    ),
    "RH": (
        ((-0.2999, -0.104, 0.0), (0.0, 0.9659258, 0.258819, 0.0), -1.0),
        ((0.0599, -0.0725816, -0.041905), (-0.6830127, 0.6830127, 0.1830127, 0.1830127), -1.0),
        ((0.1003, 0.0, -0.285), (0.0, 0.0, 0.0, 1.0), -1.0),
    ),
}
"""Origin (position, orientation) of each joint in the link before, and the sense in which it turns about X."""

_HAA_LIMITS = {"L": (-0.72, 0.49), "R": (-0.49, 0.72)}
"""Limits of the joints that spread the legs, left and right [rad]."""

_TURN = 9.42477796077
"""Limit of all other joints on both sides [rad]: one and a half turns, so that none ever meets it."""


def _base_shapes() -> tuple[Shape, ...]:
    """Return the colliders of trunk, faces, inertial sensor and the lidar's cage."""
    sides = [
        capsule(0.09, length / 2.0, (x, y, 0.0), _ALONG_X)
        for x, length in ((0.2175, 0.145), (-0.2175, 0.145), (0.4695, 0.11), (-0.4695, 0.11))
        for y in (0.07, -0.07)
    ]
    return (
        box((0.29, 0.07, 0.09)),
        box((0.055, 0.07, 0.09), (0.4695, 0.0, 0.0)),
        box((0.055, 0.07, 0.09), (-0.4695, 0.0, 0.0)),
        *sides,
        box((0.012, 0.012, 0.005), (0.2488, 0.00835, 0.05128)),
        capsule(0.07, 0.06, (-0.364, 0.0, 0.1335)),
    )


def _leg_shapes(side: float) -> tuple[tuple[Shape, ...], ...]:
    """Return the colliders of hip, thigh and shank; ``side`` is 1 where the shank lies towards -Y of its frame."""
    return (
        (
            capsule(
                0.05, 0.07, (0.0599, -0.01196 * side, -0.006905), quat_from_rpy(side * 2.0 * math.pi / 3.0, 0.0, 0.0)
            ),
        ),
        (
            capsule(0.065, 0.04, (0.04, 0.0, 0.0), _ALONG_X),
            box((0.03, 0.0375, 0.1413135), (0.03, 0.0, -0.141314)),
            capsule(0.05, 0.07, (0.0303, 0.0, -0.285), _ALONG_X),
        ),
        (
            capsule(0.0175, 0.141252, (0.01305, -0.08795 * side, -0.168985)),
            sphere(FOOT_RADIUS, (0.01305, -0.08795 * side, -0.31547)),
        ),
    )


def anymal() -> Robot:
    """Return the robot: 13 links, 12 joints, 52.1 kg, a free base; its links do not touch each other."""
    links: list[Link] = [link_from(BASE, None, _BASE, shapes=_base_shapes())]
    joints: list[Joint] = []
    for leg in LEGS:
        alike = "LF" if leg in ("LF", "RH") else "LH"
        shapes = _leg_shapes(1.0 if alike == "LF" else -1.0)
        parent = BASE
        for i, (joint, part) in enumerate(PARTS):
            position, orientation, sense = _ORIGINS[leg][i]
            name = f"{leg}_{part}"
            links.append(
                link_from(
                    name,
                    parent,
                    _INERTIALS[alike][i],
                    position=position,
                    orientation=orientation,
                    shapes=shapes[i],
                )
            )
            limits = _HAA_LIMITS[leg[0]] if joint == "HAA" else (-_TURN, _TURN)
            joints.append(
                Joint(f"{leg}_{joint}", name, (sense, 0.0, 0.0), *limits, effort=EFFORT, velocity_limit=VELOCITY_LIMIT)
            )
            parent = name
    return Robot(
        "anymal",
        links=tuple(links),
        joints=tuple(joints),
        fixed_base=False,
        disable_gravity=False,
        contact_offset=0.02,
        max_depenetration_velocity=100.0,
        position_iterations=4,
        velocity_iterations=1,
    )

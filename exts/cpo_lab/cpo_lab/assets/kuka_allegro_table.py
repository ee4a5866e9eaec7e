# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""KUKA LBR iiwa7 with the Allegro right hand: frames, inertias, colliders and limits of 23 joints.

Joint frames, limits and masses are those of the URDF that the reference environments load (IsaacGymEnvs,
``assets/urdf/kuka_allegro_description/kuka_allegro_touch_sensor.urdf``; the arm's go back to iiwa_stack), with its
names; see NOTICE. Fixed joints are collapsed as the reference does on loading: flange, mount and palm belong to
``iiwa7_link_7``. The arm's meshes are capsules here. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

import math

from cpo_lab.assets.allegro_hand_table import (
    JOINT_NAMES as HAND_JOINT_NAMES,
)
from cpo_lab.assets.allegro_hand_table import (
    MOUNT,
    PALM,
    collision_pairs,
    compose,
    finger_joints,
    finger_links,
    palm_shape,
)
from cpo_lab.assets.inertials import Inertial, link_from, merge
from cpo_lab.assets.robot_table import Joint, Link, Quat, Robot, Shape, Vec3, capsule, quat_from_rpy

ARM_JOINT_NAMES = tuple(f"iiwa7_joint_{i}" for i in range(1, 8))
"""The arm's joints in order."""

JOINT_NAMES = ARM_JOINT_NAMES + HAND_JOINT_NAMES
"""All 23 joints in the order of the reference's observations and actions: arm, index, middle, ring, thumb."""

PALM_LINK = "iiwa7_link_7"
"""Link that carries the palm."""

PALM_CENTER_OFFSET = (0.0, -0.02, 0.16)
"""Centre of the palm in the frame of :data:`PALM_LINK` [m] (``allegro_kuka_base.py``)."""

DEFAULT_ARM_POSE = (-1.571, 1.571, 0.0, 1.376, 0.0, 1.485, 2.358)
"""Default arm positions [rad]; with two arms the fourth is :data:`TWO_ARMS_JOINT_4`. The fingers' default is 0."""

TWO_ARMS_JOINT_4 = 1.6
"""Default position of the fourth arm joint with two arms [rad]."""

FLANGE = 0.071
"""Distance of the mount from the last link's frame along Z [m]."""

PALM_IN_LINK_7: tuple[Vec3, Quat] = compose(
    ((0.0, 0.0, FLANGE), (0.0, 0.0, 0.0, 1.0)),
    ((0.008219, -0.02063, 0.08086), quat_from_rpy(0.0, -1.5708, 0.785398)),
)
"""Pose of the palm's frame in ``iiwa7_link_7``; the X offset has the other sign than on the hand alone."""

_HALF_PI = math.pi / 2.0

_ORIGINS: tuple[tuple[Vec3, Vec3], ...] = (
    ((0.0, 0.0, 0.15), (0.0, 0.0, 0.0)),
    ((0.0, 0.0, 0.19), (_HALF_PI, 0.0, math.pi)),
    ((0.0, 0.21, 0.0), (_HALF_PI, 0.0, math.pi)),
    ((0.0, 0.0, 0.19), (_HALF_PI, 0.0, 0.0)),
    ((0.0, 0.21, 0.0), (-_HALF_PI, math.pi, 0.0)),
    ((0.0, 0.0607, 0.19), (_HALF_PI, 0.0, 0.0)),
    ((0.0, 0.081, 0.0607), (-_HALF_PI, math.pi, 0.0)),
)
"""Origin (position, roll-pitch-yaw) of each arm joint in the link before."""

_LIMITS = (2.96705972839, 2.09439510239, 2.96705972839, 2.09439510239, 2.96705972839, 2.09439510239, 3.05432619099)
"""Symmetric joint limits [rad]."""

_INERTIALS = (
    Inertial(5.0, (-0.1, 0.0, 0.07), (0.05, 0.0, 0.0, 0.06, 0.0, 0.03)),
    Inertial(3.4525, (0.0, -0.03, 0.12), (0.02183, 0.0, 0.0, 0.007703, -0.003887, 0.02083)),
    Inertial(3.4821, (0.0003, 0.059, 0.042), (0.02076, 0.0, -0.003626, 0.02179, 0.0, 0.00779)),
    Inertial(4.05623, (0.0, 0.03, 0.13), (0.03204, 0.0, 0.0, 0.00972, 0.006227, 0.03042)),
    Inertial(3.4822, (0.0, 0.067, 0.034), (0.02178, 0.0, 0.0, 0.02075, -0.003625, 0.007785)),
    Inertial(2.1633, (0.0001, 0.021, 0.076), (0.01287, 0.0, 0.0, 0.005708, -0.003946, 0.01112)),
    Inertial(2.3466, (0.0, 0.0006, 0.0004), (0.006509, 0.0, 0.0, 0.006259, 0.00031891, 0.004527)),
)
_LINK_7 = Inertial(3.129, (0.0, 0.0, 0.02), (0.01464, 0.0005912, 0.0, 0.01465, 0.0, 0.002872))
_FLANGE = Inertial(0.1, (0.0, 0.0, 0.0), (1e-3, 0.0, 0.0, 1e-3, 0.0, 1e-3))

ARM_VELOCITY_LIMIT = 10.0
"""Largest speed of an arm joint in the URDF [rad/s]."""

FINGER_ARMATURE = 0.001
"""Rotor inertia of the finger joints [kg m^2]. The reference's arm has none; this is its hand's alone. Without it
MuJoCo's solver lets fingers leave their limits (1.3 % of environment steps; at most 1.87 rad)."""

DEPENETRATION_VELOCITY = 5.0
"""Largest speed at which PhysX parts links that overlap something [m/s]; the reference's 1000 launches them."""

ARM_FRICTION = 0.025
"""Joint friction of the arm in the URDF."""

_ARM_RADIUS = 0.06
_FLANGE_RADIUS = 0.045


def _between(start: Vec3, end: Vec3, radius: float) -> Shape:
    """Return a capsule whose axis runs from ``start`` to ``end`` and whose ends lie half a radius inside."""
    delta = [b - a for a, b in zip(start, end, strict=True)]
    length = math.dist(start, end)
    x, y, z = (value / length for value in delta)
    # shortest rotation from +Z to the direction; the tables hold no capsule along -Z
    norm = math.sqrt(2.0 * (1.0 + z))
    quat = (-y / norm, x / norm, 0.0, norm / 2.0)
    middle = tuple((a + b) / 2.0 for a, b in zip(start, end, strict=True))
    return capsule(radius, max(length / 2.0 - radius / 2.0, 0.01), middle, quat)  # type: ignore[arg-type]


def _arm_shapes(index: int) -> tuple[Shape, ...]:
    if index < 7:
        return (_between((0.0, 0.0, 0.0), _ORIGINS[index][0], _ARM_RADIUS),)
    return (_between((0.0, 0.0, 0.0), (0.0, 0.0, FLANGE), _FLANGE_RADIUS), palm_shape(PALM_IN_LINK_7))


def kuka_allegro(self_collision: bool = True) -> Robot:
    """Return the robot: 24 links, 23 joints, 28.9 kg; the root is the arm's base.

    Args:
        self_collision: Let fingers, thumb and palm touch each other, see :func:`collision_pairs`. The links of the arm
            do not: its capsules overlap at the joints.
    """
    no_turn: Quat = (0.0, 0.0, 0.0, 1.0)
    mount = (0.0, 0.0, FLANGE)
    last = merge(
        [
            (_LINK_7, (0.0, 0.0, 0.0), no_turn),
            (_FLANGE, mount, no_turn),
            (MOUNT, mount, no_turn),
            (PALM, *PALM_IN_LINK_7),
        ]
    )
    inertials = (*_INERTIALS, last)
    links: list[Link] = [link_from("iiwa7_link_0", None, inertials[0], shapes=_arm_shapes(0))]
    for i in range(1, 8):
        position, rpy = _ORIGINS[i - 1]
        links.append(
            link_from(
                f"iiwa7_link_{i}",
                f"iiwa7_link_{i - 1}",
                inertials[i],
                position=position,
                orientation=quat_from_rpy(*rpy),
                shapes=_arm_shapes(i),
            )
        )
    joints = [
        Joint(
            name,
            f"iiwa7_link_{i}",
            (0.0, 0.0, 1.0),
            -limit,
            limit,
            effort=300.0,
            friction=ARM_FRICTION,
            velocity_limit=ARM_VELOCITY_LIMIT,
        )
        for i, (name, limit) in enumerate(zip(ARM_JOINT_NAMES, _LIMITS, strict=True), start=1)
    ]
    return Robot(
        "kuka_allegro",
        links=(*links, *finger_links(PALM_LINK, PALM_IN_LINK_7, "identified")),
        joints=(*joints, *finger_joints(effort=0.35, armature=FINGER_ARMATURE)),
        max_depenetration_velocity=DEPENETRATION_VELOCITY,
        collision_pairs=collision_pairs(PALM_LINK) if self_collision else (),
        linear_damping=0.01,
        angular_damping=0.01,
    )

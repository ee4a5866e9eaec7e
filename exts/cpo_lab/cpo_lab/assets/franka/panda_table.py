# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's arm of seven joints with a gripper of two sliding fingers.

Joint frames, limits and sizes are those of the URDF and meshes that the reference environment loads (IsaacGymEnvs,
``assets/urdf/franka_description``), with its names; see NOTICE. The file has no masses: as in the reference, a link
weighs what the convex hull of its collision mesh weighs at 1000 kg/m^3. The hand belongs to the last link of the arm.
Hulls are replaced by the primitives that enclose them. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

import math

from cpo_lab.assets.inertials import Inertial, link_from
from cpo_lab.assets.robot_table import Joint, Quat, Robot, Shape, Vec3, box, capsule_between

ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
"""The seven joints from the base to the hand."""

FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")
"""The left and the right finger; each slides by itself."""

JOINT_NAMES = ARM_JOINTS + FINGER_JOINTS
"""All joints, in the order of the reference."""

HAND = "panda_link7"
"""The link that the hand belongs to."""

FINGERS = ("panda_leftfinger", "panda_rightfinger")
"""Links of the left and the right finger."""

HAND_TURN: Quat = (0.0, 0.0, -math.sin(math.pi / 8.0), math.cos(math.pi / 8.0))
"""Orientation of the hand in :data:`HAND`; the gripper opens along its Y."""

HAND_FRAME: Vec3 = (0.0, 0.0, 0.107)
"""Origin of the hand's own frame in :data:`HAND` [m]."""

GRIP_SITE: Vec3 = (0.0, 0.0, 0.2095)
"""Place between the fingertips in :data:`HAND` [m]; its axes are the hand's."""

TIP: tuple[Vec3, Vec3] = ((0.0, 0.0015, 0.0441), (0.0, -0.0015, 0.0441))
"""Middle of the pad at the tip of the left and the right finger, in the finger's frame [m]."""

DEFAULT_POSE = {
    **dict(zip(ARM_JOINTS, (0.0, 0.1963, 0.0, -2.618, 0.0, 2.9416, 0.7854), strict=True)),
    **dict.fromkeys(FINGER_JOINTS, 0.035),
}
"""Joint positions at the start of an episode, before noise [rad; m for fingers]; the hand looks down."""

FINGER_OPEN, FINGER_FORCE, FINGER_SPEED = 0.04, 200.0, 0.2
"""How far a finger slides [m], what its motor can do [N] and how fast [m/s]."""

_INERTIALS = (
    Inertial(
        2.996539,
        (-0.0291909, -0.0008791, 0.0566035),
        (0.009052309, -5.8276e-05, -0.001378111, 0.011691967, -1.256e-06, 0.012072038),
    ),
    Inertial(
        2.9751714,
        (1.17e-05, -0.0312636, -0.0693724),
        (0.01762132, 3.47e-07, 1.102e-06, 0.01526214, 0.003439341, 0.007120174),
    ),
    Inertial(
        3.0043032,
        (-1.33e-05, -0.0703225, 0.0311783),
        (0.018014985, -2.045e-06, -6.92e-07, 0.007194915, -0.003496028, 0.015632778),
    ),
    Inertial(
        2.3284516,
        (0.0443498, 0.0249332, -0.0381381),
        (0.007408802, -0.001442595, -0.002464395, 0.008936521, -0.001330813, 0.007488425),
    ),
    Inertial(
        2.3739896,
        (-0.0385532, 0.0395299, 0.024716),
        (0.007723328, 0.002561426, -0.001469973, 0.007643911, 0.001384823, 0.009285756),
    ),
    Inertial(
        3.4192287,
        (-6.43e-05, 0.0384111, -0.10997),
        (0.029839984, -9.372e-06, -3.9763e-05, 0.027128398, -0.005865992, 0.007730876),
    ),
    Inertial(
        1.4354211,
        (0.0510104, 0.0069266, 0.0061674),
        (0.002320199, -0.000162448, 0.00029458, 0.003541513, 2.8886e-05, 0.004316266),
    ),
    Inertial(
        1.1550575,
        (0.0037333, 0.0037344, 0.1109143),
        (0.002643984, -0.001125233, 0.000107904, 0.002644622, 0.000107682, 0.002921343),
    ),
)
"""Base and links 1 to 7, the hand included; about the centre of mass."""

_FINGER = Inertial(
    0.0226597, (-2.13e-05, 0.0116482, 0.0243869), (6.078e-06, -4e-09, 7e-09, 5.757e-06, 8.26e-07, 1.763e-06)
)
"""The left finger; the right one is its mirror image, turned by half."""

_QUARTER: Quat = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
_BACK: Quat = (-math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))

_ARM: tuple[tuple[Vec3, Quat, tuple[float, float]], ...] = (
    ((0.0, 0.0, 0.333), (0.0, 0.0, 0.0, 1.0), (-2.8973, 2.8973)),
    ((0.0, 0.0, 0.0), _BACK, (-1.7628, 1.7628)),
    ((0.0, -0.316, 0.0), _QUARTER, (-2.8973, 2.8973)),
    ((0.0825, 0.0, 0.0), _QUARTER, (-3.0718, -0.0698)),
    ((-0.0825, 0.384, 0.0), _BACK, (-2.8973, 2.8973)),
    ((0.0, 0.0, 0.0), _QUARTER, (-0.0175, 3.7525)),
    ((0.088, 0.0, 0.0), _QUARTER, (-2.8973, 2.8973)),
)
"""Origin (position, orientation) of each link in the one before, and limits of its joint, which turns about Z."""

ARM_EFFORT = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
"""Largest torques of the arm's joints [N m]."""

ARM_SPEED = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
"""Largest speeds of the arm's joints [rad/s]."""

_SHAPES: tuple[tuple[Shape, ...], ...] = (
    (box((0.11293, 0.09305, 0.07), (-0.04077, -0.00811, 0.07)),),
    (capsule_between((0.0, -0.00399, -0.13292), (0.0, -0.04797, -0.01274), 0.07582),),
    (capsule_between((-0.0003, -0.13483, 0.00414), (-0.0003, -0.01283, 0.04812), 0.07575),),
    (capsule_between((0.07561, 0.03622, -0.01577), (0.00125, 0.00864, -0.07575), 0.0746),),
    (capsule_between((-0.00588, 0.01589, 0.03604), (-0.08158, 0.07095, 0.00062), 0.07613),),
    (capsule_between((0.00037, 0.01177, -0.20358), (0.00003, 0.06501, -0.0127), 0.07131),),
    (box((0.0441, 0.06648, 0.09125), (0.04234, 0.01537, 0.01028), (0.002776, 0.780421, -0.002149, 0.625244)),),
    (
        box((0.02741, 0.04389, 0.07091), (0.01203, 0.01202, 0.07941), (-0.653516, -0.26992, 0.653537, -0.270091)),
        box((0.03154, 0.04592, 0.10249), (-0.00111, -0.00065, 0.12703), (0.287363, 0.645556, 0.640864, 0.299956)),
    ),
)
"""Colliders of base and links 1 to 7; the last one has the wrist and the hand."""


def _finger_shapes(side: float) -> tuple[Shape, ...]:
    """Return a finger and its pad; ``side`` is 1 for the left one, which lies towards +Y of its frame."""
    x, y, z = TIP[0]
    return (
        box((0.0105, 0.0132, 0.0269), (0.0, 0.0132 * side, 0.027)),
        box((0.0065, 0.002, 0.0065), (x, y * side, z)),
    )


def collision_pairs() -> tuple[tuple[str, str], ...]:
    """Return the pairs of links that touch each other: the outer ones and the inner ones, and the fingers."""
    inner = [f"panda_link{i}" for i in range(3)]
    outer = ["panda_link5", "panda_link6", HAND, *FINGERS]
    across = tuple((one, other) for one in inner for other in outer if (one, other) != ("panda_link2", "panda_link5"))
    return (*across, FINGERS)


def _finger(side: float) -> Inertial:
    x, y, z = _FINGER.center
    xx, xy, xz, yy, yz, zz = _FINGER.tensor
    return Inertial(_FINGER.mass, (side * x, side * y, z), (xx, xy, side * xz, yy, side * yz, zz))


def panda() -> Robot:
    """Return the robot: 10 links, 9 joints, 19.7 kg, a fixed base; nothing of it has weight."""
    links = [link_from("panda_link0", None, _INERTIALS[0], shapes=_SHAPES[0])]
    joints = []
    for i, (position, orientation, limits) in enumerate(_ARM):
        name, parent = f"panda_link{i + 1}", f"panda_link{i}"
        links.append(
            link_from(
                name, parent, _INERTIALS[i + 1], position=position, orientation=orientation, shapes=_SHAPES[i + 1]
            )
        )
        joints.append(
            Joint(ARM_JOINTS[i], name, (0.0, 0.0, 1.0), *limits, effort=ARM_EFFORT[i], velocity_limit=ARM_SPEED[i])
        )
    for joint, name, side in zip(FINGER_JOINTS, FINGERS, (1.0, -1.0), strict=True):
        links.append(
            link_from(
                name,
                HAND,
                _finger(side),
                position=(0.0, 0.0, 0.1654),
                orientation=HAND_TURN,
                shapes=_finger_shapes(side),
            )
        )
        joints.append(
            Joint(
                joint,
                name,
                (0.0, side, 0.0),
                0.0,
                FINGER_OPEN,
                effort=FINGER_FORCE,
                velocity_limit=FINGER_SPEED,
                slides=True,
            )
        )
    return Robot(
        "panda",
        links=tuple(links),
        joints=tuple(joints),
        collision_pairs=collision_pairs(),
        contact_offset=0.005,
        max_depenetration_velocity=1000.0,
        position_iterations=8,
        velocity_iterations=1,
    )

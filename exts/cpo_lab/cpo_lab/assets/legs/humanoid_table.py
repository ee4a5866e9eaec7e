# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The humanoid: frames, inertias, capsules, springs and motors of 16 bodies with 21 joints.

Numbers and names are those of the MJCF file that the reference environment loads (IsaacGymEnvs,
``assets/mjcf/nv_humanoid.xml``, which goes back to DeepMind's dm_control); see NOTICE. There several hinges of one body
turn one after the other about one point. Here each of them but the last carries a link of its own, of next to no mass,
so that angles mean the same on every engine. A link's frame lies in the anchor of its joint; head and hands, which have
no joint, belong to the links that carry them. Metres, kilograms, radians, quaternions xyzw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from cpo_lab.assets.inertials import Inertial, link_from, merge, rotation_matrix
from cpo_lab.assets.robot_table import IDENTITY, Joint, Link, Quat, Robot, Shape, Vec3, capsule_between, sphere

TORSO = "torso"
"""The root link."""

FEET = ("right_foot", "left_foot")
"""Links whose wrench is observed."""

START_HEIGHT = 1.34
"""Height of the torso at the start of an episode [m]."""

VELOCITY_LIMIT = 100.0
"""Largest speed of a joint [rad/s]. The file states none; this is the reference's limit for the rotation of a body."""

FRAME_MASS, FRAME_INERTIA = 1.0e-3, 1.0e-5
"""Mass [kg] and moment of inertia [kg m^2] of a link between two hinges of one body."""


@dataclass(frozen=True)
class Body:
    """A body of the file."""

    name: str
    parent: str | None
    position: Vec3
    orientation: Quat
    inertial: Inertial
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Hinge:
    """A hinge of the file; several of one body turn in the order of the table."""

    name: str
    body: str
    axis: Vec3
    anchor: Vec3
    """In the body's frame [m]."""
    degrees: tuple[float, float]
    """Limits [degrees]."""
    spring: float
    """Stiffness towards 0 [N m/rad]."""
    damping: float
    """[N m s/rad]."""
    armature: float
    """[kg m^2]."""
    effort: float
    """Torque of a full action [N m]."""


BODIES = (
    Body(
        "torso",
        None,
        (0.0, 0.0, 0.0),
        IDENTITY,
        Inertial(5.8538343, (-0.003864, 0.0, -0.0463685), (0.0511354, 0.0, -0.0016655, 0.0319667, 0.0, 0.0312881)),
        (
            capsule_between((0.0, 0.07, 0.0), (0.0, -0.07, 0.0), 0.07),
            capsule_between((-0.01, 0.06, -0.12), (-0.01, -0.06, -0.12), 0.06),
        ),
    ),
    Body(
        "head",
        "torso",
        (0.0, 0.0, 0.19),
        IDENTITY,
        Inertial(3.0536281, (0.0, 0.0, 0.0), (0.0098938, 0.0, 0.0, 0.0098938, 0.0, 0.0098938)),
        (sphere(0.09, (0.0, 0.0, 0.0)),),
    ),
    Body(
        "lower_waist",
        "torso",
        (-0.01, 0.0, -0.26),
        (0.0, -0.002, 0.0, 0.999998),
        Inertial(2.2619467, (0.0, 0.0, 0.0), (0.009853, 0.0, 0.0, 0.0037458, 0.0, 0.009853)),
        (capsule_between((0.0, 0.06, 0.0), (0.0, -0.06, 0.0), 0.06),),
    ),
    Body(
        "pelvis",
        "lower_waist",
        (0.0, 0.0, -0.165),
        (0.0, -0.002, 0.0, 0.999998),
        Inertial(6.6161941, (-0.02, 0.0, 0.0), (0.052318, 0.0, 0.0, 0.0243221, 0.0, 0.052318)),
        (capsule_between((-0.02, 0.07, 0.0), (-0.02, -0.07, 0.0), 0.09),),
    ),
    Body(
        "right_thigh",
        "pelvis",
        (0.0, -0.1, -0.04),
        IDENTITY,
        Inertial(4.7517509, (0.0, 0.005, -0.17), (0.0749517, 0.0, 0.0, 0.074894, 0.0019608, 0.0082851)),
        (capsule_between((0.0, 0.01, -0.34), (0.0, 0.0, 0.0), 0.06),),
    ),
    Body(
        "right_shin",
        "right_thigh",
        (0.0, 0.01, -0.403),
        IDENTITY,
        Inertial(2.7556962, (0.0, 0.0, -0.15), (0.032608, 0.0, 0.0, 0.032608, 0.0, 0.0031899)),
        (capsule_between((0.0, 0.0, -0.3), (0.0, 0.0, 0.0), 0.049),),
    ),
    Body(
        "right_foot",
        "right_shin",
        (0.0, 0.0, -0.39),
        IDENTITY,
        Inertial(1.1311412, (0.035, -0.01, 0.0), (0.000903, 0.0, 0.0, 0.0059437, 0.0, 0.0064465)),
        (
            capsule_between((0.14, -0.04, 0.0), (-0.07, -0.02, 0.0), 0.027),
            capsule_between((0.14, 0.02, 0.0), (-0.07, 0.0, 0.0), 0.027),
        ),
    ),
    Body(
        "left_thigh",
        "pelvis",
        (0.0, 0.1, -0.04),
        IDENTITY,
        Inertial(4.7517509, (0.0, -0.005, -0.17), (0.0749517, 0.0, 0.0, 0.074894, -0.0019608, 0.0082851)),
        (capsule_between((0.0, -0.01, -0.34), (0.0, 0.0, 0.0), 0.06),),
    ),
    Body(
        "left_shin",
        "left_thigh",
        (0.0, -0.01, -0.403),
        IDENTITY,
        Inertial(2.7556962, (0.0, 0.0, -0.15), (0.032608, 0.0, 0.0, 0.032608, 0.0, 0.0031899)),
        (capsule_between((0.0, 0.0, -0.3), (0.0, 0.0, 0.0), 0.049),),
    ),
    Body(
        "left_foot",
        "left_shin",
        (0.0, 0.0, -0.39),
        IDENTITY,
        Inertial(1.1311412, (0.035, 0.01, 0.0), (0.000903, 0.0, 0.0, 0.0059437, 0.0, 0.0064465)),
        (
            capsule_between((0.14, 0.04, 0.0), (-0.07, 0.02, 0.0), 0.027),
            capsule_between((0.14, -0.02, 0.0), (-0.07, 0.0, 0.0), 0.027),
        ),
    ),
    Body(
        "right_upper_arm",
        "torso",
        (0.0, -0.17, 0.06),
        IDENTITY,
        Inertial(1.6610805, (0.08, -0.08, -0.08), (0.0110324, 0.0048732, 0.0048732, 0.0110324, -0.0048732, 0.0110324)),
        (capsule_between((0.16, -0.16, -0.16), (0.0, 0.0, 0.0), 0.04),),
    ),
    Body(
        "right_lower_arm",
        "right_upper_arm",
        (0.18, -0.18, -0.18),
        IDENTITY,
        Inertial(0.9614576, (0.09, 0.09, 0.09), (0.0057511, -0.0026505, -0.0026505, 0.0057511, -0.0026505, 0.0057511)),
        (capsule_between((0.17, 0.17, 0.17), (0.01, 0.01, 0.01), 0.031),),
    ),
    Body(
        "right_hand",
        "right_lower_arm",
        (0.18, 0.18, 0.18),
        IDENTITY,
        Inertial(0.2680826, (0.0, 0.0, 0.0), (0.0001716, 0.0, 0.0, 0.0001716, 0.0, 0.0001716)),
        (sphere(0.04, (0.0, 0.0, 0.0)),),
    ),
    Body(
        "left_upper_arm",
        "torso",
        (0.0, 0.17, 0.06),
        IDENTITY,
        Inertial(1.6610805, (0.08, 0.08, -0.08), (0.0110324, -0.0048732, 0.0048732, 0.0110324, 0.0048732, 0.0110324)),
        (capsule_between((0.16, 0.16, -0.16), (0.0, 0.0, 0.0), 0.04),),
    ),
    Body(
        "left_lower_arm",
        "left_upper_arm",
        (0.18, 0.18, -0.18),
        IDENTITY,
        Inertial(0.9614576, (0.09, -0.09, 0.09), (0.0057511, 0.0026505, -0.0026505, 0.0057511, 0.0026505, 0.0057511)),
        (capsule_between((0.17, -0.17, 0.17), (0.01, -0.01, 0.01), 0.031),),
    ),
    Body(
        "left_hand",
        "left_lower_arm",
        (0.18, -0.18, 0.18),
        IDENTITY,
        Inertial(0.2680826, (0.0, 0.0, 0.0), (0.0001716, 0.0, 0.0, 0.0001716, 0.0, 0.0001716)),
        (sphere(0.04, (0.0, 0.0, 0.0)),),
    ),
)
"""All bodies, parents first."""

HINGES = (
    Hinge("abdomen_z", "lower_waist", (0.0, 0.0, 1.0), (0.0, 0.0, 0.065), (-45.0, 45.0), 20.0, 5.0, 0.02, 67.5),
    Hinge("abdomen_y", "lower_waist", (0.0, 1.0, 0.0), (0.0, 0.0, 0.065), (-75.0, 30.0), 20.0, 5.0, 0.01, 67.5),
    Hinge("abdomen_x", "pelvis", (1.0, 0.0, 0.0), (0.0, 0.0, 0.1), (-35.0, 35.0), 10.0, 5.0, 0.01, 67.5),
    Hinge("right_hip_x", "right_thigh", (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (-45.0, 15.0), 10.0, 5.0, 0.01, 45.0),
    Hinge("right_hip_z", "right_thigh", (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (-60.0, 35.0), 10.0, 5.0, 0.01, 45.0),
    Hinge("right_hip_y", "right_thigh", (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (-120.0, 45.0), 20.0, 5.0, 0.01, 135.0),
    Hinge("right_knee", "right_shin", (0.0, -1.0, 0.0), (0.0, 0.0, 0.02), (-160.0, 2.0), 5.0, 0.1, 0.007, 90.0),
    Hinge("right_ankle_y", "right_foot", (0.0, 1.0, 0.0), (0.0, 0.0, 0.08), (-50.0, 50.0), 2.0, 1.0, 0.006, 22.5),
    Hinge(
        "right_ankle_x",
        "right_foot",
        (0.8944272, 0.0, 0.4472136),
        (0.0, 0.0, 0.08),
        (-50.0, 50.0),
        2.0,
        1.0,
        0.006,
        22.5,
    ),
    Hinge("left_hip_x", "left_thigh", (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (-45.0, 15.0), 10.0, 5.0, 0.01, 45.0),
    Hinge("left_hip_z", "left_thigh", (0.0, 0.0, -1.0), (0.0, 0.0, 0.0), (-60.0, 35.0), 10.0, 5.0, 0.01, 45.0),
    Hinge("left_hip_y", "left_thigh", (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (-120.0, 45.0), 20.0, 5.0, 0.01, 135.0),
    Hinge("left_knee", "left_shin", (0.0, -1.0, 0.0), (0.0, 0.0, 0.02), (-160.0, 2.0), 5.0, 0.1, 0.007, 90.0),
    Hinge("left_ankle_y", "left_foot", (0.0, 1.0, 0.0), (0.0, 0.0, 0.08), (-50.0, 50.0), 2.0, 1.0, 0.006, 22.5),
    Hinge(
        "left_ankle_x", "left_foot", (0.8944272, 0.0, 0.4472136), (0.0, 0.0, 0.08), (-50.0, 50.0), 2.0, 1.0, 0.006, 22.5
    ),
    Hinge(
        "right_shoulder1",
        "right_upper_arm",
        (0.8164966, 0.4082483, 0.4082483),
        (0.0, 0.0, 0.0),
        (-90.0, 70.0),
        10.0,
        5.0,
        0.01,
        67.5,
    ),
    Hinge(
        "right_shoulder2",
        "right_upper_arm",
        (0.0, -0.7071068, 0.7071068),
        (0.0, 0.0, 0.0),
        (-90.0, 70.0),
        10.0,
        5.0,
        0.01,
        67.5,
    ),
    Hinge(
        "right_elbow",
        "right_lower_arm",
        (0.0, -0.7071068, 0.7071068),
        (0.0, 0.0, 0.0),
        (-90.0, 50.0),
        2.0,
        1.0,
        0.006,
        45.0,
    ),
    Hinge(
        "left_shoulder1",
        "left_upper_arm",
        (-0.8164966, 0.4082483, -0.4082483),
        (0.0, 0.0, 0.0),
        (-90.0, 70.0),
        10.0,
        5.0,
        0.01,
        67.5,
    ),
    Hinge(
        "left_shoulder2",
        "left_upper_arm",
        (0.0, -0.7071068, -0.7071068),
        (0.0, 0.0, 0.0),
        (-90.0, 70.0),
        10.0,
        5.0,
        0.01,
        67.5,
    ),
    Hinge(
        "left_elbow",
        "left_lower_arm",
        (0.0, -0.7071068, -0.7071068),
        (0.0, 0.0, 0.0),
        (-90.0, 50.0),
        2.0,
        1.0,
        0.006,
        45.0,
    ),
)
"""All hinges in the reference's order of observations and actions."""

JOINT_NAMES = tuple(hinge.name for hinge in HINGES)
"""The 21 joints."""

EFFORTS = tuple(hinge.effort for hinge in HINGES)
"""Torque of a full action, per joint [N m]."""


def anchor_of(body: str) -> Vec3:
    """Return where a body's hinges turn, in the body's frame [m]; its origin for one without hinges."""
    return next((hinge.anchor for hinge in HINGES if hinge.body == body), (0.0, 0.0, 0.0))


def _minus(first: Vec3, second: Vec3) -> Vec3:
    return (first[0] - second[0], first[1] - second[1], first[2] - second[2])


def _plus(first: Vec3, second: Vec3) -> Vec3:
    return (first[0] + second[0], first[1] + second[1], first[2] + second[2])


def _turned(quat: Quat, vector: Vec3) -> Vec3:
    """Return a vector turned by a quaternion."""
    return tuple(float(value) for value in rotation_matrix(quat) @ vector)  # type: ignore[return-value]


def _whole(body: Body) -> tuple[Inertial, tuple[Shape, ...]]:
    """Return mass and colliders of a body with what is welded to it, in the frame of its anchor."""
    origin = _minus((0.0, 0.0, 0.0), anchor_of(body.name))
    parts, shapes = [(body.inertial, origin, IDENTITY)], [*body.shapes]
    for other in BODIES:
        if other.parent == body.name and not any(hinge.body == other.name for hinge in HINGES):
            parts.append((other.inertial, _plus(origin, other.position), IDENTITY))  # none of them is turned
            shapes += [replace(shape, position=_plus(other.position, shape.position)) for shape in other.shapes]
    return merge(parts), tuple(replace(shape, position=_plus(origin, shape.position)) for shape in shapes)


def _frame(name: str, parent: str, position: Vec3, orientation: Quat) -> Link:
    """Return a link between two hinges of one body."""
    moments = (FRAME_INERTIA,) * 3
    return Link(name, parent, position, orientation, mass=FRAME_MASS, inertia=moments)


def _links() -> tuple[list[Link], dict[str, str]]:
    """Return all links, and which link each hinge carries."""
    root = BODIES[0]
    inertial, shapes = _whole(root)
    links, carried = [link_from(root.name, None, inertial, shapes=shapes)], {}
    for body in BODIES[1:]:
        hinges = [hinge.name for hinge in HINGES if hinge.body == body.name]
        if not hinges:
            continue
        parent, orientation = str(body.parent), body.orientation
        place = _plus(body.position, _turned(orientation, anchor_of(body.name)))
        position = _minus(place, anchor_of(parent))
        for name in hinges[:-1]:
            carried[name] = f"{name}_frame"
            links.append(_frame(carried[name], parent, position, orientation))
            parent, position, orientation = carried[name], (0.0, 0.0, 0.0), IDENTITY
        carried[hinges[-1]] = body.name
        inertial, shapes = _whole(body)
        links.append(link_from(body.name, parent, inertial, position=position, orientation=orientation, shapes=shapes))
    return links, carried


def collision_pairs() -> tuple[tuple[str, str], ...]:
    """Return the pairs of links that touch each other: all but those that a joint of the file connects."""
    parts = [body.name for body in BODIES if body.parent is None or any(h.body == body.name for h in HINGES)]
    joined = {frozenset((body.name, body.parent)) for body in BODIES}
    return tuple(
        (first, second)
        for i, first in enumerate(parts)
        for second in parts[i + 1 :]
        if frozenset((first, second)) not in joined
    )


def humanoid() -> Robot:
    """Return the robot: 13 bodies and 9 links between hinges, 21 joints, 40.8 kg, a free base."""
    links, carried = _links()
    joints = [
        Joint(
            hinge.name,
            carried[hinge.name],
            hinge.axis,
            math.radians(hinge.degrees[0]),
            math.radians(hinge.degrees[1]),
            effort=hinge.effort,
            damping=hinge.damping,
            armature=hinge.armature,
            velocity_limit=VELOCITY_LIMIT,
        )
        for hinge in HINGES
    ]
    return Robot(
        "humanoid",
        links=tuple(links),
        joints=tuple(joints),
        collision_pairs=collision_pairs(),
        fixed_base=False,
        disable_gravity=False,
        angular_damping=0.01,
        contact_offset=0.02,
        friction=1.0,
        max_depenetration_velocity=10.0,
        position_iterations=4,
        velocity_iterations=0,
    )

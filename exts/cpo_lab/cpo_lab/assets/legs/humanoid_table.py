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
from dataclasses import replace

from cpo_lab.assets.inertials import Inertial, link_from, merge, rotation_matrix
from cpo_lab.assets.legs.humanoid_bodies import BODIES, HINGES, Body
from cpo_lab.assets.robot_table import IDENTITY, Joint, Link, Quat, Robot, Shape, Vec3

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
        max_depenetration_velocity=10.0,
        position_iterations=4,
        velocity_iterations=0,
    )

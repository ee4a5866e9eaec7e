# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Robots as plain number tables.

A :class:`Robot` is a tree of :class:`Link`, joined by turning or sliding :class:`Joint`, with primitive colliders
(:class:`Shape`) and optional :class:`FixedTendon`. Units are SI (metres, kilograms, radians) and quaternions are
**xyzw**, as everywhere else in Isaac Lab 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]

IDENTITY: Quat = (0.0, 0.0, 0.0, 1.0)
"""No rotation (xyzw)."""


def quat_from_rpy(roll: float, pitch: float, yaw: float) -> Quat:
    """Quaternion (xyzw) of URDF's roll-pitch-yaw angles in radians (fixed axes X, then Y, then Z)."""
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return (
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
        cr * cp * cy + sr * sp * sy,
    )


@dataclass(frozen=True)
class Shape:
    """A primitive collider in the frame of its link."""

    kind: Literal["capsule", "box", "sphere"]
    """Primitive type; a capsule lies along its own Z axis."""
    size: tuple[float, ...]
    """Metres. capsule: (radius, half of the cylinder's length); box: the three half edges; sphere: (radius,)."""
    position: Vec3 = (0.0, 0.0, 0.0)
    """Centre in the link frame, metres."""
    orientation: Quat = IDENTITY
    """Rotation shape -> link, xyzw."""

    def __post_init__(self) -> None:
        wanted = {"capsule": 2, "box": 3, "sphere": 1}.get(self.kind)
        if wanted is None:
            raise ValueError(f"Shape.kind must be 'capsule', 'box' or 'sphere', not {self.kind!r}.")
        if len(self.size) != wanted or min(self.size) <= 0.0:
            raise ValueError(f"Shape.size of a {self.kind} must be {wanted} positive numbers, not {self.size}.")


def capsule(radius: float, half_length: float, position: Vec3 = (0.0, 0.0, 0.0), orientation: Quat = IDENTITY) -> Shape:
    """A capsule along Z: a cylinder of ``2 * half_length`` with half spheres of ``radius`` (metres)."""
    return Shape("capsule", (radius, half_length), position, orientation)


def box(half_edges: Vec3, position: Vec3 = (0.0, 0.0, 0.0), orientation: Quat = IDENTITY) -> Shape:
    """A box given by its half edges in metres."""
    return Shape("box", half_edges, position, orientation)


def sphere(radius: float, position: Vec3 = (0.0, 0.0, 0.0)) -> Shape:
    """A sphere of ``radius`` metres."""
    return Shape("sphere", (radius,), position)


def capsule_between(start: Vec3, end: Vec3, radius: float) -> Shape:
    """A capsule whose half spheres of ``radius`` have their centres at ``start`` and ``end`` (metres)."""
    length = math.dist(start, end)
    x, y, z = ((b - a) / length for a, b in zip(start, end, strict=True))
    if z < 0.0:  # the same capsule the other way round, far from a turn by half
        x, y, z = -x, -y, -z
    norm = math.sqrt(2.0 * (1.0 + z))
    middle = ((start[0] + end[0]) / 2.0, (start[1] + end[1]) / 2.0, (start[2] + end[2]) / 2.0)
    return capsule(radius, length / 2.0, middle, (-y / norm, x / norm, 0.0, norm / 2.0))


@dataclass(frozen=True)
class Link:
    """A rigid body of the robot."""

    name: str
    """Name of the body (and of its prim)."""
    parent: str | None
    """Name of the parent link, None for the root."""
    position: Vec3 = (0.0, 0.0, 0.0)
    """Origin in the parent frame at zero joint angle, metres. The root sits at the origin of the file."""
    orientation: Quat = IDENTITY
    """Rotation link -> parent at zero joint angle, xyzw."""
    mass: float = 0.0
    """Kilograms, > 0."""
    center_of_mass: Vec3 = (0.0, 0.0, 0.0)
    """In the link frame, metres."""
    inertia: Vec3 = (0.0, 0.0, 0.0)
    """Principal moments of inertia about the centre of mass, kg m^2, > 0."""
    inertia_orientation: Quat = IDENTITY
    """Rotation principal axes -> link, xyzw."""
    shapes: tuple[Shape, ...] = ()
    """Colliders."""


@dataclass(frozen=True)
class Joint:
    """The joint that carries the link ``child``; its anchor is the origin of that link.

    A sliding joint has metres in the place of radians and newtons in the place of N m.
    """

    name: str
    """Name of the joint (and of its prim)."""
    child: str
    """Link that the joint moves."""
    axis: Vec3
    """Unit vector in the frame of the child link."""
    lower: float
    """Lower limit, radians."""
    upper: float
    """Upper limit, radians."""
    effort: float = 0.0
    """Largest torque of the motor, N m; 0 for a joint without motor. For the actuator config, not written to USD."""
    damping: float = 0.0
    """N m s / rad. For the actuator config, not written to USD."""
    friction: float = 0.0
    """N m (MuJoCo) or a coefficient (URDF). For the actuator config, not written to USD."""
    armature: float = 0.0
    """Rotor inertia, kg m^2. Written to USD and to be repeated in the actuator config."""
    velocity_limit: float = math.inf
    """Largest speed, rad/s. For the actuator config, not written to USD: PhysX lets a joint at its own velocity limit
    slip past its position limits, so :mod:`cpo_lab.tasks.motion_limits` bounds the speed instead."""
    slides: bool = False
    """Whether the link slides along the axis instead of turning about it."""


@dataclass(frozen=True)
class FixedTendon:
    """A length ``sum_i coefficient_i * angle_i`` kept between ``lower`` and ``upper``.

    The last entry of ``coefficients`` is the joint that follows the others; PhysX gets the tendon divided by its
    coefficient, see :func:`_write_physx_tendon`.
    """

    name: str
    """Name of the tendon."""
    root_joint: str
    """Joint one step closer to the base than the first coupled joint: PhysX hangs the tendon there, with weight 0."""
    coefficients: tuple[tuple[str, float], ...]
    """(joint, metres per radian), ordered from the base to the tip."""
    lower: float
    """Smallest length, metres."""
    upper: float
    """Largest length, metres."""
    limit_stiffness: float = 30.0
    """PhysX: N m per radian of the following joint beyond the slack."""
    damping: float = 0.1
    """PhysX: N m s per radian of the following joint."""


@dataclass(frozen=True)
class Robot:
    """A tree of links. Checked on construction; a wrong table raises ``ValueError`` naming the entry."""

    name: str
    """Name of the robot, used in file names."""
    links: tuple[Link, ...]
    """Parents before children; the first one is the root."""
    joints: tuple[Joint, ...]
    """One for every link but the root."""
    tendons: tuple[FixedTendon, ...] = ()
    """Fixed tendons."""
    collision_pairs: tuple[tuple[str, str], ...] | None = ()
    """Pairs of links that may touch each other: () none (fastest), None every pair that shares no joint, otherwise
    exactly the pairs listed."""
    fixed_base: bool = True
    """Weld the root link to the world."""
    disable_gravity: bool = True
    """Take the weight of the robot away (the references do)."""
    linear_damping: float = 0.0
    """Damping of every link, 1/s (PhysX only)."""
    angular_damping: float = 0.0
    """Damping of every link, 1/s (PhysX only)."""
    contact_offset: float = 0.002
    """Distance at which PhysX starts to generate contacts, metres."""
    max_depenetration_velocity: float = 1000.0
    """m/s, PhysX."""
    position_iterations: int = 8
    """PhysX solver iterations of the articulation."""
    velocity_iterations: int = 0
    """PhysX solver iterations of the articulation."""

    def __post_init__(self) -> None:
        _check(self)

    def joint(self, name: str) -> Joint:
        """The joint called ``name``; KeyError if there is none."""
        for candidate in self.joints:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def link(self, name: str) -> Link:
        """The link called ``name``; KeyError if there is none."""
        for candidate in self.links:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    @property
    def mass(self) -> float:
        """Total mass, kg."""
        return sum(link.mass for link in self.links)


def _check(robot: Robot) -> None:
    """Raises ValueError if the tables of ``robot`` do not describe a tree of joints."""
    seen: set[str] = set()
    for index, link in enumerate(robot.links):
        if link.name in seen:
            raise ValueError(f"{robot.name}: link {link.name!r} appears twice.")
        if (link.parent is None) != (index == 0) or (index > 0 and link.parent not in seen):
            raise ValueError(f"{robot.name}: parent {link.parent!r} of link {link.name!r} must be an earlier link.")
        if link.mass <= 0.0 or min(link.inertia) <= 0.0:
            raise ValueError(f"{robot.name}: link {link.name!r} needs a positive mass and inertia.")
        seen.add(link.name)
    if sorted(joint.child for joint in robot.joints) != sorted(link.name for link in robot.links[1:]):
        raise ValueError(f"{robot.name}: every link but the root needs exactly one joint.")
    names = {joint.name for joint in robot.joints}
    if len(names) != len(robot.joints):
        raise ValueError(f"{robot.name}: joint names must be unique.")
    for joint in robot.joints:
        if not joint.velocity_limit > 0.0:
            raise ValueError(f"{robot.name}: joint {joint.name!r} needs a positive velocity limit.")
        if not joint.lower < joint.upper:
            raise ValueError(f"{robot.name}: joint {joint.name!r} needs lower < upper.")
        if abs(math.dist(joint.axis, (0.0, 0.0, 0.0)) - 1.0) > 1e-5:
            raise ValueError(f"{robot.name}: the axis of joint {joint.name!r} must have length 1.")
    for tendon in robot.tendons:
        for name in (tendon.root_joint, *(joint for joint, _ in tendon.coefficients)):
            if name not in names:
                raise ValueError(f"{robot.name}: tendon {tendon.name!r} names the unknown joint {name!r}.")
        if not tendon.lower < tendon.upper:
            raise ValueError(f"{robot.name}: tendon {tendon.name!r} needs lower < upper.")
    for pair in robot.collision_pairs or ():
        if not seen.issuperset(pair):
            raise ValueError(f"{robot.name}: the collision pair {pair} names an unknown link.")

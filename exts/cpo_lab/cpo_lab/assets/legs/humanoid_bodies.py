# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Bodies and hinges of the humanoid as its MJCF file has them.

:mod:`cpo_lab.assets.legs.humanoid_table` makes the robot of them and names the source. Inertia tensors are
about the centre of mass, in the axes of the body.
"""

from __future__ import annotations

from dataclasses import dataclass

from cpo_lab.assets.inertials import Inertial
from cpo_lab.assets.robot_table import IDENTITY, Quat, Shape, Vec3, capsule_between, sphere


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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""ANYmal C in a scene (reference: IsaacGymEnvs ``cfg/task/Anymal.yaml``)."""

from __future__ import annotations

from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.articulation import robot_cfg, robot_usd
from cpo_lab.assets.legs.anymal_table import DEFAULT_POSE, EFFORT, JOINT_NAMES, START_HEIGHT, VELOCITY_LIMIT, anymal

STIFFNESS, DAMPING = 85.0, 2.0
"""Gains of every joint [N m/rad and N m s/rad]."""


def anymal_usd() -> str:
    """Return the path of our robot's file."""
    return robot_usd(anymal())


def anymal_cfg() -> ArticulationCfg:
    """Return the robot, whose links report what they touch: stiffness 85, damping 2, at most 80 N m."""
    legs = ImplicitActuatorCfg(
        joint_names_expr=list(JOINT_NAMES),
        stiffness=STIFFNESS,
        damping=DAMPING,
        joint_effort_limit=EFFORT,
        armature=0.0,
        friction=0.0,
        actuator_velocity_limit=VELOCITY_LIMIT,
    )
    robot = robot_cfg(anymal_usd(), (0.0, 0.0, START_HEIGHT), (0.0, 0.0, 0.0, 1.0), DEFAULT_POSE, {"legs": legs})
    robot.spawn.activate_contact_sensors = True
    return robot

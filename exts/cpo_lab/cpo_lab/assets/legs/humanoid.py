# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The humanoid in a scene (reference: IsaacGymEnvs ``cfg/task/Humanoid.yaml`` and its MJCF file)."""

from __future__ import annotations

from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.articulation import robot_cfg, robot_usd
from cpo_lab.assets.legs.humanoid_bodies import HINGES
from cpo_lab.assets.legs.humanoid_table import JOINT_NAMES, START_HEIGHT, VELOCITY_LIMIT, humanoid

MOST_TORQUE = 1000.0
"""Limit of spring, damping and motor together [N m]: none, for the file limits the motor alone, by its actions."""


def humanoid_usd() -> str:
    """Return the path of our robot's file."""
    return robot_usd(humanoid())


def humanoid_cfg() -> ArticulationCfg:
    """Return the robot, whose joints have the file's springs towards 0, damping and armature."""
    joints = ImplicitActuatorCfg(
        joint_names_expr=list(JOINT_NAMES),
        stiffness={hinge.name: hinge.spring for hinge in HINGES},
        damping={hinge.name: hinge.damping for hinge in HINGES},
        armature={hinge.name: hinge.armature for hinge in HINGES},
        friction=0.0,
        joint_effort_limit=MOST_TORQUE,
        actuator_velocity_limit=VELOCITY_LIMIT,
    )
    upright = (0.0, 0.0, 0.0, 1.0)
    return robot_cfg(humanoid_usd(), (0.0, 0.0, START_HEIGHT), upright, {".*": 0.0}, {"joints": joints})

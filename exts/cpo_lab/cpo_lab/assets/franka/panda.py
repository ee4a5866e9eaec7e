# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's arm in a scene: torques move the arm, targets the fingers.

The gains are the reference's (IsaacGymEnvs ``tasks/franka_cube_stack.py``).
"""

from __future__ import annotations

from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.articulation import robot_cfg, robot_usd
from cpo_lab.assets.franka.bench import BASE
from cpo_lab.assets.franka.panda_table import (
    ARM_EFFORT,
    ARM_JOINTS,
    ARM_SPEED,
    DEFAULT_POSE,
    FINGER_FORCE,
    FINGER_JOINTS,
    FINGER_SPEED,
    panda,
)

FINGER_STIFFNESS, FINGER_DAMPING = 5000.0, 100.0
"""Gains of each finger [N/m and N s/m]."""


def panda_cfg() -> ArticulationCfg:
    """Return the robot on its stand; the arm's joints have no gains of their own."""
    arm = ImplicitActuatorCfg(
        joint_names_expr=list(ARM_JOINTS),
        stiffness=0.0,
        damping=0.0,
        joint_effort_limit=dict(zip(ARM_JOINTS, ARM_EFFORT, strict=True)),
        armature=0.0,
        friction=0.0,
        actuator_velocity_limit=dict(zip(ARM_JOINTS, ARM_SPEED, strict=True)),
    )
    fingers = ImplicitActuatorCfg(
        joint_names_expr=list(FINGER_JOINTS),
        stiffness=FINGER_STIFFNESS,
        damping=FINGER_DAMPING,
        joint_effort_limit=FINGER_FORCE,
        armature=0.0,
        friction=0.0,
        actuator_velocity_limit=FINGER_SPEED,
    )
    upright = (0.0, 0.0, 0.0, 1.0)
    return robot_cfg(robot_usd(panda()), BASE, upright, DEFAULT_POSE, {"arm": arm, "fingers": fingers}, torques=False)

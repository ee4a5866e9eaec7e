# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scene configuration of the generated Shadow Hand. Imports Isaac Lab's configuration classes."""

from __future__ import annotations

from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.articulation import joint_friction, robot_cfg, robot_usd
from cpo_lab.assets.shadow_hand_table import (
    DRIVEN_JOINTS,
    PASSIVE_JOINTS,
    PROPORTIONAL_GAINS,
    shadow_hand,
)

HAND_POSITION = (0.0, 0.0, 0.49)
"""Metres. The reference mounts the hand at z = 0.5, and the MJCF shifts the forearm by 0.01 m."""

HAND_ORIENTATION = (0.0, -0.70710678, 0.70710678, 0.0)
"""xyzw: palm up, fingers along -Y (the MJCF's euler angles 1.5708, 0, pi)."""


def shadow_hand_usd(self_collision: bool = True) -> str:
    """Path of the generated USD file of the hand; made at the first call on a machine."""
    return robot_usd(shadow_hand(self_collision))


def shadow_hand_actuators() -> dict[str, ImplicitActuatorCfg]:
    """Position motors with the reference's gains, and damping only on the four joints that the tendons drag."""
    robot = shadow_hand()
    driven = [robot.joint(name) for name in DRIVEN_JOINTS]
    passive = [robot.joint(name) for name in PASSIVE_JOINTS]
    return {
        "driven": ImplicitActuatorCfg(
            joint_names_expr=list(DRIVEN_JOINTS),
            stiffness=dict(PROPORTIONAL_GAINS),
            damping={joint.name: joint.damping for joint in driven},
            armature={joint.name: joint.armature for joint in driven},
            joint_effort_limit={joint.name: joint.effort for joint in driven},
            actuator_velocity_limit={joint.name: joint.velocity_limit for joint in driven},
            **joint_friction(driven),
        ),
        "passive": ImplicitActuatorCfg(
            joint_names_expr=list(PASSIVE_JOINTS),
            stiffness=0.0,
            damping={joint.name: joint.damping for joint in passive},
            armature={joint.name: joint.armature for joint in passive},
            # no motor; the limit must not cut the damping, which stays below 1 N m up to 10 rad/s
            joint_effort_limit=1.0,
            actuator_velocity_limit={joint.name: joint.velocity_limit for joint in passive},
            **joint_friction(passive),
        ),
    }


def shadow_hand_cfg(prim_path: str = "{ENV_REGEX_NS}/Robot") -> ArticulationCfg:
    """The hand, joints at zero; the environment fills in ``spawn.usd_path`` (:func:`shadow_hand_usd`)."""
    return robot_cfg("", HAND_POSITION, HAND_ORIENTATION, {".*": 0.0}, shadow_hand_actuators(), prim_path)

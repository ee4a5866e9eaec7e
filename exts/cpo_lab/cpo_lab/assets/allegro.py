# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scene configurations of the generated Allegro hand and of the arm that carries it. Imports Isaac Lab."""

from __future__ import annotations

import math

from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.allegro_hand_table import JOINT_NAMES as HAND_JOINTS
from cpo_lab.assets.allegro_hand_table import VELOCITY_LIMIT, allegro_hand
from cpo_lab.assets.articulation import joint_friction, robot_cfg, robot_usd
from cpo_lab.assets.kuka_allegro_table import (
    ARM_JOINT_NAMES,
    ARM_VELOCITY_LIMIT,
    DEFAULT_ARM_POSE,
    FINGER_ARMATURE,
    kuka_allegro,
)

HAND_POSITION = (0.0, 0.0, 0.5)
"""Root of the hand alone [m] (``allegro_hand.py:283``)."""

HAND_ORIENTATION = (0.28304, 0.68333, -0.62178, 0.25755)
"""Orientation of the hand alone, xyzw: palm up, fingers along -Y."""


GAINS = {"stiffness": 40.0, "damping": 5.0}
"""Gains of all 23 joints [N m/rad, N m s/rad] (``cfg/task/AllegroKuka.yaml:57-71``)."""


def allegro_hand_usd(self_collision: bool = True) -> str:
    """Return the path of the file of the hand alone."""
    return robot_usd(allegro_hand(self_collision))


def kuka_allegro_usd(self_collision: bool = True) -> str:
    """Return the path of the file of the arm with the hand."""
    return robot_usd(kuka_allegro(self_collision))


def allegro_hand_cfg(prim_path: str = "{ENV_REGEX_NS}/Robot") -> ArticulationCfg:
    """Return the hand alone: stiffness 3, damping 0.1, effort 0.5 N m, armature 0.001 (``allegro_hand.py:263-268``)."""
    fingers = ImplicitActuatorCfg(
        joint_names_expr=list(HAND_JOINTS),
        stiffness=3.0,
        damping=0.1,
        joint_effort_limit=0.5,
        armature=0.001,
        actuator_velocity_limit=VELOCITY_LIMIT,
        **joint_friction(allegro_hand().joints),
    )
    # a default outside its limits is refused, so the thumb is at its lower one; the task resets to 0-based values
    rest = {"(?!thumb_joint_0).*": 0.0, "thumb_joint_0": 0.28}
    return robot_cfg(allegro_hand_usd(), HAND_POSITION, HAND_ORIENTATION, rest, {"fingers": fingers}, prim_path)


def kuka_allegro_cfg(
    position: tuple[float, float, float],
    yaw: float = 0.0,
    joint_4: float | None = None,
    prim_path: str = "{ENV_REGEX_NS}/Robot",
) -> ArticulationCfg:
    """Return the arm with the hand: stiffness 40, damping 5 everywhere, effort 300 (arm) and 0.35 N m (fingers).

    Args:
        position: Base of the arm [m].
        yaw: Turn of the base about Z [rad].
        joint_4: Default of the fourth arm joint [rad]; None keeps :data:`DEFAULT_ARM_POSE`'s.
        prim_path: Where to spawn it.
    """
    pose = dict(zip(ARM_JOINT_NAMES, DEFAULT_ARM_POSE, strict=True))
    if joint_4 is not None:
        pose["iiwa7_joint_4"] = joint_4
    pose |= {name: 0.28 if name == "thumb_joint_0" else 0.0 for name in HAND_JOINTS}
    joints = kuka_allegro().joints
    motors = {
        "arm": ImplicitActuatorCfg(
            joint_names_expr=list(ARM_JOINT_NAMES),
            joint_effort_limit=300.0,
            armature=0.0,
            actuator_velocity_limit=ARM_VELOCITY_LIMIT,
            **joint_friction(joints[:7]),
            **GAINS,
        ),
        "hand": ImplicitActuatorCfg(
            joint_names_expr=list(HAND_JOINTS),
            joint_effort_limit=0.35,
            armature=FINGER_ARMATURE,
            actuator_velocity_limit=VELOCITY_LIMIT,
            **joint_friction(joints[7:]),
            **GAINS,
        ),
    }
    orientation = (0.0, 0.0, math.sin(yaw / 2.0), math.cos(yaw / 2.0))
    return robot_cfg(kuka_allegro_usd(), position, orientation, pose, motors, prim_path, torques=False)

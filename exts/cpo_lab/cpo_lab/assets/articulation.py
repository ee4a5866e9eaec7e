# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a robot's table to Isaac Lab's scene configuration of it. Imports Isaac Lab's configuration classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg

from cpo_lab.assets.authoring import write_robot
from cpo_lab.assets.cache import cached_usd
from cpo_lab.assets.robot_table import Joint, Quat, Robot, Vec3
from cpo_lab.physics.changed_targets import CLASS_TYPE, WITHOUT_TORQUES


def robot_usd(robot: Robot) -> str:
    """Return the path of the generated USD file of a robot; made at the first call on a machine."""
    return cached_usd(robot.name, robot, lambda path: write_robot(robot, path))


def joint_friction(joints: Sequence[Joint]) -> dict[str, dict[str, float]]:
    """Return the fields of ``ImplicitActuatorCfg`` that brake joints by their tables' friction [N m].

    OvPhysX takes both numbers for torques [N m], whatever Isaac Lab's documentation calls them: one that keeps a joint
    at rest and one that brakes it. The first alone, as in NVIDIA's configurations, brakes nothing that moves. Newton
    reads the first only, as MuJoCo's friction loss, and brakes the same (measured on both with a joint that coasts,
    ``tests/cpo_lab/tasks/in_hand/test_allegro_joints.py``).
    """
    values = {joint.name: joint.friction for joint in joints}
    return {"friction": values, "dynamic_friction": dict(values)}


def robot_cfg(
    usd_path: str,
    position: Vec3,
    orientation: Quat,
    joint_pos: Mapping[str, float],
    actuators: Mapping[str, ImplicitActuatorCfg],
    prim_path: str = "{ENV_REGEX_NS}/Robot",
    torques: bool = True,
) -> ArticulationCfg:
    """Return a robot in a scene.

    Args:
        usd_path: Its file; empty for one that the environment fills in.
        position: Its root [m].
        orientation: Its root, xyzw.
        joint_pos: Default joint positions by name or pattern [rad], within the limits.
        actuators: Its motors.
        prim_path: Where to spawn it.
        torques: Whether anybody reads ``data.applied_torque``.
    """
    return ArticulationCfg(
        class_type=CLASS_TYPE if torques else WITHOUT_TORQUES,
        prim_path=prim_path,
        spawn=sim_utils.UsdFileCfg(usd_path=usd_path),
        init_state=ArticulationCfg.InitialStateCfg(pos=position, rot=orientation, joint_pos=dict(joint_pos)),
        actuators=dict(actuators),
    )

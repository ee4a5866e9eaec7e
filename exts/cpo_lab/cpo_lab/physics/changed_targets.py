# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Robots that hand the engine what changed, instead of every target before every physics step.

Isaac Lab 3.0's OvPhysX articulation writes the position, velocity and effort targets of all joints before every physics
step, and the positions once more when they are commanded: seven writes in a policy step of two physics steps, one of
which says something new. On a CPU that is a fifth of the time. It also differentiates all joint velocities after every
physics step, which no task here reads, and computes torques, which the hands alone observe. Leaving this out changes no
bit of the results (``tests/cpo_lab/tasks/test_determinism.py``).
"""

from __future__ import annotations

import importlib
from typing import Any

from isaaclab.assets import Articulation, ArticulationCfg

CLASS_TYPE = "cpo_lab.physics.changed_targets:robot"
"""``class_type`` of our hands' ``ArticulationCfg``."""

WITHOUT_TORQUES = "cpo_lab.physics.changed_targets:robot_without_torques"
"""``class_type`` of a robot whose torques nobody reads."""


def robot(cfg: ArticulationCfg) -> Any:
    """Make an articulation for the engine that runs.

    Args:
        cfg: The robot, whose ``class_type`` names this function.

    Returns:
        On OvPhysX a :class:`~cpo_lab.physics.ovphysx_robot.OvPhysxRobot`, on other engines Isaac Lab's own: Newton
        reads targets from arrays in place, so that there is nothing to gain.
    """
    return _robot(cfg, "OvPhysxRobot")


def robot_without_torques(cfg: ArticulationCfg) -> Any:
    """Make an articulation like :func:`robot`, without ``data.applied_torque`` on OvPhysX."""
    return _robot(cfg, "OvPhysxRobotWithoutTorques")


def _robot(cfg: ArticulationCfg, name: str) -> Any:
    made_by = Articulation.resolve_class(cfg)
    if made_by.__module__.startswith("isaaclab_ov."):
        # imported here because it needs the engine's wheels
        made_by = getattr(importlib.import_module("cpo_lab.physics.ovphysx_robot"), name)
    return made_by(cfg)


def write_every_target(scene: Any) -> None:
    """Give the robots of a scene's configuration Isaac Lab's own class; changed in place."""
    for asset in vars(scene).values():
        if isinstance(asset, ArticulationCfg):
            asset.class_type = Articulation

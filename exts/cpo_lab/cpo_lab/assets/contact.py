# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""PhysX's settings of bodies and contacts, the same in all tasks (reference: ``cfg/task/ShadowHand.yaml:173-192``)."""

from __future__ import annotations

from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab_physx.sim.schemas import PhysxCollisionCfg, PhysxRigidBodyCfg

POSITION_ITERATIONS, VELOCITY_ITERATIONS = 8, 0
"""Iterations of the solver per physics step."""

DEPENETRATION_VELOCITY = 1000.0
"""Largest velocity at which overlapping bodies are pushed apart [m/s]."""

CONTACT_OFFSET, REST_OFFSET = 0.002, 0.0
"""Gaps at which contacts begin, and at which bodies rest [m]."""


def rigid_props() -> list:
    """Return the settings of a free body."""
    return [
        sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
        PhysxRigidBodyCfg(
            solver_position_iteration_count=POSITION_ITERATIONS,
            solver_velocity_iteration_count=VELOCITY_ITERATIONS,
            max_depenetration_velocity=DEPENETRATION_VELOCITY,
        ),
    ]


def collision_props() -> list:
    """Return the settings of a collider."""
    return [
        sim_utils.UsdPhysicsCollisionCfg(collision_enabled=True),
        PhysxCollisionCfg(contact_offset=CONTACT_OFFSET, rest_offset=REST_OFFSET),
    ]


def free_body_props(mass: sim_utils.MassCfg) -> dict[str, list]:
    """Return the physical fields of the spawner of a free body with a collider.

    Args:
        mass: Its mass or density.
    """
    return {"rigid_props": rigid_props(), "collision_props": collision_props(), "mass_props": [mass]}


def body_cfg(
    spawn: Any, position: tuple[float, float, float], prim_path: str = "{ENV_REGEX_NS}/Object"
) -> RigidObjectCfg:
    """Return a body in a scene.

    Args:
        spawn: How to make it.
        position: Where it starts, environment frame [m].
        prim_path: Where to spawn it.
    """
    return RigidObjectCfg(prim_path=prim_path, spawn=spawn, init_state=RigidObjectCfg.InitialStateCfg(pos=position))

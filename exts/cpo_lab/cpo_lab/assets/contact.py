# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""PhysX's settings of bodies and contacts, the same in all tasks (reference: ``cfg/task/ShadowHand.yaml:173-192``)."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab_physx.sim.schemas import PhysxCollisionCfg, PhysxRigidBodyCfg


def rigid_props() -> list:
    """Return the settings of a free body: 8 position and no velocity iterations."""
    return [
        sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
        PhysxRigidBodyCfg(
            solver_position_iteration_count=8, solver_velocity_iteration_count=0, max_depenetration_velocity=1000.0
        ),
    ]


def collision_props() -> list:
    """Return the settings of a collider: contacts begin at a gap of 2 mm."""
    return [
        sim_utils.UsdPhysicsCollisionCfg(collision_enabled=True),
        PhysxCollisionCfg(contact_offset=0.002, rest_offset=0.0),
    ]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The cube that is turned in the hand."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab_physx.sim.schemas import PhysxCollisionCfg, PhysxRigidBodyCfg


def cube_cfg(
    edge: float, density: float, position: tuple[float, float, float], prim_path: str = "{ENV_REGEX_NS}/Object"
) -> RigidObjectCfg:
    """A free cube.

    Args:
        edge: Edge length, metres.
        density: kg / m^3.
        position: Start position, metres.
        prim_path: Where to spawn it.
    """
    return RigidObjectCfg(
        prim_path=prim_path,
        spawn=sim_utils.CuboidCfg(
            size=(edge, edge, edge),
            rigid_props=[
                sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
                PhysxRigidBodyCfg(
                    solver_position_iteration_count=8,
                    solver_velocity_iteration_count=0,
                    max_depenetration_velocity=1000.0,
                ),
            ],
            collision_props=[
                sim_utils.UsdPhysicsCollisionCfg(collision_enabled=True),
                PhysxCollisionCfg(contact_offset=0.002, rest_offset=0.0),
            ],
            mass_props=[sim_utils.MassCfg(density=density)],
        ),
        init_state=RigidObjectCfg.InitialStateCfg(pos=position),
    )

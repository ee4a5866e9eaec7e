# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Table, stand and cubes before Franka's arm (reference: IsaacGymEnvs ``tasks/franka_cube_{push,stack}.py``)."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
from isaaclab_physx.sim.schemas import PhysxCollisionCfg, PhysxRigidBodyCfg

from cpo_lab.assets.contact import body_cfg
from cpo_lab.assets.robot_table import Vec3

TABLE_EDGES: Vec3 = (1.2, 1.2, 0.05)
STAND_EDGES: Vec3 = (0.2, 0.2, 0.1)
"""Edges of table and stand [m]."""

TABLE_CENTER: Vec3 = (0.0, 0.0, 1.0)
STAND_CENTER: Vec3 = (-0.5, 0.0, 1.075)
"""Their centres [m]; neither stands on anything."""

TABLE_TOP = TABLE_CENTER[2] + TABLE_EDGES[2] / 2.0
"""Height of the table's upper face [m]."""

BASE: Vec3 = (-0.45, 0.0, STAND_CENTER[2] + STAND_EDGES[2] / 2.0)
"""Where the arm's base stands [m]."""

CUBE_EDGE, LOWER_CUBE_EDGE = 0.05, 0.07
"""Edge of the cube that is moved, and of the one that it is stacked onto [m]."""

CUBE_DENSITY = 1000.0
"""Density of both [kg/m^3]: 0.125 and 0.343 kg."""

CONTACT_OFFSET = 0.005
"""Gap at which contacts begin [m]."""

RED, GREEN, WOOD, GREY = (0.60, 0.10, 0.04), (0.05, 0.40, 0.12), (0.45, 0.36, 0.28), (0.30, 0.31, 0.33)
"""Colours as red, green and blue, 0 to 1."""


def _block(edges: Vec3, color: Vec3, **physics: list) -> sim_utils.CuboidCfg:
    """Return how to make a box with a collider."""
    return sim_utils.CuboidCfg(
        size=edges,
        collision_props=[
            sim_utils.UsdPhysicsCollisionCfg(collision_enabled=True),
            PhysxCollisionCfg(contact_offset=CONTACT_OFFSET, rest_offset=0.0),
        ],
        visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=color),
        **physics,
    )


def table_cfg() -> AssetBaseCfg:
    """Return the table: a board that never moves."""
    return AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        spawn=_block(TABLE_EDGES, WOOD),
        init_state=AssetBaseCfg.InitialStateCfg(pos=TABLE_CENTER),
    )


def stand_cfg() -> AssetBaseCfg:
    """Return what the arm stands on: a box that never moves."""
    return AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Stand",
        spawn=_block(STAND_EDGES, GREY),
        init_state=AssetBaseCfg.InitialStateCfg(pos=STAND_CENTER),
    )


def cube_cfg(edge: float, color: Vec3, prim_path: str) -> RigidObjectCfg:
    """Return a free cube on the table.

    Args:
        edge: Its edge [m].
        color: Red, green and blue, 0 to 1.
        prim_path: Where to spawn it.
    """
    body = [
        sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
        PhysxRigidBodyCfg(
            solver_position_iteration_count=8, solver_velocity_iteration_count=1, max_depenetration_velocity=1000.0
        ),
    ]
    spawn = _block((edge,) * 3, color, rigid_props=body, mass_props=[sim_utils.MassCfg(density=CUBE_DENSITY)])
    return body_cfg(spawn, (0.0, 0.0, TABLE_TOP + edge / 2.0), prim_path)

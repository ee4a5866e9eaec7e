# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Give ``sim.physics_material``, the friction of whatever names no material of its own, to the engine that runs.

Isaac Lab 3.0 hands it to PhysX inside Isaac Sim only. OvPhysX and Newton would use coefficients of their own, 0.5 and 1
(measured with a cuboid that slides; ``cpo-lab doctor --task`` pulls one over the table of a task that has one).
"""

from __future__ import annotations

from typing import Any

from isaaclab_newton.physics import NewtonCfg, NewtonShapeCfg
from isaaclab_ov.physics import OvPhysxCfg

from cpo_rl.errors import UserError


def check_for_newton(sim_cfg: Any) -> None:
    """Refuse what Newton would not do.

    Args:
        sim_cfg: Isaac Lab's ``SimulationCfg``, for a run on Newton.

    Raises:
        UserError: If the material says what Newton has no word for (it knows one coefficient and no restitution), or
            the engine's own settings say another coefficient.
    """
    material, newton = sim_cfg.physics_material, sim_cfg.physics
    if material is None or not isinstance(newton, NewtonCfg):
        return
    if material.static_friction != material.dynamic_friction or material.restitution:
        raise UserError(
            "env.sim.physics_material: Newton knows one coefficient of friction and no restitution; make "
            "static_friction and dynamic_friction equal and restitution 0, or choose physics=ovphysx."
        )
    if newton.default_shape_cfg.mu not in (NewtonShapeCfg().mu, material.dynamic_friction):
        raise UserError(
            "env.sim.physics.default_shape_cfg.mu is what env.sim.physics_material says; give its static_friction and "
            "dynamic_friction instead."
        )


def tell_newton(sim_cfg: Any) -> None:
    """Make the material Newton's default of a shape, if Newton is the engine; before the simulation is made.

    Args:
        sim_cfg: Isaac Lab's ``SimulationCfg``, whose ``physics`` is the engine that runs; changed in place.

    Raises:
        UserError: As :func:`check_for_newton`.
    """
    check_for_newton(sim_cfg)
    if sim_cfg.physics_material is not None and isinstance(sim_cfg.physics, NewtonCfg):
        sim_cfg.physics.default_shape_cfg.mu = sim_cfg.physics_material.dynamic_friction


def tell_ovphysx(sim: Any) -> None:
    """Bind the material to the physics scene, if OvPhysX is the engine; before bodies are made from the stage.

    Args:
        sim: Isaac Lab's ``SimulationContext``.
    """
    material = sim.cfg.physics_material
    if material is None or not isinstance(sim.cfg.physics, OvPhysxCfg):
        return
    from pxr import UsdShade

    scene = sim.stage.GetPrimAtPath(sim.cfg.physics_prim_path)
    path = f"{sim.cfg.physics_prim_path}/defaultMaterial"
    material.func(path, material)
    # not by Isaac Lab's bind_physics_material, which binds nothing to a scene where PhysX's schemas are unknown
    UsdShade.MaterialBindingAPI.Apply(scene).Bind(
        UsdShade.Material.Get(sim.stage, path), UsdShade.Tokens.weakerThanDescendants, "physics"
    )

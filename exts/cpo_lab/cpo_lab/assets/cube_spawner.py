# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Spawner of :class:`cpo_lab.assets.cube.MarkedCubeCfg`. Imported when a scene is built, not before."""

from __future__ import annotations

from typing import Any

from isaaclab.sim.spawners.shapes.shapes import spawn_geom_from_prim_type
from isaaclab.sim.utils import clone
from pxr import Gf, UsdGeom

from cpo_lab.assets.cube import FACES, MarkedCubeCfg, plate


@clone
def spawn_marked_cube(
    prim_path: str,
    cfg: MarkedCubeCfg,
    translation: tuple[float, float, float] | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """Spawn the cube with its collider, and six plates that are only drawn.

    Args:
        prim_path: Where to spawn it; a pattern spawns it at every match.
        cfg: Size and physical properties.
        translation: Position in the parent frame, metres.
        orientation: Xyzw in the parent frame.
        **kwargs: Unused options of Isaac Lab's spawners.

    Returns:
        The root prim.
    """
    edge = cfg.size[0]
    prim = spawn_geom_from_prim_type(prim_path, cfg, "Cube", {"size": edge}, translation, orientation)
    for name, (direction, color) in FACES.items():
        center, half = plate(edge, direction)
        face = UsdGeom.Cube.Define(prim.GetStage(), f"{prim_path}/faces/{name}")
        face.CreateSizeAttr(2.0)
        face.AddTranslateOp().Set(Gf.Vec3d(*center))
        face.AddScaleOp().Set(Gf.Vec3f(*half))
        face.CreateDisplayColorAttr([Gf.Vec3f(*(channel**2.2 for channel in color))])  # USD wants linear light
    return prim

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Spawners that lay a look over what they spawn. Imported when a scene is built, not before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.sim.spawners.from_files.from_files import spawn_from_usd
from isaaclab.sim.utils import clone
from pxr import Usd, UsdGeom

from cpo_lab.assets import furniture as furniture_table
from cpo_lab.assets.cache import cached_usd
from cpo_lab.assets.cube import MarkedCubeCfg
from cpo_lab.assets.cube_spawner import spawn_marked_cube
from cpo_lab.assets.look import allegro_hand, cube, furniture, kuka_allegro, shadow_hand
from cpo_lab.assets.look.authoring import Look, write_look
from cpo_lab.assets.look.materials import MATERIALS

LOOKS: dict[str, Look] = {
    "shadow_hand": shadow_hand.LOOK,
    "allegro_hand": allegro_hand.LOOK,
    "kuka_allegro": kuka_allegro.LOOK,
    "bucket": furniture.BUCKET,
}
"""By the name that generated files begin with."""


@clone
def spawn_dressed(
    prim_path: str,
    cfg: sim_utils.UsdFileCfg,
    translation: tuple[float, float, float] | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """Spawn a generated file as Isaac Lab does, then lay its look over it.

    Args:
        prim_path: Where to spawn it; a pattern spawns it at every match.
        cfg: The file and its physical properties.
        translation: Position in the parent frame, metres.
        orientation: Xyzw in the parent frame.
        **kwargs: Further options of Isaac Lab's spawner.

    Returns:
        The root prim.
    """
    prim = spawn_from_usd(prim_path, cfg, translation, orientation, **kwargs)
    name = re.sub(r"_[0-9a-f]{16}$", "", Path(cfg.usd_path).stem)
    if name in LOOKS:
        _lay_over(prim, look_file(name, LOOKS[name]))
    return prim


@clone
def spawn_dressed_cube(
    prim_path: str,
    cfg: MarkedCubeCfg,
    translation: tuple[float, float, float] | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """Spawn a cube with its collider and coloured plates, then lay a rounded one over it, as :func:`spawn_dressed`."""
    prim = spawn_marked_cube(prim_path, cfg, translation, orientation, **kwargs)
    _lay_over(prim, look_file("cube", cube.cube_look(cfg.size[0])))
    return prim


@clone
def spawn_dressed_table(
    prim_path: str,
    cfg: sim_utils.CuboidCfg,
    translation: tuple[float, float, float] | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """Spawn a table's box, then lay a table over it that stands on the ground, as :func:`spawn_dressed`."""
    prim = sim_utils.spawn_cuboid(prim_path, cfg, translation, orientation, **kwargs)
    height = furniture_table.TABLE_CENTER[2] if translation is None else float(translation[2])
    _lay_over(prim, look_file("table", furniture.table_look(cfg.size, height)))
    return prim


def _lay_over(prim: Any, look: str) -> None:
    """Lay a look over a spawned prim and hide everything else that would be drawn below it."""
    for part in Usd.PrimRange(prim):
        if part.IsA(UsdGeom.Gprim):
            UsdGeom.Imageable(part).CreatePurposeAttr(UsdGeom.Tokens.guide)
    # in front, as the stronger one: the order of children, in which engines number links, is that of the weakest file
    prim.GetReferences().AddReference(look, position=Usd.ListPositionFrontOfPrependList)


def look_file(name: str, look: Look) -> str:
    """Return the file with a look; made at the first call on a machine.

    Args:
        name: Start of its name.
        look: What it shows.
    """
    used = {piece.material for pieces in look.values() for piece in pieces}
    content = (look, {name: MATERIALS[name] for name in sorted(used)}, _sources())
    return cached_usd(f"{name}_look", content, lambda path: write_look(look, path), suffix=".usd")


def _sources() -> tuple[bytes, ...]:
    """Return the code that turns pieces into meshes, whose changes make a file anew."""
    return tuple(Path(__file__).with_name(name).read_bytes() for name in ("hulls.py", "authoring.py"))

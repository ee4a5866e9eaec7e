# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The USD file of a look: meshes to be laid over a robot's or an object's prims. It holds nothing that has physics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpo_lab.assets.authoring import new_stage
from cpo_lab.assets.look.hulls import Piece, Turned, surface
from cpo_lab.assets.look.materials import MATERIALS

Look = Mapping[str, "tuple[Piece | Turned, ...]"]
"""Pieces by the name of the link's prim; an empty name is the root itself."""

ROOT = "/look"
"""Default prim; it is laid over the root prim of what it dresses."""


def write_look(look: Look, path: Path) -> None:
    """Write one mesh per link and material.

    Args:
        look: What to write.
        path: File to write.
    """
    stage = new_stage(path, ROOT)
    root = stage.GetDefaultPrim()
    root.SetTypeName("")  # what it is laid over says what it is
    used = {piece.material for pieces in look.values() for piece in pieces}
    for name in sorted(used):
        _write_material(stage, name)
    for link, pieces in look.items():
        base = f"{ROOT}/{link}" if link else ROOT
        if link:
            stage.OverridePrim(base)
        for material in dict.fromkeys(piece.material for piece in pieces):
            _write_mesh(stage, f"{base}/look_{material}", [p for p in pieces if p.material == material], material)
    stage.GetRootLayer().Save()


def _write_material(stage: Any, name: str) -> None:
    from pxr import Gf, Sdf, UsdShade

    look = MATERIALS[name]
    material = UsdShade.Material.Define(stage, f"{ROOT}/materials/{name}")
    shader = UsdShade.Shader.Define(stage, f"{ROOT}/materials/{name}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    linear = Gf.Vec3f(*(channel**2.2 for channel in look.color))  # USD wants linear light
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(linear)
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(look.roughness)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(look.metallic)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")


def _write_mesh(stage: Any, path: str, pieces: list[Piece | Turned], material: str) -> None:
    from pxr import UsdGeom, UsdShade, Vt

    shape = surface(pieces)
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(shape.points.astype("float32")))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(shape.normals.astype("float32")))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(shape.faces), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(shape.faces.astype("int32").reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr("none")
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(UsdShade.Material.Get(stage, f"{ROOT}/materials/{material}"))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Spawn hundreds of different cuboids quickly.

Isaac Lab's ``MultiAssetSpawnerCfg`` with one ``CuboidCfg`` per shape costs about 0.2 s per shape, because every shape
goes through a dozen schema writers that each recompose the stage. Here one prototype is authored and every further
shape
is a copy of its specs on the layer with five numbers changed, all inside one change block.
"""

from __future__ import annotations

from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.utils import configclass

from cpo_lab.assets import contact, cuboids


def spawn_cuboid_set(
    prim_path: str, cfg: CuboidSetCfg, translation: Any = None, orientation: Any = None, **kwargs: Any
) -> Any:
    """Author one rigid cuboid per entry of ``cfg.assets_cfg`` at ``cfg.spawn_paths``; Isaac Lab's spawner interface.

    Args:
        prim_path: Used only if ``cfg.spawn_paths`` is not set (a single cuboid).
        cfg: The set.
        translation: Position in the environment's frame [m]; None is the origin.
        orientation: Rotation xyzw; None is no rotation.
        **kwargs: Ignored; other spawners' options.

    Returns:
        The first prim.
    """
    from pxr import Sdf

    stage = sim_utils.get_current_stage()
    layer = stage.GetEditTarget().GetLayer()
    paths = cfg.spawn_paths if cfg.spawn_paths is not None else [prim_path]
    wanted = [(path, shape) for path, shape in zip(paths, cfg.assets_cfg, strict=True) if path is not None]
    if not wanted:
        raise ValueError("No cuboid was spawned: every spawn path is None.")
    first = Sdf.Path(wanted[0][0])
    with Sdf.ChangeBlock():
        _author(Sdf.CreatePrimInLayer(layer, first), wanted[0][1], cfg, translation, orientation)
        for path, shape in wanted[1:]:
            target = Sdf.Path(path)
            Sdf.CreatePrimInLayer(layer, target)
            Sdf.CopySpec(layer, first, layer, target)
            _size(layer.GetPrimAtPath(target), shape)
        for path, _ in wanted:
            parent = layer.GetPrimAtPath(Sdf.Path(path).GetParentPath())
            while (
                parent is not None
                and parent.path != Sdf.Path.absoluteRootPath
                and parent.specifier == Sdf.SpecifierOver
            ):
                parent.specifier = Sdf.SpecifierDef
                parent.typeName = parent.typeName or "Xform"
                parent = parent.nameParent
    return stage.GetPrimAtPath(first)


def _attribute(spec: Any, name: str, kind: Any, value: Any) -> None:
    from pxr import Sdf

    attribute = spec.attributes.get(name) or Sdf.AttributeSpec(spec, name, kind)
    attribute.default = value


def _schemas(spec: Any, names: list[str]) -> None:
    from pxr import Sdf

    spec.SetInfo("apiSchemas", Sdf.TokenListOp.CreateExplicit(names))


def _author(spec: Any, shape: cuboids.Percent, cfg: CuboidSetCfg, translation: Any, orientation: Any) -> None:
    """Write a whole cuboid below ``spec``: a rigid body that holds a box collider."""
    from pxr import Gf, Sdf, Vt

    types = Sdf.ValueTypeNames
    spec.specifier, spec.typeName = Sdf.SpecifierDef, "Xform"
    _schemas(spec, ["PhysicsRigidBodyAPI", "PhysxRigidBodyAPI", "PhysicsMassAPI"])
    x, y, z, w = orientation if orientation is not None else (0.0, 0.0, 0.0, 1.0)
    _attribute(spec, "xformOp:translate", types.Double3, Gf.Vec3d(*(translation or (0.0, 0.0, 0.0))))
    _attribute(spec, "xformOp:orient", types.Quatd, Gf.Quatd(float(w), float(x), float(y), float(z)))
    _attribute(spec, "xformOp:scale", types.Double3, Gf.Vec3d(1.0, 1.0, 1.0))
    order = Vt.TokenArray(["xformOp:translate", "xformOp:orient", "xformOp:scale"])
    _attribute(spec, "xformOpOrder", types.TokenArray, order)
    _attribute(spec, "physics:rigidBodyEnabled", types.Bool, True)
    _attribute(spec, "physxRigidBody:solverPositionIterationCount", types.Int, contact.POSITION_ITERATIONS)
    _attribute(spec, "physxRigidBody:solverVelocityIterationCount", types.Int, contact.VELOCITY_ITERATIONS)
    _attribute(spec, "physxRigidBody:maxDepenetrationVelocity", types.Float, contact.DEPENETRATION_VELOCITY)
    geometry = Sdf.PrimSpec(spec, "geometry", Sdf.SpecifierDef, "Cube")
    _schemas(geometry, ["PhysicsCollisionAPI", "PhysxCollisionAPI"])
    _attribute(geometry, "size", types.Double, 1.0)
    _attribute(geometry, "xformOpOrder", types.TokenArray, Vt.TokenArray(["xformOp:scale"]))
    _attribute(geometry, "physics:collisionEnabled", types.Bool, True)
    _attribute(geometry, "physxCollision:contactOffset", types.Float, cfg.contact_offset)
    _attribute(geometry, "physxCollision:restOffset", types.Float, contact.REST_OFFSET)
    _attribute(geometry, "primvars:displayColor", types.Color3fArray, Vt.Vec3fArray([Gf.Vec3f(*cfg.color)]))
    _size(spec, shape)


def _size(spec: Any, shape: cuboids.Percent) -> None:
    """Write what differs between cuboids: edges, mass and inertia."""
    from pxr import Gf, Sdf

    types = Sdf.ValueTypeNames
    _attribute(spec, "physics:mass", types.Float, cuboids.mass(shape))
    _attribute(spec, "physics:diagonalInertia", types.Float3, Gf.Vec3f(*cuboids.inertia(shape)))
    _attribute(spec, "physics:centerOfMass", types.Point3f, Gf.Vec3f(0.0))
    _attribute(spec, "physics:principalAxes", types.Quatf, Gf.Quatf(1.0))
    _attribute(spec.nameChildren["geometry"], "xformOp:scale", types.Double3, Gf.Vec3d(*cuboids.edges(shape)))


@configclass
class CuboidSetCfg(sim_utils.MultiAssetSpawnerCfg):
    """A set of cuboids, one per world prototype."""

    func = spawn_cuboid_set

    assets_cfg: list[Any] = []  # noqa: RUF012  Isaac Lab copies the defaults of its configurations
    """Shapes, three edges in percent of 0.05 m each; the environment fills them in."""

    contact_offset: float = contact.CONTACT_OFFSET
    """Distance at which PhysX starts to generate contacts [m], > 0."""

    color: tuple[float, float, float] = (0.8, 0.45, 0.2)
    """Display color."""


def cuboid_set_cfg(position: tuple[float, float, float], prim_path: str = "{ENV_REGEX_NS}/Object") -> RigidObjectCfg:
    """Return a free object whose shape differs between environments."""
    return contact.body_cfg(CuboidSetCfg(), position, prim_path)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Table, ground and bucket of the arm tasks, made of primitives."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.assets import AssetBaseCfg, RigidObjectCfg
from isaaclab.markers import VisualizationMarkersCfg
from isaaclab.utils import configclass

from cpo_lab.assets.authoring import new_stage, write_shape
from cpo_lab.assets.cache import cached_usd
from cpo_lab.assets.contact import body_cfg, collision_props
from cpo_lab.assets.robot_table import Quat, Shape, Vec3, box

TABLE_CENTER = (0.0, 0.0, 0.38)
"""Centre of every table [m]; the top is at 0.53."""

NARROW_TABLE = (0.475, 0.4, 0.3)
"""Edges of the table of one arm [m]."""

WIDE_TABLE = (1.1, 0.4, 0.3)
"""Edges of the table of two arms [m]."""

BUCKET_SIDES = 12
BUCKET_HEIGHT = 0.198
BUCKET_BOTTOM_RADIUS = 0.082
BUCKET_TOP_RADIUS = 0.103
BUCKET_RIM_RADIUS = 0.12
BUCKET_WALL = 0.006
"""Shape of the bucket [m]: a frustum of 12 sides, inner radii at the bottom and top, and a flat rim around the top."""

BUCKET_CONTACT_OFFSET = 0.05
"""Gap at which PhysX begins to see contacts with the bucket [m]: as far as an object of 6 m/s flies within a physics
step. With the 2 mm of everything else such an object is inside a wall before it is seen, and falls or is shot out."""


def table_cfg(edges: tuple[float, float, float]) -> AssetBaseCfg:
    """Return a table: a box that never moves."""
    return AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        spawn=sim_utils.CuboidCfg(
            size=edges,
            collision_props=collision_props(),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.45, 0.36, 0.28)),
        ),
        init_state=AssetBaseCfg.InitialStateCfg(pos=TABLE_CENTER),
    )


def bucket_shapes() -> tuple[Shape, ...]:
    """Return the bucket's boxes in its own frame, whose origin is the middle of the floor's upper face.

    Twelve tilted walls, twelve pieces of rim and three turned squares for the floor.
    """
    shapes: list[Shape] = []
    step = 2.0 * math.pi / BUCKET_SIDES
    slant = math.atan2(BUCKET_TOP_RADIUS - BUCKET_BOTTOM_RADIUS, BUCKET_HEIGHT)
    middle = (BUCKET_BOTTOM_RADIUS + BUCKET_TOP_RADIUS) / 2.0
    wall_half = (BUCKET_WALL / 2.0, BUCKET_TOP_RADIUS * math.tan(step / 2.0), BUCKET_HEIGHT / 2.0 / math.cos(slant))
    rim_half_width = (BUCKET_RIM_RADIUS - BUCKET_TOP_RADIUS) / 2.0
    rim_half = (rim_half_width, BUCKET_RIM_RADIUS * math.tan(step / 2.0), BUCKET_WALL / 2.0)
    for i in range(BUCKET_SIDES):
        yaw = i * step
        out: Vec3 = (math.cos(yaw), math.sin(yaw), 0.0)
        radius = middle + wall_half[0] / math.cos(slant)
        shapes.append(box(wall_half, (radius * out[0], radius * out[1], BUCKET_HEIGHT / 2.0), _turn(yaw, slant)))
        radius = BUCKET_TOP_RADIUS + rim_half_width
        shapes.append(box(rim_half, (radius * out[0], radius * out[1], BUCKET_HEIGHT), _turn(yaw, 0.0)))
    half = BUCKET_BOTTOM_RADIUS * math.cos(step)  # then the three squares together cover the inner radius
    shapes += [
        box((half, half, BUCKET_WALL / 2.0), (0.0, 0.0, -BUCKET_WALL / 2.0), _turn(i * step, 0.0)) for i in range(3)
    ]
    return tuple(shapes)


def _turn(yaw: float, pitch: float) -> Quat:
    """Return the quaternion (xyzw) of a pitch about Y followed by a yaw about Z."""
    sy, cy, sp, cp = math.sin(yaw / 2), math.cos(yaw / 2), math.sin(pitch / 2), math.cos(pitch / 2)
    return (-sy * sp, cy * sp, sy * cp, cy * cp)


def _write_bucket(shapes: tuple[Shape, ...], path: Path) -> None:
    from pxr import UsdPhysics

    stage = new_stage(path, "/bucket")
    root = stage.GetDefaultPrim()
    body = UsdPhysics.RigidBodyAPI.Apply(root)
    body.CreateKinematicEnabledAttr(True)
    mass = UsdPhysics.MassAPI.Apply(root)
    mass.CreateMassAttr(1.0)
    mass.CreateDiagonalInertiaAttr((0.01, 0.01, 0.01))
    for i, shape in enumerate(shapes):
        write_shape(stage, f"/bucket/collision_{i}", shape, BUCKET_CONTACT_OFFSET)
    stage.GetRootLayer().Save()


def bucket_cfg(prim_path: str = "{ENV_REGEX_NS}/Bucket") -> RigidObjectCfg:
    """Return the bucket: a body that only moves when its pose is written."""
    shapes = bucket_shapes()
    usd = cached_usd("bucket", (shapes, BUCKET_CONTACT_OFFSET), lambda path: _write_bucket(shapes, path))
    return body_cfg(sim_utils.UsdFileCfg(usd_path=usd), (0.7, 0.0, 0.3), prim_path)


def spawn_ground(prim_path: str, cfg: GroundCfg, *args: Any, **kwargs: Any) -> Any:
    """Define an infinite horizontal plane; Isaac Lab's own ground is a file on a server."""
    from pxr import UsdGeom, UsdPhysics

    stage = sim_utils.get_current_stage()
    plane = UsdGeom.Plane.Define(stage, prim_path)
    plane.CreateAxisAttr("Z")
    plane.CreateWidthAttr(cfg.width)
    plane.CreateLengthAttr(cfg.width)
    UsdPhysics.CollisionAPI.Apply(plane.GetPrim())
    return plane.GetPrim()


@configclass
class GroundCfg(sim_utils.SpawnerCfg):
    """An infinite plane at z = 0."""

    func = spawn_ground

    width: float = 200.0
    """Edge of what is drawn of it [m], > 0."""


def ground_cfg() -> AssetBaseCfg:
    """Return one ground plane for all environments."""
    return AssetBaseCfg(prim_path="/World/ground", spawn=GroundCfg(), collision_group=-1)


def goal_marker_cfg() -> VisualizationMarkersCfg:
    """Return the marker that shows goals: a green cube of 1 m, to be scaled."""
    green = sim_utils.PreviewSurfaceCfg(diffuse_color=(0.15, 0.75, 0.3))
    return VisualizationMarkersCfg(
        prim_path="/World/Visuals/goals",
        markers={"goal": sim_utils.CuboidCfg(size=(1.0, 1.0, 1.0), visual_material=green)},
    )

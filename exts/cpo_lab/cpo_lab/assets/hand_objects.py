# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the Shadow Hand can turn besides the cube: the egg and the pen of the reference.

Sizes are those of the OpenAI / Kumar MJCF model (``assets/hand/manipulate_{egg,pen}.xml``), masses follow from
MuJoCo's default density; see NOTICE.
"""

from __future__ import annotations

import math
from pathlib import Path

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg

from cpo_lab.assets.authoring import new_stage
from cpo_lab.assets.cache import cached_usd
from cpo_lab.assets.contact import body_cfg, free_body_props

DENSITY = 1000.0
"""Density of egg and pen [kg/m^3]."""

EGG_AXES = (0.03, 0.03, 0.04)
"""Half axes of the egg [m]."""

PEN_RADIUS = 0.008
"""Radius of the pen [m]."""

PEN_HALF_LENGTH = 0.1
"""Half the length of the pen's cylinder [m]; two half spheres come on top."""

PEN_START = (0.0, -0.39, 0.52)
"""Start of the pen in the environment's frame [m] (``shadow_hand.py:318``)."""

Vec3 = tuple[float, float, float]


def egg_mass() -> float:
    """Return the egg's mass [kg]: an ellipsoid's."""
    a, b, c = EGG_AXES
    return DENSITY * 4.0 / 3.0 * math.pi * a * b * c


def egg_inertia() -> Vec3:
    """Return the egg's moments of inertia [kg m^2]."""
    a, b, c = EGG_AXES
    factor = egg_mass() / 5.0
    return factor * (b * b + c * c), factor * (a * a + c * c), factor * (a * a + b * b)


def pen_mass() -> float:
    """Return the pen's mass [kg]: a capsule's."""
    cylinder = math.pi * PEN_RADIUS**2 * 2.0 * PEN_HALF_LENGTH
    return DENSITY * (cylinder + 4.0 / 3.0 * math.pi * PEN_RADIUS**3)


def egg_mesh(segments: int = 10, rings: int = 7) -> tuple[list[Vec3], list[tuple[int, ...]]]:
    """Return points [m] and faces of the egg; at most 64 points, the most that PhysX keeps of a convex hull.

    Args:
        segments: Points around the axis.
        rings: Faces from pole to pole.
    """
    a, b, c = EGG_AXES
    points: list[Vec3] = [(0.0, 0.0, c)]
    for i in range(1, rings):
        polar = math.pi * i / rings
        for j in range(segments):
            turn = 2.0 * math.pi * j / segments
            x, y = math.sin(polar) * math.cos(turn), math.sin(polar) * math.sin(turn)
            points.append((a * x, b * y, c * math.cos(polar)))
    points.append((0.0, 0.0, -c))
    last = len(points) - 1
    faces: list[tuple[int, ...]] = []
    for j in range(segments):
        k = (j + 1) % segments
        faces.append((0, 1 + j, 1 + k))
        for i in range(rings - 2):
            upper, lower = 1 + i * segments, 1 + (i + 1) * segments
            faces.append((upper + j, lower + j, lower + k, upper + k))
        faces.append((last, last - segments + k, last - segments + j))
    return points, faces


def _write_egg(path: Path) -> None:
    from pxr import Gf, UsdGeom, UsdPhysics, Vt

    points, faces = egg_mesh()
    stage = new_stage(path, "/egg")
    root = stage.GetDefaultPrim()
    UsdPhysics.RigidBodyAPI.Apply(root)
    mass = UsdPhysics.MassAPI.Apply(root)
    mass.CreateMassAttr(egg_mass())
    mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*egg_inertia()))
    mass.CreateCenterOfMassAttr(Gf.Vec3f(0.0))
    mass.CreatePrincipalAxesAttr(Gf.Quatf(1.0))
    mesh = UsdGeom.Mesh.Define(stage, "/egg/hull")
    mesh.CreatePointsAttr(Vt.Vec3fArray([Gf.Vec3f(*point) for point in points]))
    mesh.CreateFaceVertexCountsAttr([len(face) for face in faces])
    mesh.CreateFaceVertexIndicesAttr([index for face in faces for index in face])
    mesh.CreateSubdivisionSchemeAttr("none")
    mesh.CreateDisplayColorAttr([Gf.Vec3f(0.9, 0.8, 0.6)])
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
    stage.GetRootLayer().Save()


def egg_cfg(position: Vec3, prim_path: str = "{ENV_REGEX_NS}/Object") -> RigidObjectCfg:
    """Return the egg: an ellipsoid of 60 x 60 x 80 mm and 151 g, as a convex hull."""
    usd = cached_usd("egg", (EGG_AXES, egg_mesh(), egg_mass()), _write_egg)
    return body_cfg(sim_utils.UsdFileCfg(usd_path=usd), position, prim_path)


def pen_cfg(position: Vec3, prim_path: str = "{ENV_REGEX_NS}/Object") -> RigidObjectCfg:
    """Return the pen: a capsule of 216 mm and 42 g along its own Z axis."""
    props = free_body_props(sim_utils.MassCfg(mass=pen_mass()))
    pen = sim_utils.CapsuleCfg(radius=PEN_RADIUS, height=2.0 * PEN_HALF_LENGTH, axis="Z", **props)
    return body_cfg(pen, position, prim_path)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Smooth solids: convex hulls of balls and rings, and turned profiles.

A vertex of such a hull lies on one of the balls or rings, whose surface normal there is exact. That is what makes few
triangles look smooth: a tapered finger is the hull of two balls, a rounded box that of eight, a rounded cylinder that
of two rings. Lengths are metres.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpo_lab.assets.inertials import rotation_matrix
from cpo_lab.assets.robot_table import Quat, Vec3

_CREASE = math.radians(40.0)
"""Angle from which the corner of a turned profile is sharp."""

_LEVEL = 3
"""How often the faces of an octahedron are split for a ball."""

_AROUND, _ACROSS = 64, 8
"""Points around a ring and around its tube."""


@dataclass(frozen=True)
class Ball:
    """A ball."""

    center: Vec3
    """Its centre [m]."""
    radius: float
    """Its radius [m]."""


@dataclass(frozen=True)
class Ring:
    """A torus; two on one axis span a cylinder or cone with rounded edges."""

    center: Vec3
    """Its centre [m]."""
    axis: Vec3
    """Unit vector that it lies around."""
    radius: float
    """From the axis to its outermost points [m]."""
    round: float
    """Radius of the tube, which rounds the edges [m]."""


@dataclass(frozen=True)
class Piece:
    """A convex solid of one material, in the frame of its link."""

    material: str
    """Name in :data:`cpo_lab.assets.look.materials.MATERIALS`."""
    parts: tuple[Ball | Ring, ...]
    """What it is the hull of."""


@dataclass(frozen=True)
class Turned:
    """A solid of revolution about Z, which need not be convex."""

    material: str
    """Name in :data:`cpo_lab.assets.look.materials.MATERIALS`."""
    profile: tuple[tuple[float, float], ...]
    """Corners (radius, height) [m], counter-clockwise in the half plane; the last one is joined to the first."""


@dataclass(frozen=True)
class TriangleMesh:
    """Triangles with a normal at each vertex."""

    points: NDArray[np.float64]
    """Vertices [V, 3], metres."""
    normals: NDArray[np.float64]
    """Unit normals [V, 3], outwards."""
    faces: NDArray[np.int64]
    """Vertices of each triangle [F, 3], counter-clockwise from outside."""


def rounded_box(material: str, low: Vec3, high: Vec3, radius: float) -> Piece:
    """Return a box between two corners [m] whose edges are rounded by ``radius``."""
    ends = [(a + radius, b - radius) for a, b in zip(low, high, strict=True)]
    balls = tuple(Ball((x, y, z), radius) for x in ends[0] for y in ends[1] for z in ends[2])
    return Piece(material, balls)


def rounded_cylinder(material: str, center: Vec3, axis: Vec3, radius: float, length: float, edge: float) -> Piece:
    """Return a cylinder of ``radius`` and ``length`` [m] about ``axis``, with edges rounded by ``edge``."""
    shift = [(length / 2.0 - edge) * a for a in axis]
    ends = [tuple(c + sign * s for c, s in zip(center, shift, strict=True)) for sign in (-1.0, 1.0)]
    return Piece(material, tuple(Ring(end, axis, radius, edge) for end in ends))  # type: ignore[arg-type]


def moved(piece: Piece, position: Vec3, orientation: Quat) -> Piece:
    """Return a piece given in another frame, whose pose is ``position`` [m] and ``orientation`` (xyzw)."""
    rotation, shift = rotation_matrix(orientation), np.asarray(position)
    parts: list[Ball | Ring] = []
    for part in piece.parts:
        center = tuple((rotation @ part.center + shift).tolist())
        if isinstance(part, Ring):
            parts.append(Ring(center, tuple((rotation @ part.axis).tolist()), part.radius, part.round))
        else:
            parts.append(Ball(center, part.radius))
    return Piece(piece.material, tuple(parts))


def surface(pieces: Sequence[Piece | Turned]) -> TriangleMesh:
    """Return the surfaces of all ``pieces`` as one mesh."""
    meshes = [_turned(piece) if isinstance(piece, Turned) else _hull(piece) for piece in pieces]
    starts = np.cumsum([0, *(len(mesh.points) for mesh in meshes)])
    return TriangleMesh(
        np.concatenate([mesh.points for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
    )


def _hull(piece: Piece) -> TriangleMesh:
    from scipy.spatial import ConvexHull

    samples = [_ball(part) if isinstance(part, Ball) else _ring(part) for part in piece.parts]
    spots, outward = (np.concatenate(arrays) for arrays in zip(*samples, strict=True))
    found = ConvexHull(spots)
    triangles = found.simplices
    first, second, third = (spots[triangles[:, i]] for i in range(3))
    inside = (np.cross(second - first, third - first) * found.equations[:, :3]).sum(1) < 0.0
    triangles = np.where(inside[:, None], triangles[:, ::-1], triangles)
    used, triangles = np.unique(triangles, return_inverse=True)
    return TriangleMesh(spots[used], outward[used], triangles.reshape(-1, 3))


def _turned(piece: Turned) -> TriangleMesh:
    """Turn a profile; corners below :data:`_CREASE` are smoothed, others are sharp."""
    corners = np.asarray(piece.profile)
    along = np.roll(corners, -1, axis=0) - corners
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    outward = np.stack((along[:, 1], -along[:, 0]), axis=1)
    around = np.arange(_AROUND + 1) * 2.0 * math.pi / _AROUND
    points: list[NDArray[np.float64]] = []
    normals: list[NDArray[np.float64]] = []
    faces: list[NDArray[np.int64]] = []
    for i in range(len(corners)):
        ends = []
        for corner, other in ((i, i - 1), ((i + 1) % len(corners), (i + 1) % len(corners))):
            smooth = outward[i] @ outward[other] > math.cos(_CREASE)
            normal = outward[i] + outward[other] if smooth else outward[i]
            ends.append((corners[corner], normal / np.linalg.norm(normal)))
        if ends[0][0][0] == ends[1][0][0] == 0.0:
            continue  # on the axis
        start = sum(len(each) for each in points)
        for (radius, height), (out, up) in ends:
            cos, sin, one = np.cos(around), np.sin(around), np.ones_like(around)
            points.append(np.stack((radius * cos, radius * sin, height * one), axis=1))
            normals.append(np.stack((out * cos, out * sin, up * one), axis=1))
        lower = start + np.arange(_AROUND)
        upper = lower + _AROUND + 1
        faces += [np.stack((lower, lower + 1, upper + 1), axis=1), np.stack((lower, upper + 1, upper), axis=1)]
    return TriangleMesh(np.concatenate(points), np.concatenate(normals), np.concatenate(faces))


def _ball(ball: Ball) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and normals [N, 3] of a ball."""
    directions = _directions()
    return np.asarray(ball.center) + ball.radius * directions, directions


def _ring(ring: Ring) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points and normals [N, 3] of a torus."""
    axis = np.asarray(ring.axis)
    side = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    around = np.arange(_AROUND) * 2.0 * math.pi / _AROUND
    out = np.cos(around)[:, None] * side + np.sin(around)[:, None] * np.cross(axis, side)
    across = np.linspace(-math.pi / 2.0, math.pi / 2.0, _ACROSS + 1)  # the inner half never shows
    normals = np.cos(across)[None, :, None] * out[:, None] + np.sin(across)[None, :, None] * axis
    points = np.asarray(ring.center) + (ring.radius - ring.round) * out[:, None] + ring.round * normals
    return points.reshape(-1, 3), normals.reshape(-1, 3)


@functools.cache
def _directions() -> NDArray[np.float64]:
    """Return unit vectors evenly over the sphere, among them the axes: flat faces of boxes are flat to the eye."""
    steps = 2**_LEVEL
    grid = [
        (i, j, steps - abs(i) - abs(j))
        for i in range(-steps, steps + 1)
        for j in range(-steps, steps + 1)
        if abs(i) + abs(j) <= steps
    ]
    upper = np.array(grid, dtype=float)
    both = np.unique(np.concatenate((upper, upper * (1.0, 1.0, -1.0))), axis=0)
    return both / np.linalg.norm(both, axis=1, keepdims=True)

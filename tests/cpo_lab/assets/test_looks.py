# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Looks: smooth closed surfaces for every link, nothing in them that has physics, and colliders that stay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cpo_lab.assets.allegro_hand_table import allegro_hand
from cpo_lab.assets.kuka_allegro_table import kuka_allegro
from cpo_lab.assets.look import allegro_hand as allegro_look
from cpo_lab.assets.look import furniture
from cpo_lab.assets.look import kuka_allegro as kuka_look
from cpo_lab.assets.look import shadow_hand as shadow_look
from cpo_lab.assets.look.authoring import write_look
from cpo_lab.assets.look.cube import cube_look
from cpo_lab.assets.look.hulls import Ball, Piece, Ring, Turned, moved, rounded_box, rounded_cylinder, surface
from cpo_lab.assets.look.materials import BAND, MATERIALS
from cpo_lab.assets.shadow_hand_table import shadow_hand

ROBOTS = {
    "shadow": (shadow_hand(), shadow_look.LOOK),
    "allegro": (allegro_hand(), allegro_look.LOOK),
    "kuka": (kuka_allegro(), kuka_look.LOOK),
}
PIECES = [
    Piece("shell", (Ball((0.0, 0.0, 0.0), 0.02), Ball((0.0, 0.0, 0.1), 0.01))),
    rounded_box("shell", (-0.1, -0.2, -0.3), (0.1, 0.2, 0.3), 0.01),
    rounded_cylinder("shell", (0.1, 0.2, 0.3), (0.6, 0.8, 0.0), 0.05, 0.2, 0.01),
    Piece("shell", (Ring((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.05, 0.005), Ball((0.05, 0.0, 0.1), 0.03))),
]


def volume(mesh) -> float:
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6.0)


@pytest.mark.parametrize("piece", [*PIECES, *furniture.BUCKET[""]])
def test_surfaces_are_closed_and_their_normals_point_outwards(piece):
    mesh = surface([piece])
    # a turned profile repeats the vertices of its edges
    _, same = np.unique(mesh.points.round(9), axis=0, return_inverse=True)
    faces = same.reshape(-1)[mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there, back = (sorted(map(tuple, e.tolist())) for e in (edges, edges[:, ::-1]))
    assert there == back, "an edge has one face only: the surface has a hole"
    assert volume(mesh) > 0.0
    a, b, c = (mesh.points[mesh.faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    area = np.linalg.norm(flat, axis=1)
    flat = flat[area > 1e-12] / area[area > 1e-12, None]
    for corner in range(3):
        cosine = (flat * mesh.normals[mesh.faces[area > 1e-12, corner]]).sum(1)
        assert cosine.min() > math.cos(math.radians(35.0))
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-9)


def test_the_hull_of_a_ball_and_of_a_box_have_their_sizes():
    assert volume(surface([Piece("shell", (Ball((0.3, 0.0, 0.0), 0.1),))])) == pytest.approx(
        4e-3 * math.pi / 3, rel=0.03
    )
    box = surface([PIECES[1]])
    np.testing.assert_allclose(box.points.max(0), (0.1, 0.2, 0.3))
    # flat faces are flat: a vertex on them has exactly their normal
    top = np.isclose(box.points[:, 2], 0.3)
    np.testing.assert_allclose(box.normals[top], np.tile((0.0, 0.0, 1.0), (top.sum(), 1)), atol=1e-12)


def test_a_moved_piece_is_the_moved_surface():
    turn = (0.5, 0.5, 0.5, 0.5)  # x -> y -> z -> x
    mesh = surface([moved(PIECES[3], (1.0, 2.0, 3.0), turn)])
    plain = surface([PIECES[3]])
    for axis in range(3):
        assert mesh.points[:, (axis + 1) % 3].max() == pytest.approx(
            plain.points[:, axis].max() + (axis + 1) % 3 + 1, abs=1e-3
        )


@pytest.mark.parametrize("name", ROBOTS)
def test_every_link_that_collides_has_a_look_and_one_piece_has_the_policys_colour(name):
    robot, look = ROBOTS[name]
    # in their order: engines number links in the order of the stage
    assert list(look) == [link.name for link in robot.links if link.shapes]
    materials = {piece.material for pieces in look.values() for piece in pieces}
    assert materials <= set(MATERIALS)
    assert BAND in materials


@pytest.mark.parametrize("name", ROBOTS)
def test_what_touches_is_where_it_is_seen(name):
    """Fingertips end where their colliders end, within 1.5 mm, or an object would float or sink in."""
    robot, look = ROBOTS[name]
    tips = [link for link in robot.links if link.name.endswith(("distal", "link_3"))]
    tips = [link for link in tips if not link.name.startswith("iiwa")]
    assert len(tips) in (4, 5)
    for link in tips:
        axis = 2 if name == "shadow" else 0
        reach = max(shape.position[axis] + sum(shape.size[:2]) * (shape.kind == "capsule")
                    + shape.size[0] * (shape.kind != "capsule") for shape in link.shapes)  # fmt: skip
        assert surface(look[link.name]).points[:, axis].max() == pytest.approx(reach, abs=1.5e-3), link.name


def test_a_look_holds_nothing_physical(tmp_path):
    from pxr import Usd, UsdGeom, UsdPhysics

    write_look(
        {"": (rounded_box("tin", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.1),), "arm": (PIECES[0],)}, tmp_path / "a.usd"
    )
    stage = Usd.Stage.Open(str(tmp_path / "a.usd"))
    for prim in stage.TraverseAll():
        assert not [schema for schema in prim.GetAppliedSchemas() if "Physics" in schema or "Physx" in schema]
        assert not prim.HasAPI(UsdPhysics.CollisionAPI)
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/look/arm/look_shell"))
    assert mesh.GetNormalsInterpolation() == "vertex"
    assert len(mesh.GetNormalsAttr().Get()) == len(mesh.GetPointsAttr().Get())
    assert not stage.GetDefaultPrim().GetTypeName()


@pytest.mark.parametrize("edge", [0.05, 0.065])
def test_the_cube_is_seen_as_large_as_it_is(edge):
    mesh = surface(cube_look(edge)[""])
    np.testing.assert_allclose(mesh.points.max(0), 0.5 * edge, atol=1e-9)
    np.testing.assert_allclose(mesh.points.min(0), -0.5 * edge, atol=1e-9)


def test_a_profile_keeps_sharp_corners_and_smooths_round_ones():
    mesh = surface([Turned("tin", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))])
    assert volume(mesh) == pytest.approx(math.pi, rel=2e-3)
    side = np.isclose(np.hypot(*mesh.points[:, :2].T), 1.0)
    assert set(mesh.normals[side][:, 2].round(9)) == {-1.0, 0.0, 1.0}

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Egg and pen: masses, inertia, and a hull that PhysX keeps whole."""

from __future__ import annotations

import numpy as np
import pytest
from pxr import Usd, UsdPhysics

from cpo_lab.assets import hand_objects


def test_masses_of_the_reference():
    assert hand_objects.egg_mass() == pytest.approx(0.151, abs=5e-4)
    assert hand_objects.pen_mass() == pytest.approx(0.042, abs=5e-4)


def test_egg_inertia_is_an_ellipsoids():
    # m / 5 (b^2 + c^2) = 0.1508 / 5 * 0.0025
    assert hand_objects.egg_inertia() == pytest.approx((7.540e-5, 7.540e-5, 5.429e-5), rel=1e-3)


def test_egg_mesh_is_closed_outward_and_small_enough():
    points, faces = hand_objects.egg_mesh()
    assert len(points) <= 64
    np.testing.assert_allclose([sum((np.array(p) / hand_objects.EGG_AXES) ** 2) for p in points], 1.0)
    edges = [(face[i], face[(i + 1) % len(face)]) for face in faces for i in range(len(face))]
    assert len(set(edges)) == len(edges)  # no edge twice in the same direction ...
    assert all((b, a) in set(edges) for a, b in edges)  # ... and every one in both
    volume = 0.0
    for face in faces:
        for i in range(1, len(face) - 1):
            a, b, c = (np.array(points[k]) for k in (face[0], face[i], face[i + 1]))
            volume += a @ np.cross(b, c) / 6.0
    assert 0.85 < volume / (4 / 3 * np.pi * 0.03 * 0.03 * 0.04) < 1.0


def test_egg_file(tmp_path, monkeypatch):
    monkeypatch.setenv("CPO_LAB_CACHE", str(tmp_path))
    cfg = hand_objects.egg_cfg((0.0, -0.39, 0.6))
    stage = Usd.Stage.Open(cfg.spawn.usd_path)
    prim = stage.GetDefaultPrim()
    assert UsdPhysics.MassAPI(prim).GetMassAttr().Get() == pytest.approx(hand_objects.egg_mass())
    hull = prim.GetChild("hull")
    assert UsdPhysics.MeshCollisionAPI(hull).GetApproximationAttr().Get() == "convexHull"

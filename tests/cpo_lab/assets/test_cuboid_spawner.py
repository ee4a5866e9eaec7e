# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Authoring the 947 cuboids: right numbers, and seconds instead of minutes. Needs OpenUSD and no engine."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics

from cpo_lab.assets import cuboids
from cpo_lab.assets.cuboid_spawner import CuboidSetCfg, spawn_cuboid_set


@pytest.fixture
def stage(monkeypatch):
    stage = Usd.Stage.CreateInMemory()
    monkeypatch.setattr("isaaclab.sim.get_current_stage", lambda: stage, raising=False)
    return stage


def spawn(shapes, paths):
    cfg = CuboidSetCfg()
    cfg.assets_cfg, cfg.spawn_paths = list(shapes), list(paths)
    return spawn_cuboid_set("/unused", cfg, translation=(0.0, 0.0, 0.63))


def test_every_prototype_has_its_numbers(stage):
    shapes = cuboids.object_shapes("cuboids", 5)
    paths = [None if i == 2 else f"/World/envs/env_{i}/Object" for i in range(5)]  # the third is in no environment
    first = spawn(shapes, paths)
    assert str(first.GetPath()) == paths[0]
    for path, shape in zip(paths, shapes, strict=True):
        if path is None:
            continue
        prim = stage.GetPrimAtPath(path)
        assert prim.IsDefined() and prim.HasAPI(UsdPhysics.RigidBodyAPI)
        mass = UsdPhysics.MassAPI(prim)
        assert mass.GetMassAttr().Get() == pytest.approx(cuboids.mass(shape), rel=1e-6)
        np.testing.assert_allclose(mass.GetDiagonalInertiaAttr().Get(), cuboids.inertia(shape), rtol=1e-6)
        bounds = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"]).ComputeWorldBound(prim).ComputeAlignedRange()
        np.testing.assert_allclose(bounds.GetSize(), cuboids.edges(shape), rtol=1e-6)
        np.testing.assert_allclose(bounds.GetMidpoint(), (0.0, 0.0, 0.63), atol=1e-6)
        assert prim.GetChild("geometry").HasAPI(UsdPhysics.CollisionAPI)
    assert not stage.GetPrimAtPath("/World/envs/env_2")


def test_947_cuboids_take_seconds(stage):
    """Isaac Lab's spawner for sets takes three minutes for these on two cores."""
    shapes = cuboids.object_shapes("cuboids")
    start = time.perf_counter()
    spawn(shapes, [f"/World/envs/env_{i}/Object" for i in range(len(shapes))])
    assert time.perf_counter() - start < 20.0  # 0.4 s on an idle core
    assert len([prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.RigidBodyAPI)]) == 947


def test_no_active_path_is_an_error(stage):
    with pytest.raises(ValueError, match="spawn path"):
        spawn(cuboids.object_shapes("cuboids", 1), [None])

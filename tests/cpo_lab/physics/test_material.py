# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The simulation's material reaches the engine that runs; how it brakes there is measured by ``doctor --task``."""

from __future__ import annotations

from types import SimpleNamespace

import isaaclab.sim as sim_utils
import pytest
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_tasks.utils import resolve_task_config
from pxr import Usd, UsdPhysics, UsdShade

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_lab.physics.material import tell_newton, tell_ovphysx
from cpo_lab.physics.presets import newton_on_cpu
from cpo_rl.errors import UserError


def simulation(physics, static: float = 0.3, dynamic: float = 0.3, restitution: float = 0.0):
    material = sim_utils.RigidBodyMaterialCfg(static_friction=static, dynamic_friction=dynamic, restitution=restitution)
    return sim_utils.SimulationCfg(physics=physics, physics_material=material)


def test_newton_takes_the_coefficient_for_every_shape():
    cfg = simulation(newton_on_cpu())
    tell_newton(cfg)
    assert cfg.physics.default_shape_cfg.mu == 0.3


@pytest.mark.parametrize("said", [{"static": 0.5}, {"restitution": 0.1}])
def test_newton_is_told_nothing_that_it_has_no_word_for(said):
    with pytest.raises(UserError, match=r"^env\.sim\.physics_material: .*physics=ovphysx"):
        tell_newton(simulation(newton_on_cpu(), **said))
    tell_newton(simulation(OvPhysxCfg(), **said))  # which has


def test_newtons_own_coefficient_is_refused_where_it_says_another_one():
    cfg = simulation(newton_on_cpu())
    cfg.physics.default_shape_cfg.mu = 0.5
    with pytest.raises(UserError, match=r"^env\.sim\.physics\.default_shape_cfg\.mu is what .*; give its"):
        tell_newton(cfg)
    cfg.physics.default_shape_cfg.mu = 0.3
    tell_newton(cfg)


@pytest.mark.parametrize("setting", ["physics_material.restitution=0.5", "physics.default_shape_cfg.mu=0.5"])
def test_it_is_refused_before_a_simulator_starts(setting):
    def checked(engine: str) -> None:
        overrides = [f"physics={engine}", f"env.sim.{setting}"]
        resolve_task_config("CpoLab-Reorient-Cube-Shadow-Direct", None, overrides=overrides)[0].check()

    with pytest.raises(UserError, match=r"^env\.sim\.physics"):
        checked("newton_mjwarp")
    if "material" in setting:
        checked("ovphysx")


def test_no_material_leaves_newton_alone():
    cfg = simulation(newton_on_cpu())
    cfg.physics_material = None
    tell_newton(cfg)
    assert cfg.physics == newton_on_cpu()


@pytest.fixture
def sim():
    """What of Isaac Lab's simulation context is asked for, with a stage that holds a physics scene."""
    stage = sim_utils.create_new_stage()
    UsdPhysics.Scene.Define(stage, "/physicsScene")
    yield SimpleNamespace(cfg=simulation(OvPhysxCfg(), static=0.4), stage=stage)
    sim_utils.close_stage()


def bound(stage: Usd.Stage):
    binding = UsdShade.MaterialBindingAPI(stage.GetPrimAtPath("/physicsScene"))
    return binding.GetDirectBinding("physics").GetMaterial()


def test_ovphysx_finds_the_material_at_its_scene(sim):
    tell_ovphysx(sim)
    material = UsdPhysics.MaterialAPI(bound(sim.stage).GetPrim())
    assert material.GetStaticFrictionAttr().Get() == pytest.approx(0.4)
    assert material.GetDynamicFrictionAttr().Get() == pytest.approx(0.3)


@pytest.mark.parametrize("change", [{"physics": newton_on_cpu()}, {"physics_material": None}])
def test_other_engines_and_no_material_bind_nothing(sim, change):
    for name, value in change.items():
        setattr(sim.cfg, name, value)
    tell_ovphysx(sim)
    assert not bound(sim.stage)

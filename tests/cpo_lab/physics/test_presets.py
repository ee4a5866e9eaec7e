# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import types

import pytest

pytest.importorskip("isaaclab")

import torch
from isaaclab_newton.physics import NewtonCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg

from cpo_lab.physics import defaults, presets
from cpo_lab.physics.presets import HandPhysicsCfg, fit_to_device

CPU_MANAGER = "cpo_lab.physics.cpu_graph:NewtonCpuGraphManager"


def sim(physics, device="cpu"):
    return types.SimpleNamespace(physics=physics, device=device)


@pytest.mark.parametrize(("cuda", "engine"), [(True, NewtonCfg), (False, OvPhysxCfg)])
def test_the_default_suits_the_machine(monkeypatch, cuda, engine):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert isinstance(HandPhysicsCfg().default, engine)


def test_without_ovphysx_a_cpu_gets_newton(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(presets, "ovphysx_installed", lambda: False)
    assert HandPhysicsCfg().default.class_type == CPU_MANAGER


def test_a_cpu_run_on_a_machine_with_a_gpu_gets_ovphysx():
    table = HandPhysicsCfg()
    config = sim(table.newton_mjwarp)
    lines = fit_to_device(config, "device", table)
    assert isinstance(config.physics, OvPhysxCfg)
    assert len(lines) == 1
    assert "ovphysx" in lines[0]


def test_a_cuda_run_keeps_newton():
    table = HandPhysicsCfg()
    config = sim(table.newton_mjwarp, "cuda:0")
    assert fit_to_device(config, "device", table) == []
    assert config.physics.solver_cfg.cone == "elliptic"


def test_newton_on_a_cpu_gets_settings_for_a_cpu():
    table = HandPhysicsCfg()
    config = sim(HandPhysicsCfg().newton_mjwarp)
    lines = fit_to_device(config, "newton_mjwarp", table)
    assert config.physics.solver_cfg.cone == "pyramidal"
    assert config.physics.class_type == CPU_MANAGER
    assert not config.physics.use_cuda_graph
    assert len(lines) == 1


def test_own_solver_settings_stay():
    table = HandPhysicsCfg()
    config = sim(HandPhysicsCfg().newton_mjwarp)
    config.physics.solver_cfg.iterations = 7
    assert fit_to_device(config, "newton_mjwarp", table) == []
    assert config.physics.solver_cfg.cone == "elliptic"


def test_an_engine_asked_for_by_name_stays():
    table = HandPhysicsCfg()
    for name, device in (("isaacsim_physx", "cpu"), ("ovphysx", "cuda:0")):
        config = sim(getattr(table, name), device)
        assert fit_to_device(config, name, table) == []
    assert isinstance(table.isaacsim_physx, PhysxCfg)


def test_the_gpus_number_of_environments_is_not_used_on_a_cpu():
    config = types.SimpleNamespace(
        sim=sim(None), scene=types.SimpleNamespace(num_envs=24576), cuda_num_envs=24576, cpu_num_envs=252
    )
    assert "252" in defaults.fit_num_envs(config, 24576)[0]
    assert config.scene.num_envs == 252
    config.scene.num_envs = 12
    assert defaults.fit_num_envs(config, 24576) == []
    assert config.scene.num_envs == 12


def test_the_tasks_own_number_for_a_cpu_counts_although_it_was_set_late():
    config = types.SimpleNamespace(
        sim=sim(None), scene=types.SimpleNamespace(num_envs=252), cuda_num_envs=24576, cpu_num_envs=24
    )
    assert "24" in defaults.fit_num_envs(config, 252)[0]
    assert config.scene.num_envs == 24
    config.scene.num_envs = 0  # stands for the task's
    assert "24" in defaults.fit_num_envs(config, 252)[0]
    config.scene.num_envs = 6  # asked for
    assert defaults.fit_num_envs(config, 252) == []


@pytest.mark.parametrize(
    ("tokens", "engine", "choice"),
    [
        ([], OvPhysxCfg, "device"),
        (["physics=ovphysx"], OvPhysxCfg, "ovphysx"),
        (["physics=newton_mjwarp"], NewtonCfg, "newton_mjwarp"),
        (["physics=newton_mjwarp_cpu"], NewtonCfg, "newton_mjwarp_cpu"),
        (["physics=isaacsim_physx"], PhysxCfg, "isaacsim_physx"),
    ],
)
def test_the_task_resolves_every_engine(monkeypatch, tmp_path, tokens, engine, choice):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CPO_LAB_CACHE", str(tmp_path))
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    config, _ = resolve_task_config("CpoLab-Reorient-Cube-Shadow-Direct", None, overrides=tokens)
    if tokens:  # without a token the default was fixed when the module was first imported, on this machine
        assert isinstance(config.sim.physics, engine)
    assert config.physics_choice == choice

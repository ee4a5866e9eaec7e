# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import entry_points

import gymnasium
import pytest

import cpo_lab.tasks

IDS = sorted(name for name in gymnasium.registry if name.startswith("CpoLab-"))
KEYS = ("rsl_rl_cfg_entry_point", *(f"rsl_rl_{name}_cfg_entry_point" for name in cpo_lab.tasks.AGENTS))


def test_importing_the_tasks_loads_no_simulator_and_no_torch():
    code = (
        "import sys, cpo_lab.tasks\n"
        "found = {'torch', 'isaaclab', 'isaaclab_tasks', 'warp', 'pxr', 'rsl_rl', 'ovphysx'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_isaac_lab_finds_them():
    found = {point.value for point in entry_points(group="isaaclab.tasks")}
    if not found:
        pytest.skip("the project is not installed")
    assert "cpo_lab.tasks" in found


def test_the_shadow_hand_is_there():
    assert "CpoLab-Reorient-Cube-Shadow-Direct" in IDS


@pytest.mark.parametrize("task", IDS)
def test_every_entry_exists(task):
    pytest.importorskip("isaaclab")
    kwargs = gymnasium.spec(task).kwargs
    assert kwargs["default_agent"] == "rsl_rl"
    assert kwargs["rsl_rl_cfg_entry_point"] == kwargs["rsl_rl_cpo_cfg_entry_point"]
    for key in ("env_cfg_entry_point", *KEYS):
        module, name = kwargs[key].split(":")
        assert callable(getattr(importlib.import_module(module), name))
    with pytest.raises(AttributeError):
        getattr(importlib.import_module(module), f"{name}_of_nobody")


@pytest.mark.parametrize("task", ["CpoLab-Reorient-Cube-Shadow-Direct", "CpoLab-Throw-KukaAllegro-Direct"])
def test_stock_ppo_takes_the_tasks_numbers(task):
    pytest.importorskip("isaaclab")
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    ours = load_cfg_from_registry(task, "rsl_rl_ppo_cfg_entry_point")
    stock = load_cfg_from_registry(task, "rsl_rl_stock_ppo_cfg_entry_point")
    assert stock.algorithm.class_name == "PPO"
    names = ("num_mini_batches", "num_learning_epochs", "learning_rate", "clip_param", "desired_kl", "gamma", "lam")
    for name in names:
        assert getattr(stock.algorithm, name) == getattr(ours.algorithm, name), name
    assert stock.actor.hidden_dims == ours.model.hidden_dims
    assert stock.actor.class_name == {"none": "MLPModel", "lstm": "RNNModel"}[ours.model.rnn_type]


@pytest.mark.parametrize(("algorithm", "policies", "mini_batches"), [("cpo", 6, 4), ("sapg", 6, 2), ("ppo", 1, 2)])
def test_shadow_hand_agents(algorithm, policies, mini_batches):
    pytest.importorskip("isaaclab")
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    agent = load_cfg_from_registry("CpoLab-Reorient-Cube-Shadow-Direct", f"rsl_rl_{algorithm}_cfg_entry_point")
    assert agent.algorithm.algorithm == algorithm
    assert agent.algorithm.num_policies == policies
    assert agent.algorithm.num_mini_batches == mini_batches
    assert agent.num_steps_per_env == 8
    assert agent.model.hidden_dims == [512, 512, 256, 128]
    assert (agent.algorithm.awac_coef == 0.001) == (algorithm == "cpo")
    assert agent.algorithm.adversarial_coef == 0.0
    assert agent.experiment_name == "shadow_hand_reorient_cube"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Sizes and run settings of Franka's tasks. Starts no engine."""

from __future__ import annotations

import math

import gymnasium
import pytest

pytest.importorskip("isaaclab")
from isaaclab.utils import to_dict
from isaaclab.utils.string import string_to_callable

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_rl.config import EnsembleCfg
from cpo_rl.fields import build_cfg

TASKS = ("Push", "Stack")
OBSERVED = {
    "cube_rotation": 4,
    "cube_position": 3,
    "cube_to_target": 3,
    "grip_position": 3,
    "grip_rotation": 4,
    "finger_position": 2,
}
"""What the reference observes, in its order."""


def load(task: str, key: str):
    return string_to_callable(gymnasium.spec(f"CpoLab-{task}-Franka-Direct").kwargs[key])()


@pytest.mark.parametrize("task", TASKS)
def test_sizes(task):
    cfg = load(task, "env_cfg_entry_point")
    assert (cfg.observation_space, cfg.action_space, cfg.state_space) == (19, 7, 0)
    assert [(term.name, term.size) for term in cfg.layout()] == list(OBSERVED.items())
    assert cfg.sim.dt * cfg.decimation == pytest.approx(0.01667)
    assert math.ceil(cfg.episode_length_s / (cfg.sim.dt * cfg.decimation)) == 300
    assert cfg.start_apart == {"Push": 0.1414, "Stack": 0.1697}[task]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("algorithm", ["cpo", "sapg", "ppo"])
def test_agents_have_the_papers_settings(task, algorithm):
    agent = load(task, f"rsl_rl_{algorithm}_cfg_entry_point")
    algo = agent.algorithm
    assert (agent.model.hidden_dims, agent.model.activation, agent.model.rnn_type) == ([256, 128, 64], "elu", "none")
    assert (agent.num_steps_per_env, algo.num_learning_epochs, agent.max_iterations) == (16, 5, 13000)
    assert algo.num_mini_batches == (8 if algorithm == "cpo" else 4)
    assert (algo.learning_rate, algo.desired_kl, algo.learning_rate_update) == (5e-4, 0.008, "epoch")
    assert (algo.value_loss_coef, algo.bound_loss_coef, algo.reward_scale) == (2.0, 1e-4, 1.0)
    assert (algo.gamma, algo.lam, algo.clip_param, algo.max_grad_norm) == (0.99, 0.95, 0.2, 1.0)
    assert algo.bootstrap_time_outs
    assert (algo.adversarial_coef, algo.entropy_coef_scale) == (0.0, 0.0)
    assert algo.awac_coef == (0.001 if algorithm == "cpo" else 0.0)
    assert algo.num_policies == (1 if algorithm == "ppo" else 6)
    ensemble, cfg = build_cfg(EnsembleCfg, to_dict(algo), "algorithm"), load(task, "env_cfg_entry_point")
    for num_envs in (cfg.cuda_num_envs, cfg.cpu_num_envs):
        ensemble.validate_batch(num_envs, agent.num_steps_per_env)


@pytest.mark.parametrize("task", TASKS)
def test_reference_and_stock_agents(task):
    reference, stock = (load(task, f"rsl_rl_{name}_cfg_entry_point") for name in ("cpo_reference", "stock_ppo"))
    assert (reference.algorithm.sequence_length, reference.algorithm.mixed_precision) == (4, False)
    assert (stock.algorithm.value_loss_coef, stock.algorithm.learning_rate) == (2.0, 5e-4)
    assert load("Push", "rsl_rl_cpo_cfg_entry_point").experiment_name == "franka_push"
    assert load("Stack", "rsl_rl_cpo_cfg_entry_point").experiment_name == "franka_stack"

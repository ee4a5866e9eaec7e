# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Sizes, rules and agents of the task suite. Starts no engine."""

from __future__ import annotations

import importlib

import gymnasium
import pytest

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_rl.fields import build_cfg

pytest.importorskip("isaaclab")

SUITE = {
    # observations, actions, episode steps, success steps, object set, entropy scale, awac temperature
    "Reorient-Cube-Allegro": (88, 16, 600, None, None, 0.0, 0.1),
    "Regrasp-KukaAllegro": (99, 23, 400, 30, "cuboids", 0.0, 0.2),
    "Reorient-KukaAllegro": (117, 23, 600, 1, "cuboids", 0.005, 0.2),
    "Throw-KukaAllegro": (99, 23, 300, 5, "small_cuboids", 0.0, 0.1),
    "Regrasp-DualKukaAllegro": (169, 46, 400, 30, "cuboids", 0.0, 0.2),
    "Reorient-DualKukaAllegro": (196, 46, 600, 1, "cuboids", 0.002, 0.2),
}


def load(entry: str):
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)()


@pytest.mark.parametrize("task", SUITE)
def test_sizes_and_rules(task):
    observations, actions, steps, success_steps, object_set, *_ = SUITE[task]
    cfg = load(gymnasium.spec(f"CpoLab-{task}-Direct").kwargs["env_cfg_entry_point"])
    assert (cfg.observation_space, cfg.action_space) == (observations, actions)
    assert cfg.episode_length_s / (cfg.sim.dt * cfg.decimation) == pytest.approx(steps)
    assert cfg.sim.dt == pytest.approx(1 / 120)
    if success_steps is not None:
        assert (cfg.success_steps, cfg.object_set) == (success_steps, object_set)
        assert cfg.scene.num_envs % 6 == 0


@pytest.mark.parametrize("task", SUITE)
@pytest.mark.parametrize("algorithm", ["cpo", "cpo_reference", "sapg", "sapg_reference"])
def test_reference_agents_have_the_releases_numbers(task, algorithm):
    """Chunks of four steps on the hands, half precision for the arms; everybody else keeps ours."""
    agent = load(gymnasium.spec(f"CpoLab-{task}-Direct").kwargs[f"rsl_rl_{algorithm}_cfg_entry_point"])
    arms, reference = "Kuka" in task, algorithm.endswith("_reference")
    assert agent.algorithm.sequence_length == (16 if arms else 4 if reference else 1)
    assert agent.algorithm.mixed_precision is (arms and reference)
    assert agent.algorithm.borrowed_reference == ("behavior" if reference else "leader")
    assert (agent.algorithm.awac_coef > 0.0) == algorithm.startswith("cpo")


@pytest.mark.parametrize(("task", "coef"), [("Reorient-Cube-Shadow", 3.0e-4), ("Reorient-Cube-Allegro", 3.0e-5)])
def test_the_diversity_agents_coefficient(task, coef):
    agent = load(gymnasium.spec(f"CpoLab-{task}-Direct").kwargs["rsl_rl_cpo_diversity_cfg_entry_point"])
    assert agent.algorithm.adversarial_coef == coef
    assert agent.algorithm.adversarial_centered


@pytest.mark.parametrize("task", SUITE)
@pytest.mark.parametrize("algorithm", ["cpo", "sapg", "ppo"])
def test_agents_have_the_papers_settings(task, algorithm):
    *_, entropy, temperature = SUITE[task]
    agent = load(gymnasium.spec(f"CpoLab-{task}-Direct").kwargs[f"rsl_rl_{algorithm}_cfg_entry_point"])
    algo, arms = agent.algorithm, "Kuka" in task
    assert agent.model.hidden_dims == ([768, 512, 256] if arms else [512, 256, 128])
    assert agent.model.rnn_type == ("lstm" if arms else "none")
    assert (agent.num_steps_per_env, algo.num_learning_epochs) == ((16, 2) if arms else (8, 5))
    assert (algo.learning_rate, algo.clip_param) == ((1e-4, 0.1) if arms else (5e-4, 0.2))
    assert algo.bootstrap_time_outs is not arms
    assert algo.awac_coef == {"cpo": 0.001 if arms else 0.0005}.get(algorithm, 0.0)
    assert algo.adversarial_coef == 0.0
    assert algo.entropy_coef_scale == (0.0 if algorithm == "ppo" else entropy)
    assert algo.num_policies == (1 if algorithm == "ppo" else 6)
    if algorithm == "cpo":
        assert algo.awac_temperature == temperature
    # the paper's size, and ours on a CPU, make valid mini-batches
    cfg = load(gymnasium.spec(f"CpoLab-{task}-Direct").kwargs["env_cfg_entry_point"])
    from isaaclab.utils import to_dict

    from cpo_rl.config import EnsembleCfg

    ensemble = build_cfg(EnsembleCfg, to_dict(algo), "algorithm")
    for num_envs in (cfg.cuda_num_envs, cfg.cpu_num_envs):
        ensemble.validate_batch(num_envs, agent.num_steps_per_env)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings, sizes and agents of the task suite, and what happens to wrong ones. Starts no engine."""

from __future__ import annotations

import importlib

import gymnasium
import numpy as np
import pytest
import torch

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_lab.assets.furniture import BUCKET_BOTTOM_RADIUS, BUCKET_HEIGHT, BUCKET_TOP_RADIUS, bucket_shapes
from cpo_lab.assets.inertials import rotation_matrix
from cpo_lab.tasks.allegro_kuka import allegro_kuka_env_cfg as settings
from cpo_lab.tasks.allegro_kuka.layout import KEYPOINTS, kuka_observations
from cpo_lab.tasks.common.joints import indices_of
from cpo_lab.tasks.common.layout import layout_size
from cpo_rl.errors import UserError
from cpo_rl.settings import build_cfg

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
    assert algo.adversarial_coef == (0.001 if algorithm == "cpo" and not arms else 0.0)
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


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"object_set": "spheres"}, "object_set"),
        ({"num_objects": -1}, "num_objects"),
        ({"num_objects": 948}, "num_objects"),
        ({"keypoints": "edges"}, "keypoints"),
        ({"arm_control": "torque"}, "arm_control"),
        ({"success_steps": 0}, "success_steps"),
        ({"initial_tolerance": 0.0}, "initial_tolerance"),
        ({"tolerance_factor": 1.5}, "tolerance_factor"),
        ({"force_probability": (0.2, 0.1)}, "force_probability"),
        ({"goal_low": (0.0, 0.0, 2.0)}, "goal_low"),
    ],
)
def test_wrong_settings_are_named(change, field):
    cfg = settings.RegraspKukaEnvCfg()
    for name, value in change.items():
        setattr(cfg, name, value)
    with pytest.raises(UserError, match=field):
        cfg.check()


def test_a_robot_with_other_joints_is_named():
    with pytest.raises(UserError, match="no joint named b"):
        indices_of(["a", "b"], ["a", "c"], "joint")
    assert indices_of(["c", "a"], ["a", "b", "c"], "joint").tolist() == [2, 0]


@pytest.mark.parametrize(("arms", "keypoints", "size"), [(1, 1, 99), (1, 4, 117), (2, 1, 169), (2, 4, 196)])
def test_layouts(arms, keypoints, size):
    assert layout_size(kuka_observations(arms, keypoints)) == size
    assert {len(points) for points in KEYPOINTS.values()} == {1, 4}


def test_rotations():
    from cpo_lab.tasks.common.rotations import rotate, uniform_rotation

    quat = torch.tensor([[0.0, 0.0, 0.7071068, 0.7071068]])  # 90 degrees about Z
    torch.testing.assert_close(rotate(quat, torch.tensor([1.0, 0.0, 0.5])), torch.tensor([[0.0, 1.0, 0.5]]))
    drawn = uniform_rotation(torch.rand(20000, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(20000))
    # uniform on SO(3): a fixed vector ends up anywhere on the sphere with equal density
    turned = rotate(drawn, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(turned.mean(0), torch.zeros(3), atol=0.02, rtol=0.0)
    torch.testing.assert_close(turned.square().mean(0), torch.full((3,), 1 / 3), atol=0.02, rtol=0.0)


def test_the_bucket_is_open_closed_below_and_has_the_references_radii():
    """Points on the inner surface lie at the inner face of a wall box; the axis above the floor is free."""
    shapes = [(rotation_matrix(s.orientation), np.array(s.position), np.array(s.size)) for s in bucket_shapes()]

    def inside(point) -> bool:
        return any((np.abs(turn.T @ (np.array(point) - at)) <= half).all() for turn, at, half in shapes)

    for height in np.linspace(0.01, BUCKET_HEIGHT - 0.01, 9):
        radius = BUCKET_BOTTOM_RADIUS + (BUCKET_TOP_RADIUS - BUCKET_BOTTOM_RADIUS) * height / BUCKET_HEIGHT
        for angle in np.linspace(0.0, 2 * np.pi, 12, endpoint=False):
            at = np.array([np.cos(angle), np.sin(angle)])
            assert not inside((*(at * (radius - 0.002)), height))
            assert inside((*(at * (radius + 0.003)), height))
    assert inside((0.0, 0.0, -0.002)) and not inside((0.0, 0.0, 0.002))
    for angle in np.linspace(0.0, 2 * np.pi, 40):
        assert inside((0.081 * np.cos(angle), 0.081 * np.sin(angle), -0.002))


def test_a_population_changes_the_weights_of_the_reward():
    from types import SimpleNamespace

    from cpo_lab.tasks.allegro_kuka.allegro_kuka_env import AllegroKukaEnv
    from cpo_lab.tasks.allegro_kuka.layout import REWARD_TERMS

    env = object.__new__(AllegroKukaEnv)  # no engine
    env.cfg, env.sim = settings.RegraspKukaEnvCfg(), SimpleNamespace(device="cpu")
    env.set_reward_settings({})
    configured, before = env.reward_settings(), env._weights
    assert set(configured) == set(AllegroKukaEnv.mutable_rewards)
    env.set_reward_settings({"lifting_bonus": 7.0, "lifting_threshold": 0.2, "near_goal_bonus": 60.0})
    assert env._weights[REWARD_TERMS.index("lift_bonus")] == 7.0
    assert env._weights[REWARD_TERMS.index("near_goal")] == 60.0 / env.cfg.success_steps
    assert (env._weights != before).sum() == 2
    assert env.cfg.lifting_threshold == 0.2
    env.set_reward_settings(configured)
    assert torch.equal(env._weights, before)


def test_an_episode_that_reached_its_last_goal_is_no_fall():
    from cpo_lab.tasks.allegro_kuka.allegro_kuka_env import AllegroKukaEnv

    env = object.__new__(AllegroKukaEnv)  # no engine
    env.cfg = settings.RegraspKukaEnvCfg()
    env.reset_terminated = torch.tensor([True, True, False])
    env.episode_successes = torch.tensor([env.cfg.max_successes, 3.0, 50.0])
    assert env.fell().tolist() == [False, True, False]
    env.cfg.max_successes = 0  # goals end no episode
    assert env.fell().tolist() == [True, True, False]

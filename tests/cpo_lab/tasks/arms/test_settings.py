# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the arm tasks, what follows from them, and what happens to wrong ones. Starts no engine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.assets.furniture import BUCKET_BOTTOM_RADIUS, BUCKET_HEIGHT, BUCKET_TOP_RADIUS, bucket_shapes
from cpo_lab.assets.inertials import rotation_matrix
from cpo_lab.tasks.arms import env_cfg as settings
from cpo_lab.tasks.arms.layout import KEYPOINTS, kuka_observations
from cpo_lab.tasks.layout import layout_size
from cpo_rl.errors import UserError


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


@pytest.mark.parametrize(("arms", "keypoints", "size"), [(1, 1, 99), (1, 4, 117), (2, 1, 169), (2, 4, 196)])
def test_layouts(arms, keypoints, size):
    assert layout_size(kuka_observations(arms, keypoints)) == size
    assert {len(points) for points in KEYPOINTS.values()} == {1, 4}


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
    from cpo_lab.tasks.arms.env import AllegroKukaEnv
    from cpo_lab.tasks.arms.layout import REWARD_TERMS
    from cpo_lab.tasks.arms.progress import EpisodeProgress

    env = object.__new__(AllegroKukaEnv)  # no engine
    env.cfg = settings.RegraspKukaEnvCfg()
    env.progress = EpisodeProgress(env.cfg, 2, "cpu")
    configured, before = env.reward_settings(), env.progress.weights
    assert set(configured) == set(AllegroKukaEnv.mutable_rewards)
    env.set_reward_settings({"lifting_bonus": 7.0, "lifting_threshold": 0.2, "near_goal_bonus": 60.0})
    assert env.progress.weights[REWARD_TERMS.index("lift_bonus")] == 7.0
    assert env.progress.weights[REWARD_TERMS.index("near_goal")] == 60.0 / env.cfg.success_steps
    assert (env.progress.weights != before).sum() == 2
    assert env.cfg.lifting_threshold == 0.2
    env.set_reward_settings(configured)
    assert torch.equal(env.progress.weights, before)


def test_an_episode_that_reached_its_last_goal_is_no_fall():
    from cpo_lab.tasks.arms.env import AllegroKukaEnv

    env = object.__new__(AllegroKukaEnv)  # no engine
    env.cfg = settings.RegraspKukaEnvCfg()
    env.reset_terminated = torch.tensor([True, True, False])
    env.episode_successes = torch.tensor([env.cfg.max_successes, 3.0, 50.0])
    env.quarantine = SimpleNamespace(void=torch.zeros(3, dtype=torch.bool))
    assert env.fell().tolist() == [False, True, False]
    env.cfg.max_successes = 0  # goals end no episode
    assert env.fell().tolist() == [True, True, False]

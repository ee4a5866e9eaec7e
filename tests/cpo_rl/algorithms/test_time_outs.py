# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An episode that ends by time is worth what its final observation is worth, where somebody tells it."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from tests.cpo_rl.oracle_support import NUM_OBS, make_algorithm


def observations(seed: int, num_envs: int = 3) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_envs, NUM_OBS, generator=generator, dtype=torch.float64)
    return TensorDict({"policy": rows}, batch_size=[num_envs])


def stored(alg, extras, obs) -> torch.Tensor:
    alg.act(obs)
    alg.process_env_step(observations(1), torch.full((3,), 2.0, dtype=torch.float64), torch.ones(3), extras)
    return alg.rollout.rewards[:, 0].clone()


@torch.no_grad()
@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_the_value_is_that_of_the_final_observation_under_the_policy_that_acted(rnn):
    """Environment 0 ended by time, 1 by a failure, 2 by time without a sound final observation."""
    alg = make_algorithm(num_envs=3, horizon=1, gamma=0.9, reward_scale=0.5, model={"rnn_type": rnn})
    obs, final = observations(0), observations(2)
    final["policy"][2, 1] = math.nan
    rewards = stored(alg, {"time_outs": torch.tensor([True, False, True]), "final_observations": final}, obs)
    policies = torch.arange(3)
    first = alg.model.evaluate(
        alg.model.normalize_obs(obs["policy"]).unsqueeze(1), policies, alg.model.initial_state(3)
    )
    seen = alg.model.normalize_obs(final["policy"].nan_to_num()).unsqueeze(1)
    after = alg.model.denormalize_value(alg.model.evaluate(seen, policies, first.state).value)[:, 0]
    before = alg.model.denormalize_value(first.value)[:, 0]
    assert abs(float(after[0] - before[0])) > 1e-3
    expected = [1.0 + 0.9 * float(after[0]), 1.0, 1.0 + 0.9 * float(before[2])]
    assert rewards.tolist() == pytest.approx(expected, abs=1e-12)


def test_without_final_observations_or_bootstrapping_nothing_changes():
    outs = torch.tensor([True, False, True])
    known = {"time_outs": outs, "final_observations": observations(2)}
    for settings, extras in (({"bootstrap_time_outs": False}, known), ({}, {"final_observations": observations(2)})):
        assert stored(make_algorithm(num_envs=3, horizon=1, **settings), extras, observations(0)).tolist() == [2.0] * 3

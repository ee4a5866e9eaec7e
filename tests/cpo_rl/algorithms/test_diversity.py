# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A diversity reward with a mean weakens the regression; a centered one does not."""

from __future__ import annotations

import math

import pytest
import torch
from tests.cpo_rl.oracle_support import collect, make_algorithm, prepare
from tests.cpo_rl.toy import ToyEnv, iterate
from tests.cpo_rl.toy import make_algorithm as make_toy

from cpo_rl.formulas.losses import awac_weight, diversity_bonus
from cpo_rl.formulas.targets import one_step_returns

RECOGNIZED = 0.01 * math.log(6.0)
"""What a follower of six that is always recognized gets per step at coefficient 0.01: 0.0179."""


def test_a_recognized_follower_gets_31_times_what_the_release_pays():
    """The release takes the cross-entropy of probabilities: between ln(e + 5) - 1 and ln 6 for six policies."""
    logits = torch.full((1, 6), -1.0e4, dtype=torch.float64)
    logits[0, 0] = 0.0
    certain = torch.log_softmax(logits, -1)
    ours = diversity_bonus(certain, torch.tensor([0]), 0.01, leader=5).item()
    assert ours == pytest.approx(RECOGNIZED, abs=1e-15)
    assert ours == pytest.approx(0.0179, abs=5e-5)
    released_mean_gain = 0.0586 * 0.01
    assert ours / released_mean_gain == pytest.approx(30.6, abs=0.1)


def test_by_hand_the_mean_reward_is_what_the_regression_loses():
    """Task reward +-0.02, discount 0.99. A follower's value with the reward b in every step is b / (1 - gamma), and the
    advantage of the leader's transitions, which have no b, is r + gamma V - V = r - b.

    In units of the deviation 0.02 that is 0.104 and -1.896, weights at temperature 0.2 are 1.69 and 0.0001; without
    the shift they are 100 (the cap) and 0.0067.
    """
    rewards = torch.tensor([[0.02, -0.02]], dtype=torch.float64)
    weights = {}
    for mean_bonus in (RECOGNIZED, 0.0):
        values = torch.full((1, 3), mean_bonus / (1.0 - 0.99), dtype=torch.float64)
        returns = one_step_returns(rewards, torch.zeros(1, 2, dtype=torch.bool), values, 0.99)
        advantages = returns - values[:, :-1]
        assert advantages.mean().item() == pytest.approx(-mean_bonus, abs=1e-12)
        weights[mean_bonus] = awac_weight(advantages / 0.02, 0.2, 100.0)
    assert weights[RECOGNIZED][0].tolist() == pytest.approx([1.6846, 7.648e-5], rel=1e-3)
    assert weights[0.0][0].tolist() == pytest.approx([100.0, 6.738e-3], rel=1e-3)


@pytest.mark.parametrize(("centered", "mean_weight"), [(False, 4.17), (True, 13.65)])
def test_in_an_iteration_a_centered_reward_leaves_advantages_and_weights_alone(centered, mean_weight):
    """The same through the algorithm: a recognized follower, values that have learned its reward, a task reward of mean
    0 and deviation 0.02, no ends. By its mean of 0.0179 the weights fall to a third; a mean of 0 takes nothing."""
    alg = make_algorithm(
        num_envs=1200, horizon=4, num_policies=6, gamma=0.99, adversarial_coef=0.01, adversarial_centered=centered,
    )  # fmt: skip
    collect(alg, done_rate=0.0, time_outs=False)
    alg.rollout.rewards.mul_(0.02)
    alg.diversity.discriminator.log_posterior = lambda obs, actions: torch.log_softmax(
        1.0e4 * torch.nn.functional.one_hot(alg.env_policy, 6).double(), -1
    )
    bonus = alg.diversity.bonus(alg.rollout, alg.metrics)
    learned = bonus[:1000].mean() / (1.0 - 0.99)
    assert learned.item() == pytest.approx(0.0 if centered else RECOGNIZED * 100.0, abs=1e-12)
    torch.nn.init.zeros_(alg.model.value_head.weight)
    alg.model.value_normalizer.mean.fill_(learned)
    alg.rollout.values.fill_(learned)
    alg.rollout.last_values.fill_(learned)
    prepare(alg, [0], bonus)
    assert alg.rollout.awac_weights.mean().item() == pytest.approx(mean_weight, rel=0.01)


def test_centering_is_per_follower_over_valid_steps_and_leaves_the_leader_at_zero():
    alg = make_algorithm(num_envs=12, horizon=8, adversarial_coef=0.1)
    raw = make_algorithm(num_envs=12, horizon=8, adversarial_coef=0.1, adversarial_centered=False)
    for each in (alg, raw):
        collect(each, void_rate=0.3)
    bonus, plain = alg.diversity.bonus(alg.rollout, alg.metrics), raw.diversity.bonus(raw.rollout, raw.metrics)
    assert not bonus[8:].any()
    for rows in (slice(0, 4), slice(4, 8)):
        valid = alg.rollout.valid[rows]
        assert (bonus[rows] * valid).sum().item() == pytest.approx(0.0, abs=1e-14)
        difference = plain[rows] - bonus[rows]
        assert difference.max().item() == pytest.approx(difference.min().item(), abs=1e-15)
        assert abs(difference.mean().item()) > 1e-5
    metrics = [each.metrics.read(each.ranks)[0]["Discriminator/bonus"] for each in (alg, raw)]
    assert metrics[0] == metrics[1]


def test_a_run_without_the_reward_does_not_know_the_setting():
    runs = [make_toy(adversarial_coef=0.0, adversarial_centered=centered) for centered in (True, False)]
    metrics = [iterate(alg, ToyEnv(torch.arange(12)), 2) for alg in runs]
    assert str(metrics[0]) == str(metrics[1])

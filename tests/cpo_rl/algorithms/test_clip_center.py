# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the center of the clip range does to borrowed rows whose advantages say nothing, by hand.

One action dimension, both policies have mean 0, the leader deviation 1, the follower 2. The importance ratio of an
action a is w = 2 exp(-3/8 a^2): 1.82 at 0.5, near the mean, and 0.0684 at 3, far from it. What widens the leader is
d log pi_L / d log sigma_L = a^2 - 1: -0.75 and 8. Every action appears with advantage +1 and -1, so nothing is to be
learned and no gradient should be left.
"""

from __future__ import annotations

import math

import pytest
import torch
from tests.cpo_rl.oracle_support import collect, make_algorithm, prepare

from cpo_rl.formulas import gaussian
from cpo_rl.formulas.losses import surrogate

NEAR, FAR = 2.0 * math.exp(-0.375 * 0.25), 2.0 * math.exp(-0.375 * 9.0)
"""Importance ratios of the two actions."""


def gradients(center: str, follower_std: float = 2.0) -> list[float]:
    """d objective / d log sigma_L of the rows (near, far) x (+1, -1): positive widens the leader."""
    action = torch.tensor([[0.5], [0.5], [3.0], [3.0]], dtype=torch.float64)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    log_std = torch.zeros(4, 1, dtype=torch.float64, requires_grad=True)
    mean = torch.zeros_like(action)
    follower = gaussian.log_prob(action, mean, torch.full_like(action, math.log(follower_std)))
    ratio = torch.exp(gaussian.log_prob(action, mean, log_std) - follower)
    at = 1.0 if center == "one" else ratio.detach()
    surrogate(advantage, ratio, 0.2, at).sum().backward()
    return (-log_std.grad[:, 0]).tolist()


def test_ratios_by_hand():
    assert pytest.approx(1.8210, abs=1e-4) == NEAR
    assert pytest.approx(0.0684, abs=1e-4) == FAR


def test_around_one_what_narrows_the_leader_is_clipped_and_what_widens_it_is_kept():
    """Near the mean, w > 1.2: +1, which would narrow, is clipped; -1, which widens, is kept: 0.75 x 1.82. Far from it,
    w < 0.8: +1, which widens, is kept: 8 x 0.0684; -1 is clipped. The sum is 1.91, out of nothing but noise."""
    found = gradients("one")
    assert found == pytest.approx([0.0, 0.75 * NEAR, 8.0 * FAR, 0.0], abs=1e-12)
    assert sum(found) == pytest.approx(1.913, abs=1e-3)


def test_around_the_old_leader_nothing_is_clipped_at_first_and_noise_leaves_no_gradient():
    found = gradients("old_leader")
    assert found == pytest.approx([-0.75 * NEAR, 0.75 * NEAR, 8.0 * FAR, -8.0 * FAR], abs=1e-12)
    assert sum(found) == pytest.approx(0.0, abs=1e-12)


def test_a_narrower_follower_narrows_the_leader_around_one():
    """The bias draws the leader's noise towards that of who lent the data; with a ladder of entropy bonuses followers
    are the wider ones."""
    assert sum(gradients("one", follower_std=0.5)) < -0.1
    assert sum(gradients("old_leader", follower_std=0.5)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("center", "biased"), [("one", True), ("old_leader", False)])
def test_the_same_in_a_gradient_step_of_the_algorithm(center, biased):
    """Borrowed rows alone, advantages +1 and -1 drawn without regard to the action, followers twice as wide."""
    alg = make_algorithm(
        num_envs=3000, horizon=4, borrowed_clip_center=center, follower_weight=0.0, leader_weight=0.0, awac_coef=0.0,
        value_loss_coef=0.0, bound_loss_coef=0.0, entropy_coef_scale=0.0, max_grad_norm=1.0e9,
    )  # fmt: skip
    with torch.no_grad():
        alg.model.log_std[:-1] = math.log(2.0)
    collect(alg)
    prepare(alg, [1])
    signs = torch.randint(0, 2, alg.rollout.target_advantages.shape, generator=torch.Generator().manual_seed(0))
    alg.rollout.target_advantages.copy_(2.0 * signs - 1.0)
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    update = alg.policy_update
    rows = alg.rollout.gather(batch, center == "old_leader")
    out, leader_mean = update._evaluate(rows)
    loss, _ = update._total_loss(rows, out, leader_mean)
    (gradient,) = torch.autograd.grad(loss, alg.model.log_std)
    widening = -gradient[-1].mean().item() * 3000 * 4  # in units of a row
    per_row = widening / len(batch.source[batch.rows("borrowed")])
    assert (per_row > 0.1) == biased
    assert biased or abs(per_row) < 0.05

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Hand-computed values of the row losses, targets and densities. Numbers in names are those of the algorithm notes."""

from __future__ import annotations

import math

import pytest
import torch

from cpo_rl.config import EnsembleCfg
from cpo_rl.formulas import gaussian, losses
from cpo_rl.formulas.schedule import adapt
from cpo_rl.formulas.targets import generalized_advantages, one_step_returns

EXACT = 1.0e-12


def _t(*values, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def test_oracle_14_gae():
    advantages = generalized_advantages(
        _t(1, 2, 3)[None], _t(0.5, 1, 1.5)[None], torch.tensor([[False, True, False]]), _t(2), gamma=0.9, lam=0.5
    )
    assert advantages[0].tolist() == pytest.approx([1.85, 1.0, 3.3], abs=EXACT)
    assert (advantages[0] + _t(0.5, 1, 1.5)).tolist() == pytest.approx([2.35, 2.0, 4.8], abs=EXACT)


def test_oracle_16_one_step_target_at_an_episode_end_is_the_reward():
    rewards = torch.rand(5, 4, dtype=torch.float64)
    values = torch.randn(5, 5, dtype=torch.float64) * 1.0e6
    values[0, 1] = math.inf
    dones = torch.ones(5, 4)
    assert torch.equal(one_step_returns(rewards, dones, values, 0.99), rewards)
    alive = one_step_returns(rewards[1:], 0 * dones[1:], values[1:], 0.5)
    assert torch.allclose(alive, rewards[1:] + 0.5 * values[1:, 1:], rtol=EXACT)


def test_oracle_17_sampled_kl_surrogate_at_ratio_one():
    log_prob = _t(-1.0, grad=True)
    ratio = (log_prob - log_prob.detach()).exp()
    loss = losses.sampled_kl_surrogate(_t(0.3), ratio, log_prob, _t(-1.5), kl_coef=0.5, clip=0.2)
    loss.sum().backward()
    assert loss.item() == pytest.approx(-0.05, abs=EXACT)
    assert log_prob.grad.item() == pytest.approx(0.45, abs=EXACT)


@pytest.mark.parametrize(("coef", "gradient"), [(0.5, 0.6), (0.0, 0.0)])
def test_oracle_18_sampled_kl_surrogate_keeps_its_penalty_when_clipped(coef, gradient):
    log_prob = _t(-1.0, grad=True)
    ratio = 1.5 * (log_prob - log_prob.detach()).exp()
    loss = losses.sampled_kl_surrogate(_t(1.0), ratio, log_prob, log_prob.detach(), kl_coef=coef, clip=0.2)
    loss.sum().backward()
    assert loss.item() == pytest.approx(-1.2, abs=EXACT)
    assert log_prob.grad.item() == pytest.approx(gradient, abs=EXACT)


def test_oracle_19_no_gradient_through_the_leaders_log_prob():
    leader = _t(-1.5, grad=True)
    log_prob = _t(-1.0, grad=True)
    losses.sampled_kl_surrogate(_t(0.3), log_prob.exp() * math.e, log_prob, leader, 0.5, 0.2).sum().backward()
    assert leader.grad is None
    assert log_prob.grad is not None


@pytest.mark.parametrize(
    ("advantage", "loss", "gradient"), [(0.1, 2 * math.exp(0.5), -math.exp(0.5)), (2.0, 200.0, -100.0)]
)
def test_oracle_20_awac(advantage, loss, gradient):
    log_prob = _t(-2.0, grad=True)
    value = losses.awac(losses.awac_weight(_t(advantage), 0.2, 100.0), log_prob)
    value.sum().backward()
    assert value.item() == pytest.approx(loss, rel=EXACT)
    assert log_prob.grad.item() == pytest.approx(gradient, rel=EXACT)


def test_oracle_20_awac_published_digits():
    value = losses.awac(losses.awac_weight(_t(0.1), 0.2, 100.0), _t(-2.0))
    assert value.item() == pytest.approx(3.29744, abs=5e-6)
    assert losses.awac_weight(_t(0.1), 0.2, 100.0).item() == pytest.approx(1.64872, abs=5e-6)


@pytest.mark.parametrize(("temperature", "switch"), [(0.2, 0.92103), (0.1, 0.46052)])
def test_oracle_20_awac_cap_switches_at_temperature_times_log_cap(temperature, switch):
    assert temperature * math.log(100.0) == pytest.approx(switch, abs=5e-6)
    below, above, far = losses.awac_weight(_t(switch - 1e-3, switch + 1e-3, 1.0e4), temperature, 100.0).tolist()
    assert below == pytest.approx(math.exp((switch - 1e-3) / temperature), rel=EXACT)
    assert below < 100.0
    assert above == pytest.approx(100.0, rel=EXACT)
    assert far == pytest.approx(100.0, rel=EXACT)


@pytest.mark.parametrize(("prediction", "loss", "gradient"), [(0.5, 0.64, 0.0), (2.0, 1.0, 2.0)])
def test_oracle_23_clipped_value_loss(prediction, loss, gradient):
    v = _t(prediction, grad=True)
    value = losses.value(v, _t(0.0), _t(1.0), clip=0.2)
    value.sum().backward()
    assert value.item() == pytest.approx(loss, abs=EXACT)
    assert v.grad.item() == pytest.approx(gradient, abs=EXACT)


def test_oracle_23_unclipped_value_loss():
    assert losses.value(_t(0.5), _t(0.0), _t(1.0), clip=None).item() == pytest.approx(0.25, abs=EXACT)


def test_oracle_24_bound_loss():
    assert losses.bound(_t(1.6, -1.2, 0.3)[None], 1.1).item() == pytest.approx(0.26, abs=EXACT)


def test_oracle_25_entropy_of_a_unit_gaussian():
    assert gaussian.entropy(torch.zeros(20, dtype=torch.float64)).item() == pytest.approx(28.378771, abs=5e-7)
    half = 0.5 * (1.0 + math.log(2.0 * math.pi))
    assert gaussian.entropy(_t(0.0, 1.0)).item() == pytest.approx(2 * half + 1.0, abs=EXACT)


def test_oracle_26_exact_kl():
    """The released code adds 1e-5 inside the logarithm (0.698804); this is the exact KL(new || stored)."""
    new, stored = (_t(0.0, 0.0), _t(0.0, 0.0)), (_t(0.5, 0.5), _t(2.0, 2.0).log())
    expected = 2.0 * (math.log(2.0) + (1.0 + 0.25) / 8.0 - 0.5)
    assert gaussian.kl(*new, *stored).item() == pytest.approx(expected, abs=EXACT)
    assert expected == pytest.approx(0.698794, abs=5e-7)


@pytest.mark.parametrize(
    ("kl", "rate", "expected"),
    [
        (0.033, 3e-4, 2e-4),
        (0.0079, 3e-4, 4.5e-4),
        (0.02, 3e-4, 3e-4),
        (0.032, 3e-4, 3e-4),
        (0.008, 3e-4, 3e-4),
        (1.0, 1.2e-6, 1e-6),
        (0.0, 9e-3, 1e-2),
        (math.nan, 3e-4, 3e-4),
    ],
)
def test_oracle_27_learning_rate_rule(kl, rate, expected):
    cfg = EnsembleCfg()
    assert (cfg.desired_kl, cfg.learning_rate_min, cfg.learning_rate_max) == (0.016, 1e-6, 1e-2)
    adapted = adapt(_t(rate), _t(kl), cfg.desired_kl, cfg.learning_rate_min, cfg.learning_rate_max)
    assert adapted.item() == pytest.approx(expected, rel=EXACT)


def test_log_prob_matches_torch_distributions():
    mean, log_std, action = (torch.randn(7, 3, dtype=torch.float64) for _ in range(3))
    reference = torch.distributions.Normal(mean, log_std.exp()).log_prob(action).sum(-1)
    assert torch.allclose(gaussian.log_prob(action, mean, log_std), reference, rtol=0, atol=EXACT * 100)

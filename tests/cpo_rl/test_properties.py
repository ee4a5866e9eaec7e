# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Properties of losses, targets, roles and statistics that must hold for any input."""

from __future__ import annotations

import itertools
import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.algorithms.roles import ROLES, RoleTables
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian, losses
from cpo_rl.formulas.coupling import effective_sample_size
from cpo_rl.formulas.losses import diversity_bonus
from cpo_rl.formulas.schedule import adapt
from cpo_rl.formulas.targets import generalized_advantages, mean_and_std, one_step_returns
from cpo_rl.models.normalizer import RunningNormalizer

quick = settings(deadline=None, max_examples=60)

# without the smallest numbers there are: a tie of two branches halves a gradient, and half of those is rounded away
finite = st.floats(-50.0, 50.0).map(lambda x: x if abs(x) > 1e-300 else 0.0)
clips = st.floats(0.01, 0.9)
seeds = st.integers(0, 2**31 - 1)


def _t(*values):
    return torch.tensor(values, dtype=torch.float64)


def _noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@quick
@given(finite, st.floats(0.0, 100.0), clips)
def test_surrogate_is_a_pessimistic_bound(advantage, ratio, clip):
    loss = losses.surrogate(_t(advantage), _t(ratio), clip).item()
    assert loss >= -advantage * ratio - 1e-9
    if abs(ratio - 1.0) <= clip:
        assert math.isclose(loss, -advantage * ratio, rel_tol=1e-12, abs_tol=1e-12)


@quick
@given(finite, st.floats(1e-3, 100.0), clips)
def test_surrogate_gradient_stops_exactly_where_the_clip_is_active(advantage, ratio, clip):
    r = _t(ratio).requires_grad_()
    losses.surrogate(_t(advantage), r, clip).sum().backward()
    beyond = (advantage > 0 and ratio > 1 + clip) or (advantage < 0 and ratio < 1 - clip)
    assert r.grad.item() == (0.0 if beyond else -advantage) or math.isclose(abs(ratio - 1.0), clip, rel_tol=1e-9)


@quick
@given(finite, st.floats(0.01, 10.0), clips, st.floats(0.01, 10.0))
def test_surrogate_scales_with_its_center(advantage, ratio, clip, center):
    scaled = losses.surrogate(_t(advantage), _t(ratio * center), clip, _t(center)).item()
    plain = losses.surrogate(_t(advantage), _t(ratio), clip).item()
    assert math.isclose(scaled, center * plain, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(losses.surrogate(_t(advantage), _t(ratio * center), clip, center).item(), scaled, rel_tol=1e-12)


@quick
@given(finite, finite, clips)
def test_sampled_kl_surrogate_without_coefficient_is_the_surrogate(advantage, log_ratio, clip):
    log_prob, leader = _t(log_ratio / 50.0), _t(-3.0)
    ratio = log_prob.exp()
    ours = losses.sampled_kl_surrogate(_t(advantage), ratio, log_prob, leader, 0.0, clip)
    assert torch.equal(ours, losses.surrogate(_t(advantage), ratio, clip))


@quick
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 10.0), st.floats(1e-3, 1e6))
def test_regression_weight_is_monotone_finite_and_capped(a, b, temperature, cap):
    low, high = losses.awac_weight(_t(min(a, b), max(a, b)), temperature, cap).tolist()
    assert 0.0 <= low <= high <= cap * (1 + 1e-6)


@quick
@given(finite, finite, finite, clips)
def test_clipped_value_loss_is_never_below_the_plain_one(prediction, old, target, clip):
    plain = losses.value(_t(prediction), _t(old), _t(target), None).item()
    clipped = losses.value(_t(prediction), _t(old), _t(target), clip).item()
    assert clipped >= plain
    if abs(prediction - old) <= clip * (1 - 1e-9):
        assert math.isclose(clipped, plain, rel_tol=1e-9, abs_tol=1e-9)


@quick
@given(st.lists(finite, min_size=1, max_size=6), st.floats(0.1, 5.0))
def test_bound_is_even_and_zero_exactly_inside(mean, limit):
    loss = losses.bound(_t(*mean)[None], limit).item()
    assert loss == losses.bound(-_t(*mean)[None], limit).item()
    assert (loss == 0.0) == all(abs(m) <= limit for m in mean) or loss < 1e-30


@quick
@given(seeds, st.integers(1, 5), st.integers(1, 4))
def test_kl_is_positive_and_zero_for_equal_gaussians(seed, n, dims):
    mean_p, std_p, mean_q, std_q = _noise(seed, 4, n, dims)
    assert bool((gaussian.kl(mean_p, std_p, mean_q, std_q) >= -1e-12).all())
    assert float(gaussian.kl(mean_p, std_p, mean_p, std_p).abs().max()) < 1e-12


@quick
@given(seeds, st.integers(1, 4), st.integers(1, 7), st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_gae_equals_its_definition_as_a_sum(seed, n, horizon, gamma, lam):
    rewards, values = _noise(seed, 2, n, horizon)
    last = _noise(seed + 1, n)
    dones = _noise(seed + 2, n, horizon) > 0.7
    following = torch.cat([values[:, 1:], last[:, None]], 1)
    deltas = rewards + gamma * following * ~dones - values
    expected = torch.zeros_like(rewards)
    for env in range(n):
        for t in range(horizon):
            for k in range(t, horizon):
                expected[env, t] += (gamma * lam) ** (k - t) * deltas[env, k]
                if dones[env, k]:
                    break
    ours = generalized_advantages(rewards, values, dones, last, gamma, lam)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-10)


@quick
@given(seeds, st.integers(1, 7), st.floats(0.1, 1.0))
def test_gae_without_decay_is_the_one_step_error(seed, horizon, gamma):
    rewards, values = _noise(seed, 2, 3, horizon)
    last, dones = _noise(seed + 1, 3), _noise(seed + 2, 3, horizon) > 0.7
    ours = generalized_advantages(rewards, values, dones, last, gamma, 0.0)
    one_step = one_step_returns(rewards, dones, torch.cat([values, last[:, None]], 1), gamma)
    assert torch.allclose(ours, one_step - values, rtol=0, atol=1e-12)


@quick
@given(seeds, st.integers(2, 40), st.integers(1, 39), st.floats(-100.0, 100.0))
def test_mean_and_std_from_sums_of_parts(seed, n, split, shift):
    samples = _noise(seed, n) + shift
    parts = [samples[: min(split, n - 1)], samples[min(split, n - 1) :]]
    sums = [sum(f(p) for p in parts) for f in (lambda p: _t(float(len(p)))[0], torch.sum, lambda p: p.square().sum())]
    mean, std = mean_and_std(*sums)
    assert math.isclose(mean.item(), samples.mean().item(), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(std.item(), samples.std().item(), rel_tol=1e-5, abs_tol=1e-5)


@quick
@given(seeds, st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_normalizer_does_not_care_how_a_batch_was_cut(seed, cuts):
    samples = _noise(seed, 10, 3)
    whole, pieces = RunningNormalizer(3), RunningNormalizer(3)
    whole.gather(samples)
    bounds = [0, *sorted(cuts), 10]
    for start, stop in itertools.pairwise(bounds):
        if stop > start:
            pieces.gather(samples[start:stop])
    for normalizer in (whole, pieces):
        normalizer.commit(Ranks(None))
    assert torch.allclose(whole.mean, pieces.mean, rtol=0, atol=1e-12)
    assert torch.allclose(whole.var, pieces.var, rtol=0, atol=1e-12)
    assert float(whole.count) == float(pieces.count) == 11


@quick
@given(st.floats(1e-6, 1e-2), st.floats(0.0, 1e3), st.floats(1e-4, 1.0))
def test_adapted_rate_stays_in_bounds_and_moves_against_the_kl(rate, kl, desired):
    adapted = adapt(_t(rate), _t(kl), desired, 1e-6, 1e-2).item()
    assert 1e-6 <= adapted <= 1e-2
    assert adapted <= rate if kl > desired else adapted >= rate


@quick
@given(seeds, st.integers(2, 7), st.floats(0.0, 1.0))
def test_bonus_is_bounded_and_zero_for_the_leader(seed, count, coef):
    log_posterior = torch.log_softmax(3.0 * _noise(seed, 20, count), -1)
    labels = torch.randint(0, count, (20,), generator=torch.Generator().manual_seed(seed))
    bonus = diversity_bonus(log_posterior, labels, coef, count - 1)
    assert bool((bonus <= coef * math.log(count) + 1e-12).all())
    assert not bonus[labels == count - 1].any()


@quick
@given(seeds, st.integers(1, 50))
def test_effective_sample_size_lies_between_one_over_n_and_one(seed, n):
    weights = (5.0 * _noise(seed, n)).exp()
    ess = effective_sample_size(weights).item()
    assert 1.0 / n - 1e-12 <= ess <= 1.0 + 1e-12
    assert math.isclose(ess, effective_sample_size(7.0 * weights).item(), rel_tol=1e-9)


@st.composite
def layouts(draw):
    policies = draw(st.integers(1, 6))
    block, chunks = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    borrowed = draw(st.lists(st.integers(0, policies - 2), unique=True, max_size=policies - 1)) if policies > 1 else []
    awac = policies > 1 and draw(st.booleans())
    fraction = draw(st.sampled_from([1.0, 0.5, 0.2]))
    return RoleTables(policies * block, policies, chunks, len(borrowed), awac, fraction, "cpu"), borrowed


@quick
@given(layouts())
def test_roles_cover_every_transition_once_and_relabel_the_right_ones(layout):
    tables, borrowed = layout
    m, b, c = tables.num_policies, tables.block, tables.num_chunks
    parts = {name: tables.role(name, borrowed) for name in ROLES}
    own = torch.cat([parts["follower"][0], parts["leader"][0]])
    assert own.tolist() == list(range(m * b * c))
    for name in ("follower", "leader"):
        source, policy, target = parts[name]
        assert torch.equal(policy, source // (b * c))
        assert torch.equal(source, target)
    source, policy, target = parts["borrowed"]
    assert set(policy.tolist()) <= {m - 1}
    assert (source // (b * c)).tolist() == [f for f in borrowed for _ in range(b * c)]
    assert target.tolist() == list(range(m * b * c, tables.num_targets))
    source, policy, weight = parts["awac"]
    assert set((source // (b * c)).tolist()) <= {m - 1}
    assert weight.tolist() == list(range(tables.num_awac))
    # copy i of the leader's block is aligned with follower i's own rows
    assert torch.equal(source - (m - 1) * b * c, torch.arange(len(source)) % (b * c))
    assert torch.equal(policy, torch.arange(len(source)) // (b * c))


@quick
@given(layouts(), st.integers(1, 5), st.integers(1, 3), seeds)
def test_every_pass_deals_every_row_once_with_an_even_mix(layout, mini_batches, passes, seed):
    tables, borrowed = layout
    plans = tables.passes(borrowed, passes, mini_batches, torch.Generator().manual_seed(seed))
    again = tables.passes(borrowed, passes, mini_batches, torch.Generator().manual_seed(seed))
    assert len(plans) == passes
    for plan, same in zip(plans, again, strict=True):
        assert sorted(torch.cat([x.target for x in plan]).tolist()) == list(range(tables.num_targets))
        weights = torch.cat([x.weight for x in plan]).tolist()
        assert len(set(weights)) == len(weights) == tables.awac_used
        for role in range(4):
            sizes = [x.sizes[role] for x in plan]
            assert max(sizes) - min(sizes) <= 1
        for x, y in zip(plan, same, strict=True):
            assert torch.equal(x.source, y.source)
            assert sum(x.sizes) == len(x.source) == len(x.policy)
            assert x.num_gradient == len(x.target)


@quick
@given(seeds, st.floats(0.001, 0.3), st.integers(1, 4))
def test_the_effective_sample_size_of_gaussians_at_a_distance(seed, distance, actions):
    """exp(-2 KL) of the sample for policies with equal noise, in any number of dimensions (docs/why_cpo.md)."""
    log_std = _noise(seed, actions) * 0.3
    direction = torch.nn.functional.normalize(_noise(seed + 1, actions), dim=0)
    follower, leader = torch.zeros_like(direction), direction * log_std.exp() * math.sqrt(2.0 * distance)
    assert math.isclose(gaussian.kl(follower, log_std, leader, log_std).item(), distance, rel_tol=1e-9)
    samples = follower + log_std.exp() * _noise(seed + 2, 100_000, actions)
    log_ratio = gaussian.log_prob(samples, leader, log_std) - gaussian.log_prob(samples, follower, log_std)
    assert math.isclose(effective_sample_size(log_ratio.exp()).item(), math.exp(-2.0 * distance), abs_tol=0.04)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Population-based training by hand: ranking, thresholds, mutation and the whole decision."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.pbt import (
    DEFAULT_RULES,
    MemberState,
    PbtCfg,
    best_and_worst,
    decide,
    leads_enough,
    mutate,
    objective_spread,
    ranking,
    scale,
    scale_clip,
    scale_horizon,
    step_count,
)

CFG = PbtCfg()
ALWAYS = PbtCfg(mutation_rate=1.0)
BASE = {
    "max_grad_norm": 1.0,
    "value_loss_coef": 2.0,
    "bound_loss_coef": 1e-4,
    "desired_kl": 0.016,
    "clip_param": 0.2,
    "num_learning_epochs": 5,
    "gamma": 0.99,
}
LATE = {"own_steps": 10**9, "steps_since_restart": 10**9, "best_of_interval": None}


def _population(*objectives):
    return [MemberState(o, {**BASE, "max_grad_norm": 1.0 + i}) for i, o in enumerate(objectives)]


def _decide(index, objectives, rng=0, cfg=CFG, **changes):
    return decide(index, _population(*objectives), **{**LATE, **changes}, cfg=cfg, rules=DEFAULT_RULES, rng=Random(rng))


@pytest.mark.parametrize(("size", "count"), [(6, 2), (8, 3), (1, 1), (10, 3), (4, 2)])
def test_oracle_40_best_and_worst(size, count):
    best, worst = best_and_worst([float(i) for i in range(size)], CFG)
    assert best == list(range(size - 1, size - 1 - count, -1))
    assert worst == list(range(count - 1, -1, -1))


def test_oracle_40_a_lead_just_below_half_a_standard_deviation_keeps_the_weights_but_mutates():
    # without the lowest floor(0.2 * 6) = 1 value: 10, 10, 12, 14, 14 -> mean 12, population std sqrt(16 / 5)
    others = [10.0, 10.0, 12.0, 14.0, 14.0]
    std = math.sqrt(16 / 5)
    assert objective_spread([9.0, *others], CFG) == pytest.approx(std, rel=1e-12)
    cfg = PbtCfg(mutation_rate=1.0, replace_threshold_frac_absolute=0.0)
    assert not leads_enough(14.0 - 0.4999 * std, 14.0, std, cfg)
    assert leads_enough(14.0 - 0.5001 * std, 14.0, std, cfg)
    # the same through the whole decision, with a threshold that puts the lead of 14 over 9 just on either side
    for fraction, donors in ((5.0 / std + 1e-6, {None}), (5.0 / std - 1e-6, {4, 5})):
        cfg = PbtCfg(mutation_rate=1.0, replace_threshold_frac_std=fraction, donor_parameters_probability=0.0)
        made = [_decide(0, [9.0, *others], rng=seed, cfg=cfg) for seed in range(20)]
        assert {d.donor for d in made} == donors
        assert all(d.restart for d in made)
        assert all(d.parameters["gamma"] != 0.99 for d in made)


def test_oracle_40_absolute_threshold():
    assert not leads_enough(95.1, 100.0, 0.0, CFG)
    assert leads_enough(94.9, 100.0, 0.0, CFG)
    assert not leads_enough(-100.0, -96.0, 0.0, CFG)
    assert leads_enough(None, 1.0, 100.0, CFG)


def test_scaling_goes_up_and_down_alike():
    values = [scale(1.0, CFG, Random(seed)) for seed in range(500)]
    assert 200 < sum(value > 1.0 for value in values) < 300


def test_the_defaults_are_those_of_the_references_launcher():
    assert (CFG.interval_steps, CFG.start_after, CFG.initial_delay) == (2 * 10**7, 5 * 10**7, 2 * 10**8)
    assert (CFG.replace_fraction_worst, CFG.replace_fraction_best, CFG.std_drop_fraction) == (0.3, 0.3, 0.2)
    assert (CFG.replace_threshold_frac_std, CFG.replace_threshold_frac_absolute) == (0.5, 0.05)
    assert (CFG.donor_parameters_probability, CFG.mutation_rate) == (0.5, 0.15)
    assert (CFG.change_min, CFG.change_max, CFG.discount_change_max) == (1.1, 1.5, 1.2)


def test_oracle_40_mutated_discount():
    values = [scale_horizon(0.99, CFG, Random(seed)) for seed in range(500)]
    assert all(0.988 - 1e-12 <= v <= 0.989 + 1e-12 or 0.990909 <= v <= 0.991667 for v in values)
    assert min(values) < 0.9881
    assert max(values) > 0.9916
    assert 150 < sum(v < 0.99 for v in values) < 350


def test_oracle_40_mutated_clip_and_passes_stay_in_bounds():
    rng = Random(0)
    clip, passes = 0.2, 5
    seen = set()
    for _ in range(2000):
        clip, passes = scale_clip(clip, CFG, rng), step_count(passes, CFG, rng)
        assert 0.01 <= clip <= 0.3
        assert 1 <= passes <= 8
        seen.add(passes)
    assert seen == set(range(1, 9))
    assert {step_count(5, CFG, Random(s)) for s in range(50)} == {4, 6}


def test_oracle_40_rate_zero_changes_nothing():
    for seed in range(20):
        assert mutate(BASE, DEFAULT_RULES, PbtCfg(mutation_rate=0.0), Random(seed)) == BASE


def test_mutation_changes_the_configured_share():
    changed = [mutate(BASE, DEFAULT_RULES, CFG, Random(seed)) for seed in range(2000)]
    for name, value in BASE.items():
        share = sum(c[name] != value for c in changed) / len(changed)
        assert 0.12 < share < 0.18, name


@given(st.floats(1e-6, 1e6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_scaling_stays_within_its_factors(value, seed):
    factor = scale(value, CFG, Random(seed)) / value
    assert 1.1 - 1e-9 <= factor <= 1.5 + 1e-9 or 1 / 1.5 - 1e-9 <= factor <= 1 / 1.1 + 1e-9


@given(st.integers(0, 10**6), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_mutated_settings_stay_valid(seed, generations):
    rng, values = Random(seed), dict(BASE)
    for _ in range(generations):
        values = mutate(values, DEFAULT_RULES, ALWAYS, rng)
    EnsembleCfg(**values).validate()


def test_unknown_parameter_is_refused_by_name():
    with pytest.raises(UserError, match="'dist_reward_scale' has no mutation rule"):
        mutate({"dist_reward_scale": 1.0}, DEFAULT_RULES, CFG, Random(0))


def test_ranking_puts_unknown_last():
    assert ranking([1.0, None, 3.0, -2.0, 3.0]) == [2, 4, 0, 3, 1]
    assert MemberState(math.nan, {}).objective is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps_since_restart": 49_999_999}, "too soon after its last restart"),
        ({"own_steps": 199_999_999}, "too soon after the start"),
        ({"best_of_interval": 9.0}, "as good as the best"),
    ],
)
def test_a_member_goes_on_when(changes, reason):
    decision = _decide(0, [1.0, 2.0, 3.0, 4.0, 9.0, 10.0], **changes)
    assert not decision.restart
    assert decision.donor is None
    assert reason in decision.reason
    assert decision.parameters["max_grad_norm"] == 1.0


def test_members_that_are_not_among_the_worst_go_on():
    for index in range(2, 6):
        assert not _decide(index, [1.0, 2.0, 3.0, 4.0, 9.0, 10.0]).restart


def test_nobody_changes_while_half_the_population_is_unknown():
    assert "too few" in _decide(5, [1.0, 2.0, 9.0, None, None, None]).reason
    assert _decide(5, [1.0, 2.0, 9.0, 10.0, None, None]).restart


def test_the_worst_member_takes_weights_of_either_best_and_half_the_time_their_parameters():
    cfg = PbtCfg(mutation_rate=0.0)
    decisions = [_decide(0, [1.0, 2.0, 3.0, 4.0, 9.0, 10.0], rng=seed, cfg=cfg) for seed in range(400)]
    assert {d.donor for d in decisions} == {4, 5}
    assert all(d.restart for d in decisions)
    taken = [d.parameters["max_grad_norm"] == 1.0 + d.donor for d in decisions]
    kept = [d.parameters["max_grad_norm"] == 1.0 for d in decisions]
    assert all(a != b for a, b in zip(taken, kept, strict=True))
    assert 150 < sum(taken) < 250


def test_a_member_never_donates_to_itself():
    decisions = [_decide(0, [1.0], rng=s, cfg=PbtCfg(replace_fraction_best=1.0)) for s in range(5)]
    assert all(d.donor is None for d in decisions)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mutation_rate", 1.1),
        ("mutation_rate", math.nan),
        ("replace_fraction_worst", 0.0),
        ("replace_threshold_frac_std", -0.1),
        ("change_max", 1.05),
        ("interval_steps", 0),
        ("std_drop_fraction", 1.0),
    ],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=field):
        PbtCfg(**{field: value})


def test_decisions_depend_on_the_random_state_only():
    objectives = [1.0, 2.0, 3.0, 4.0, 9.0, 10.0]
    assert _decide(0, objectives, rng=7) == _decide(0, objectives, rng=7)

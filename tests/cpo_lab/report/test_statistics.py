# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics against hand-computed numbers and against independent libraries (scipy; rliable when installed)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cpo_lab.report import statistics as stats

scipy_stats = pytest.importorskip("scipy.stats")

FINITE = st.floats(-1e6, 1e6, allow_nan=False, allow_infinity=False, width=32)


def test_interquartile_mean_drops_a_quarter_at_either_end():
    # n = 8, k = 2: (3 + 4 + 5 + 6) / 4 = 4.5, the outlier 1000 has no influence.
    assert stats.interquartile_mean([1000, 1, 2, 3, 4, 5, 6, 7]) == pytest.approx((3 + 4 + 5 + 6) / 4)
    # n = 5, k = 1: (2 + 3 + 4) / 3.
    assert stats.interquartile_mean([1, 2, 3, 4, 100]) == pytest.approx(3.0)
    # n = 3, k = 0: the mean.
    assert stats.interquartile_mean([1, 2, 6]) == pytest.approx(3.0)


def test_interquartile_mean_leaves_nan_out_per_row():
    rows = [[np.nan, 1, 2, 3, 100], [np.nan] * 5, [np.inf, 5, 5, 5, 5]]
    # Row 0: n = 4, k = 1: (2 + 3) / 2. Row 1: nothing finite. Row 2: infinity counts as missing.
    np.testing.assert_allclose(stats.interquartile_mean(rows), [2.5, np.nan, 5.0])


def test_mean_leaves_nan_out():
    np.testing.assert_allclose(stats.mean([[1, np.nan, 3], [np.nan] * 3]), [2.0, np.nan])


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 60), elements=FINITE))
def test_interquartile_mean_equals_scipy_trimmed_mean(values):
    expected = scipy_stats.trim_mean(values, 0.25)
    assert stats.interquartile_mean(values) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_bootstrap_of_two_values_has_the_exact_distribution():
    # Resamples of {0, 1} of size 2 have mean 0, 1/2, 1 with probability 1/4, 1/2, 1/4: the 95 % interval is
    # [0, 1] and the central 40 % interval collapses onto 1/2.
    wide = stats.bootstrap_interval([0.0, 1.0], stats.mean)
    assert (wide.point, wide.low, wide.high, wide.count) == (0.5, 0.0, 1.0, 2)
    narrow = stats.bootstrap_interval([0.0, 1.0], stats.mean, confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_bootstrap_interval_agrees_with_scipy():
    values = np.random.default_rng(3).normal(10.0, 2.0, size=40)
    ours = stats.bootstrap_interval(values, stats.interquartile_mean, num_resamples=20_000, seed=1)
    theirs = scipy_stats.bootstrap(
        (values,),
        lambda v, axis: scipy_stats.trim_mean(v, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_strata_are_resampled_separately():
    # Each task has constant scores, so resampling inside a task changes nothing although the tasks differ by 100.
    interval = stats.bootstrap_interval([np.zeros(5), np.full(5, 100.0)], stats.mean)
    assert (interval.low, interval.point, interval.high) == (50.0, 50.0, 50.0)
    # Pooled into one sample the same numbers do vary.
    pooled = stats.bootstrap_interval(np.r_[np.zeros(5), np.full(5, 100.0)], stats.mean)
    assert pooled.low < 50.0 < pooled.high


@pytest.mark.parametrize("values", [[], [np.nan], [3.0]])
def test_fewer_than_two_values_give_no_bounds(values):
    interval = stats.bootstrap_interval(values)
    assert not interval.has_bounds
    assert interval.count == len([v for v in values if np.isfinite(v)])


def test_matrix_input_is_refused_because_its_strata_are_ambiguous():
    with pytest.raises(ValueError, match="stratum"):
        stats.bootstrap_interval(np.zeros((3, 4)))


def test_probability_of_improvement_hand_case():
    # Pairs (x, y): (1,0) win, (1,1) tie, (1,2) loss, (3,0) win, (3,1) win, (3,2) win: (4 + 0.5) / 6.
    assert stats.probability_of_improvement([1.0, 3.0], [0.0, 1.0, 2.0]) == pytest.approx(4.5 / 6)
    # Second task: x loses every pair, so the average over tasks is half of the first.
    assert stats.probability_of_improvement([[1.0, 3.0], [0.0]], [[0.0, 1.0, 2.0], [1.0]]) == pytest.approx(4.5 / 12)


def test_probability_of_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match="tasks"):
        stats.probability_of_improvement([[1.0], [2.0]], [[1.0]])


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 20), elements=st.integers(-5, 5).map(float)),
    hnp.arrays(np.float64, st.integers(1, 20), elements=st.integers(-5, 5).map(float)),
)
def test_probability_of_improvement_equals_mann_whitney_and_is_antisymmetric(x, y):
    ours = stats.probability_of_improvement(x, y)
    u = scipy_stats.mannwhitneyu(x, y, method="asymptotic").statistic
    assert ours == pytest.approx(u / (x.size * y.size))
    assert ours + stats.probability_of_improvement(y, x) == pytest.approx(1.0)


def test_probability_interval_contains_the_point_and_one_run_has_none():
    rng = np.random.default_rng(0)
    interval = stats.probability_of_improvement_interval(rng.normal(0.5, 1, 12), rng.normal(0, 1, 12))
    assert interval.low < interval.point < interval.high
    assert interval.low >= 0.0
    assert interval.high <= 1.0
    assert not stats.probability_of_improvement_interval([1.0], [0.0, 2.0]).has_bounds
    assert stats.probability_of_improvement_interval([5.0, 6.0], [1.0, 2.0]).low == 1.0


def test_curve_interval_matches_the_pointwise_bootstrap_and_skips_missing_points():
    curves = np.array([[0.0, 1.0, np.nan], [2.0, 1.0, np.nan], [4.0, 1.0, 7.0]])
    center, low, high = stats.curve_interval(curves, stats.mean, num_resamples=4000)
    np.testing.assert_allclose(center, [2.0, 1.0, 7.0])
    assert low[0] == pytest.approx(0.0)
    assert high[0] == pytest.approx(4.0)
    assert (low[1], high[1]) == (1.0, 1.0)
    assert np.isnan(low[2])
    assert np.isnan(high[2])


def test_single_curve_has_no_band():
    center, low, high = stats.curve_interval([[1.0, 2.0]])
    np.testing.assert_allclose(center, [1.0, 2.0])
    assert np.isnan(low).all()
    assert np.isnan(high).all()


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=FINITE))
def test_bounds_stay_inside_the_data(curves):
    _, low, high = stats.curve_interval(curves, num_resamples=50)
    tolerance = 1e-6 * (1.0 + np.abs(curves).max())
    assert (low >= curves.min(axis=0) - tolerance).all()
    assert (high <= curves.max(axis=0) + tolerance).all()
    assert (low <= high + tolerance).all()


def test_result_does_not_depend_on_chunking(monkeypatch):
    values = np.random.default_rng(5).normal(size=30)
    whole = stats.bootstrap_interval(values, num_resamples=300)
    monkeypatch.setattr(stats, "_CHUNK_ELEMENTS", 700)
    assert stats.bootstrap_interval(values, num_resamples=300) == whole


def test_point_estimates_agree_with_rliable():
    # Only the estimators: rliable 1.2's own bootstrap does not run with current releases of arch, on which it rests.
    metrics = pytest.importorskip("rliable.metrics", reason="rliable (test-only reference) is not installed")
    rng = np.random.default_rng(7)
    x, y = rng.normal(1.0, 1.0, (10, 3)), rng.normal(0.5, 1.0, (10, 3))
    assert stats.bootstrap_interval(list(x.T)).point == pytest.approx(metrics.aggregate_iqm(x))
    assert stats.probability_of_improvement(list(x.T), list(y.T)) == pytest.approx(
        metrics.probability_of_improvement(x, y)
    )

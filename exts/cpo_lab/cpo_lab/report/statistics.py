# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Statistics for comparing reinforcement-learning runs: few seeds, skewed scores, several tasks.

The three estimators are the ones Agarwal et al. recommend in "Deep Reinforcement Learning at the Edge of the
Statistical Precipice" (NeurIPS 2021): the interquartile mean, percentile intervals from a bootstrap that resamples runs
inside each task, and the probability that one algorithm beats another.

Notation: ``x_1 <= ... <= x_n`` are the sorted finite values of a sample.

* Interquartile mean: drop ``k = floor(n / 4)`` values at either end, average the remaining ``n - 2 k``. For n < 4
  nothing is dropped and it equals the mean.
* Stratified bootstrap: draw every task's n_t runs with replacement from that task's runs, evaluate the statistic,
  repeat; the interval is the central ``confidence`` mass of the results (percentile method).
* Probability of improvement of X over Y: per task the fraction of run pairs with ``x > y``, a tie counting one half
  (the Mann-Whitney U statistic divided by ``n_x n_y``), averaged over tasks.

An interval from fewer than about five seeds is too narrow (the percentile bootstrap cannot invent variation it has not
seen), and from one seed there is none: every function then returns NaN bounds instead of a zero-width interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Maps an array [..., n] to [...]: a statistic along the last axis that ignores NaN."""

DEFAULT_RESAMPLES = 2000
"""Bootstrap resamples; the Monte-Carlo error of a 95 % bound is then about 1.5 % of the interval's width."""

_CHUNK_ELEMENTS = 4_000_000
"""Largest number of resampled values held at once (32 MB of float64)."""


@dataclass(frozen=True)
class Interval:
    """A point estimate with a confidence interval, in the unit of the data."""

    point: float
    """Estimate from the full sample; NaN if there was no finite value."""
    low: float
    """Lower bound; NaN if fewer than two finite values were given."""
    high: float
    """Upper bound; NaN if fewer than two finite values were given."""
    count: int
    """Number of finite values the estimate rests on."""

    @property
    def has_bounds(self) -> bool:
        """Whether the sample was large enough (two values or more) for bounds to exist."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


def interval_text(interval: Interval, number: Callable[[float], str] = "{:.4g}".format, unknown: str = "-") -> str:
    """Returns 'point [low, high]', the point alone where there is no interval, or ``unknown`` without a point."""
    if not np.isfinite(interval.point):
        return unknown
    if not interval.has_bounds:
        return number(interval.point)
    return f"{number(interval.point)} [{number(interval.low)}, {number(interval.high)}]"


def interquartile_mean(values: ArrayLike) -> Array:
    """Mean of the middle half of the values along the last axis, NaN values left out.

    Args:
        values: Array [..., n].

    Returns:
        Array [...]; NaN where a row holds no finite value.
    """
    ordered = np.sort(_as_rows(values), axis=-1)
    number = ordered.shape[-1]
    if number and np.isfinite(ordered[..., -1]).all():  # NaN sorts last: nothing is missing, the common case
        return ordered[..., number // 4 : number - number // 4].mean(axis=-1)
    finite = np.isfinite(ordered)
    count = finite.sum(axis=-1, keepdims=True)
    cut = count // 4
    rank = np.arange(ordered.shape[-1])
    kept = (rank >= cut) & (rank < count - cut)
    total = np.where(kept, ordered, 0.0).sum(axis=-1)
    number = kept.sum(axis=-1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def mean(values: ArrayLike) -> Array:
    """Arithmetic mean along the last axis, NaN values left out.

    Args:
        values: Array [..., n].

    Returns:
        Array [...]; NaN where a row holds no finite value.
    """
    rows = _as_rows(values)
    finite = np.isfinite(rows)
    total = np.where(finite, rows, 0.0).sum(axis=-1)
    number = finite.sum(axis=-1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def bootstrap_interval(
    samples: ArrayLike | Sequence[ArrayLike],
    statistic: Statistic = interquartile_mean,
    *,
    confidence: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic, resampling inside each stratum.

    Args:
        samples: One sample [n], or one sample per stratum (task), possibly of different sizes. The statistic is
            evaluated on the values of all strata together, as for normalized scores of several tasks.
        statistic: Function along the last axis.
        confidence: Mass of the interval, between 0 and 1.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the resampling, so that a report is reproducible.

    Returns:
        The interval; bounds are NaN if no stratum has two finite values.
    """
    strata = _strata(samples)
    pooled = np.concatenate(strata) if strata else np.empty(0)
    point = float(statistic(pooled)) if pooled.size else float("nan")
    if not any(stratum.size >= 2 for stratum in strata):
        return Interval(point, float("nan"), float("nan"), pooled.size)
    rng = np.random.default_rng(seed)
    draws = np.concatenate(
        [
            statistic(np.concatenate([_resample(s, size, rng) for s in strata], axis=-1))
            for size in _chunks(num_resamples, pooled.size)
        ]
    )
    low, high = _percentile_bounds(draws, confidence)
    return Interval(point, float(low), float(high), pooled.size)


def curve_interval(
    curves: ArrayLike,
    statistic: Statistic = interquartile_mean,
    *,
    confidence: float = 0.95,
    num_resamples: int = 500,
    seed: int = 0,
) -> tuple[Array, Array, Array]:
    """Pointwise bootstrap interval of a bundle of learning curves.

    Whole curves (seeds) are resampled, the same draw for every point, so neighbouring points share their noise.

    Args:
        curves: Array [S, K]: S seeds at K common abscissae, NaN where a seed has no value.
        statistic: Function along the last axis.
        confidence: Mass of the interval, between 0 and 1.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        Estimate, lower and upper bound, each [K]; the bounds are NaN for a single seed.
    """
    bundle = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    num_seeds, num_points = bundle.shape
    center = statistic(bundle.T)
    if num_seeds < 2:
        return center, np.full(num_points, np.nan), np.full(num_points, np.nan)
    rng = np.random.default_rng(seed)
    draws = []
    for size in _chunks(num_resamples, bundle.size):
        rows = rng.integers(num_seeds, size=(size, num_seeds))
        draws.append(statistic(bundle[rows].swapaxes(-1, -2)))
    low, high = _percentile_bounds(np.concatenate(draws), confidence)
    few = np.isfinite(bundle).sum(axis=0) < 2
    return center, np.where(few, np.nan, low), np.where(few, np.nan, high)


def probability_of_improvement(x: ArrayLike | Sequence[ArrayLike], y: ArrayLike | Sequence[ArrayLike]) -> float:
    """Probability that a random run of X scores higher than a random run of Y on a random task.

    Args:
        x: Scores of the first algorithm: one sample [n], or one sample per task.
        y: Scores of the second algorithm, same number of tasks.

    Returns:
        A number in [0, 1], 0.5 for indistinguishable algorithms; NaN if a task has no run on one side.

    Raises:
        ValueError: If the numbers of tasks differ.
    """
    strata_x, strata_y = _paired_strata(x, y)
    return float(np.mean([_pairwise_win_rate(a[None], b[None])[0] for a, b in zip(strata_x, strata_y, strict=True)]))


def probability_of_improvement_interval(
    x: ArrayLike | Sequence[ArrayLike],
    y: ArrayLike | Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Probability of improvement of X over Y with a stratified bootstrap interval; both sides are resampled.

    Args:
        x: Scores of the first algorithm: one sample [n], or one sample per task.
        y: Scores of the second algorithm, same number of tasks.
        confidence: Mass of the interval, between 0 and 1.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.

    Returns:
        The interval; its count is the smaller of the two total numbers of runs. Bounds are NaN if either side has fewer
        than two runs in every task.

    Raises:
        ValueError: If the numbers of tasks differ.
    """
    strata_x, strata_y = _paired_strata(x, y)
    point = probability_of_improvement(strata_x, strata_y)
    count = min(sum(s.size for s in strata_x), sum(s.size for s in strata_y))
    repeated = all(any(s.size >= 2 for s in side) for side in (strata_x, strata_y))
    if not repeated or not np.isfinite(point):
        return Interval(point, float("nan"), float("nan"), count)
    rng = np.random.default_rng(seed)
    largest = max(a.size + b.size for a, b in zip(strata_x, strata_y, strict=True))
    draws = []
    for size in _chunks(num_resamples, largest):
        per_task = [
            _pairwise_win_rate(_resample(a, size, rng), _resample(b, size, rng))
            for a, b in zip(strata_x, strata_y, strict=True)
        ]
        draws.append(np.mean(per_task, axis=0))
    low, high = _percentile_bounds(np.concatenate(draws), confidence)
    return Interval(point, float(low), float(high), count)


def _as_rows(values: ArrayLike) -> Array:
    """Values as float64 with infinities turned into NaN, so that one test (isfinite) covers both."""
    rows = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(rows)
    return rows if finite.all() else np.where(finite, rows, np.nan)


def _strata(samples: ArrayLike | Sequence[ArrayLike]) -> list[Array]:
    """One flat array of finite values per stratum; a single sample becomes one stratum."""
    given: Any = samples
    nested = isinstance(given, (list, tuple)) and len(given) > 0 and np.ndim(given[0]) == 1
    if not nested and np.ndim(given) == 2:
        raise ValueError("samples must be one flat sample or a list with one flat sample per stratum, not a matrix.")
    strata = [np.asarray(s, dtype=np.float64).ravel() for s in (given if nested else [given])]
    return [s[np.isfinite(s)] for s in strata]


def _paired_strata(
    x: ArrayLike | Sequence[ArrayLike], y: ArrayLike | Sequence[ArrayLike]
) -> tuple[list[Array], list[Array]]:
    strata_x, strata_y = _strata(x), _strata(y)
    if len(strata_x) != len(strata_y):
        raise ValueError(f"x has {len(strata_x)} tasks but y has {len(strata_y)}; give the same tasks for both.")
    return strata_x, strata_y


def _pairwise_win_rate(x: Array, y: Array) -> Array:
    """Win rate of x [R, n] over y [R, m] per row [R], a tie counting one half; by ranking, not n m comparisons."""
    if x.shape[-1] == 0 or y.shape[-1] == 0:
        return np.full(x.shape[0], np.nan)
    ordered = np.sort(y, axis=-1)
    rates = np.empty(x.shape[0])
    for row in range(x.shape[0]):
        below = np.searchsorted(ordered[row], x[row], side="left")
        not_above = np.searchsorted(ordered[row], x[row], side="right")
        rates[row] = (below + not_above).mean() / (2 * y.shape[-1])
    return rates


def _resample(stratum: Array, size: int, rng: np.random.Generator) -> Array:
    """Draws [size, n] with replacement from a stratum [n]; an empty stratum gives [size, 0]."""
    if stratum.size == 0:
        return np.empty((size, 0))
    return stratum[rng.integers(stratum.size, size=(size, stratum.size))]


def _chunks(num_resamples: int, elements_per_resample: int) -> list[int]:
    """Splits the resamples so that one chunk stays within the memory bound."""
    if num_resamples < 1:
        raise ValueError("num_resamples must be at least 1.")
    size = max(1, min(num_resamples, _CHUNK_ELEMENTS // max(1, elements_per_resample)))
    full, rest = divmod(num_resamples, size)
    return [size] * full + ([rest] if rest else [])


def _percentile_bounds(draws: Array, confidence: float) -> tuple[Array, Array]:
    """Central ``confidence`` mass of the draws [R, ...] along the first axis."""
    if not 0.0 < confidence < 1.0:
        raise ValueError("confidence must lie strictly between 0 and 1.")
    tail = 50.0 * (1.0 - confidence)
    # A column without any finite draw is legitimate (a point no seed has reached); nanpercentile would warn about it.
    finite = np.isfinite(draws)
    empty = ~finite.any(axis=0)
    percentile = np.percentile if finite.all() else np.nanpercentile  # the latter is many times slower
    low, high = percentile(np.where(empty, 0.0, draws), [tail, 100.0 - tail], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)

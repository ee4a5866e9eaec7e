# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Summaries of evaluated episodes: mean, interquartile mean, intervals, comparison; JSON and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpo_lab.report.spreadsheet import csv_text
from cpo_lab.report.statistics import (
    Interval,
    bootstrap_interval,
    interquartile_mean,
    mean,
    probability_of_improvement_interval,
)
from cpo_rl.runs.metric_names import EPISODE_QUANTITIES, TASK, Metric

_COLUMNS = (
    *("checkpoint", "policy", "shape_mm", "quantity", "unit", "episodes"),
    *("mean", "mean_low_95", "mean_high_95", "iqm", "iqm_low_95", "iqm_high_95"),
)
_ROWS = {row.tag: row for row in EPISODE_QUANTITIES}
_NAMES = list(_ROWS)
COMPARED = tuple(row.tag for row in EPISODE_QUANTITIES if row.compared)
"""Quantities that checkpoints are compared by."""


def row_of(quantity: str) -> Metric:
    """What is known about a quantity; of a task's own metric nothing but its name."""
    return _ROWS.get(quantity) or Metric(quantity, TASK, quantity)


@dataclass(frozen=True)
class Score:
    """One quantity of one row: a checkpoint, a policy and perhaps a shape."""

    checkpoint: str
    """Name of the checkpoint."""
    policy: str
    """'leader', 'follower <i>' or 'all'."""
    shape: str
    """Edges of the object [mm], empty for all shapes together."""
    quantity: str
    """Name of the quantity."""
    episodes: int
    """Episodes in which the quantity exists."""
    mean: Interval
    """Mean with its 95 % interval over episodes."""
    iqm: Interval
    """Interquartile mean with its 95 % interval over episodes."""


@dataclass(frozen=True)
class Comparison:
    """Chance that an episode of the first row beats one of the second."""

    quantity: str
    """Name of the quantity."""
    first: str
    """Checkpoint and policy."""
    second: str
    """Checkpoint and policy."""
    probability: Interval
    """Probability of improvement with its 95 % interval over episodes."""


def order_of(quantities: Sequence[str]) -> list[str]:
    """Quantities in reading order: return and successes first, the task's own metrics last."""
    return sorted(quantities, key=lambda q: (_NAMES.index(q) if q in _ROWS else len(_NAMES), q))


def summarize(checkpoint: str, policy: str, shape: str, values: Mapping[str, ArrayLike]) -> list[Score]:
    """Summarizes the episodes of one row.

    Args:
        checkpoint: Name of the checkpoint.
        policy: Name of the policy.
        shape: Name of the object's shape, empty for all.
        values: Per quantity one value per episode, NaN where it does not exist.

    Returns:
        One score per quantity. A rate (0 or 1 per episode) has no interquartile mean: it would be 0, 1 or the majority.
    """
    scores = []
    for name in order_of(list(values)):
        sample = np.asarray(values[name], dtype=np.float64)
        average = bootstrap_interval(sample, mean)
        nothing = Interval(math.nan, math.nan, math.nan, average.count)
        middle = nothing if row_of(name).share else bootstrap_interval(sample, interquartile_mean)
        scores.append(Score(checkpoint, policy, shape, name, average.count, average, middle))
    return scores


@dataclass(frozen=True)
class Row:
    """Episodes of one policy of one checkpoint."""

    checkpoint: str
    """Name of the checkpoint."""
    policy: str
    """'leader', 'follower <i>' or 'all'."""
    values: Mapping[str, ArrayLike]
    """Per quantity one value per episode, NaN where it does not exist."""


def compare_rows(rows: Sequence[Row], quantities: Sequence[str]) -> list[Comparison]:
    """Compares the same policy of different checkpoints, or the leader of a single one with its followers.

    Args:
        rows: What was measured.
        quantities: What to compare; times and falls count as better when lower.

    Returns:
        One comparison per pair and quantity that both rows have.
    """
    several = len({row.checkpoint for row in rows}) > 1
    if several:
        pairs = [(a, b) for k, a in enumerate(rows) for b in rows[k + 1 :] if _alike(a, b)]
    else:
        leaders = [row for row in rows if row.policy == "leader"]
        pairs = [(a, b) for a in leaders for b in rows if b.policy.startswith("follower")]
    comparisons = []
    for quantity in quantities:
        sign = -1.0 if row_of(quantity).better == "lower" else 1.0
        for a, b in pairs:
            x, y = (sign * np.asarray(row.values.get(quantity, []), dtype=np.float64) for row in (a, b))
            if np.isfinite(x).any() and np.isfinite(y).any():
                names = [f"{row.checkpoint} {row.policy}" if several else row.policy for row in (a, b)]
                probability = probability_of_improvement_interval(x, y, num_resamples=1000)
                comparisons.append(Comparison(quantity, names[0], names[1], probability))
    return comparisons


def _alike(a: Row, b: Row) -> bool:
    return a.policy == b.policy and a.checkpoint != b.checkpoint


def scores_csv(scores: Sequence[Score]) -> str:
    """Scores as CSV, one row each; empty cells where there is no number."""
    rows: list[Sequence[object]] = [_COLUMNS]
    for s in scores:
        numbers = [s.mean.point, s.mean.low, s.mean.high, s.iqm.point, s.iqm.low, s.iqm.high]
        cells = [f"{value:.6g}" if math.isfinite(value) else "" for value in numbers]
        rows.append([s.checkpoint, s.policy, s.shape, s.quantity, row_of(s.quantity).unit, s.episodes, *cells])
    return csv_text(rows)


def plain(entry: Score | Comparison) -> dict[str, Any]:
    """A score or comparison as JSON holds it: null instead of NaN."""
    return _without_nan(asdict(entry))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(child) for key, child in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

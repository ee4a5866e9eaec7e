# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs that differ only in the seed belong together; curves of such a group on a common axis, with intervals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cpo_lab.report.reading import Run
from cpo_lab.report.statistics import Interval, bootstrap_interval, curve_interval, interquartile_mean
from cpo_rl.runs.configs import differing_keys, fingerprint
from cpo_rl.runs.metric_names import policies_in

Array = NDArray[np.float64]

GRID_POINTS = 200
"""Points of a group curve."""
FINAL_SHARE = 0.1
"""Final score: mean over the last tenth of the environment steps compared, which one lucky iteration cannot decide."""
EARLY_SHARE = 0.98
"""A run that ends before this share of the compared steps counts as stopped early and has no final score."""
_ORDER = ("cpo", "cpo_reference", "sapg", "sapg_reference", "pbt", "ppo")


@dataclass
class Band:
    """One metric of a group along an axis."""

    x: Array
    """Abscissae [K], up to the end of the longest run."""
    center: Array
    """Interquartile mean [K] over the seeds that got there."""
    low: Array
    """Lower 95 % bound [K]; NaN for one seed."""
    high: Array
    """Upper 95 % bound [K]; NaN for one seed."""
    complete: int
    """Points up to which every seed contributes; beyond, the mean rests on the seeds that ran longer."""
    seeds: list[tuple[Array, Array]]
    """Every seed's own curve as (x, y), full length."""


@dataclass
class Group:
    """Runs of one task, algorithm and configuration."""

    task: str
    """Task id."""
    algorithm: str
    """Preset name."""
    runs: list[Run]
    """One run per seed, sorted by seed; of several the one that got furthest. A run of unknown seed counts as one."""
    label: str = ""
    """Short name that is unique within the task."""
    repeats: list[Run] = field(default_factory=list)
    """Runs of a seed that another run stands for: the same seed again is no further evidence."""
    _bands: dict[tuple[str, str, bool], Band | None] = field(default_factory=dict, repr=False)

    @property
    def num_policies(self) -> int:
        """Number of policies M found in the data, 1 if there is no sign of an ensemble."""
        matrices = [run.snapshots[-1].kl_matrix.shape[0] for run in self.runs if run.snapshots]
        return max([1, *matrices, *(policies_in(run.metrics) for run in self.runs)])

    def band(self, tag: str, axis: str = "env_steps", *, bounds: bool = True) -> Band | None:
        """Interquartile mean and interval of a metric over seeds.

        Args:
            tag: Metric name.
            axis: 'env_steps' or 'wall_clock_s'.
            bounds: Whether the interval is needed; it takes most of the time.

        Returns:
            The band, or None if no run has the metric.
        """
        key = (tag, axis, bounds)
        if key not in self._bands:
            self._bands[key] = self._compute_band(tag, axis, bounds)
        return self._bands[key]

    def last_step(self, tag: str) -> float:
        """Environment steps at which the longest run of the group last reported the metric; NaN if none did."""
        return max((float(x[-1]) for x, _ in self._curves(tag, "env_steps")), default=float("nan"))

    def final(self, tag: str, budget: float) -> Interval:
        """Interquartile mean over seeds of the runs' final scores, with its interval."""
        return bootstrap_interval(self.final_scores(tag, budget))

    def final_scores(self, tag: str, budget: float) -> list[float]:
        """Every seed's mean over the last tenth of a budget of environment steps.

        Args:
            tag: Metric name.
            budget: Environment steps at which algorithms are compared.

        Returns:
            One score per seed that has the metric and reached the budget.
        """
        scores = []
        for x, y in self._curves(tag, "env_steps"):
            late = (x >= budget * (1.0 - FINAL_SHARE)) & (x <= budget)
            if x[-1] >= EARLY_SHARE * budget:
                # Very short runs may have no point inside the window; the nearest one stands for it.
                scores.append(float(y[late].mean() if late.any() else y[np.abs(x - budget).argmin()]))
        return scores

    def _curves(self, tag: str, axis: str) -> list[tuple[Array, Array]]:
        curves = []
        for run in self.runs:
            x, y = run.metrics.get(axis), run.metrics.get(tag)
            if x is None or y is None:
                continue
            good = np.isfinite(x) & np.isfinite(y)
            if good.any():
                order = np.argsort(x[good], kind="stable")
                curves.append((x[good][order], y[good][order]))
        return curves

    def _compute_band(self, tag: str, axis: str, bounds: bool) -> Band | None:
        curves = self._curves(tag, axis)
        if not curves:
            return None
        start = max(x[0] for x, _ in curves)
        stop = max(start, max(x[-1] for x, _ in curves))
        grid = np.linspace(start, stop, min(GRID_POINTS, max(len(x) for x, _ in curves)))
        # Steps of equal runs differ by rounding only, wall-clock by a little: neither should end a curve early.
        slack = 0.01 * (stop - start)
        bundle = np.stack([np.where(grid <= x[-1] + slack, np.interp(grid, x, y), np.nan) for x, y in curves])
        complete = int(np.isfinite(bundle).all(axis=0).sum())
        if not bounds:
            unknown = np.full(grid.size, np.nan)
            return Band(grid, interquartile_mean(bundle.T), unknown, unknown, complete, curves)
        return Band(grid, *curve_interval(bundle), complete, curves)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups runs by task, algorithm and configuration without the seed.

    Args:
        runs: Runs in any order.

    Returns:
        Groups sorted by task and algorithm (CPO first), in which every seed counts once. Each has a label unique within
        its task: the algorithm's name, followed by the settings that tell it from other groups of the same algorithm.
    """
    buckets: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        buckets[run.task, run.algorithm, fingerprint(run.config)].append(run)
    groups = []
    for (task, algorithm, _), members in buckets.items():
        ordered = sorted(members, key=lambda r: (r.seed is None, r.seed or 0, r.name))
        counted = _one_per_seed(ordered)
        repeats = [run for run in ordered if not any(run is other for other in counted)]
        groups.append(Group(task, algorithm, counted, repeats=repeats))
    groups.sort(key=lambda g: (g.task, _rank(g.algorithm), g.runs[0].name))
    siblings: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for group in groups:
        siblings[group.task, group.algorithm].append(group)
    for family in siblings.values():
        _label(family)
    return groups


def _one_per_seed(runs: Sequence[Run]) -> list[Run]:
    """Of each seed the run with the most environment steps, of equally long ones the last by name."""
    furthest: dict[object, Run] = {}
    for run in runs:
        key = run.seed if run.seed is not None else run.folder.path
        other = furthest.get(key)
        if other is None or _steps(run) >= _steps(other):
            furthest[key] = run
    return list(furthest.values())


def _steps(run: Run) -> float:
    steps = run.end.get("env_steps", 0.0)
    return steps if np.isfinite(steps) else 0.0


def _rank(algorithm: str) -> tuple[int, str]:
    return (_ORDER.index(algorithm) if algorithm in _ORDER else len(_ORDER), algorithm)


def _label(family: list[Group]) -> None:
    """Labels groups of one algorithm by their differing settings, numbered where that does not tell them apart."""
    name = display_name(family[0].algorithm)
    if len(family) == 1:
        family[0].label = name
        return
    keys = differing_keys([group.runs[0].config for group in family])
    for number, group in enumerate(family, start=1):
        config = group.runs[0].config
        if config is None:
            group.label = f"{name} (config unknown)"
        elif 0 < len(keys) <= 2:
            parts = [f"{key.rsplit('.', 1)[-1]}={_short(config.get(key))}" for key in keys]
            group.label = f"{name} ({', '.join(parts)})"
        else:
            group.label = f"{name} #{number}"
    if len({group.label for group in family}) < len(family):
        for number, group in enumerate(family, start=1):
            group.label = f"{name} #{number}"


def display_name(algorithm: str) -> str:
    """Algorithm preset as it is written in the papers: short names in capitals."""
    return algorithm.upper() if len(algorithm) <= 4 else algorithm.replace("_", " ")


def _short(value: str | None) -> str:
    if value is None:
        return "unset"
    text = str(json.loads(value))
    return text if len(text) <= 16 else text[:15] + "…"

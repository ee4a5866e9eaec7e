# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a screen shows of a run, read from its folder: one state for terminal, web page and Kit.

No omni, no torch, no simulator: a run that trains on another machine is watched where its folder can be read. Damage
costs what is damaged (docs/run_folder.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cpo_lab.ui.health import SILENT_S
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count, format_duration, policy_name
from cpo_rl.runs.curves import MAX_POLICIES, Curves, Snapshot, read_curves, read_snapshots
from cpo_rl.runs.files import printable, shown
from cpo_rl.runs.find import find_runs, named_runs
from cpo_rl.runs.folder import RunFolder, plain_task
from cpo_rl.runs.metric_names import METRICS, WATCHED, Metric, in_order, policies_in
from cpo_rl.runs.provenance import age_s

MOST_RUNS = 12
"""Runs that are watched side by side."""

_BUSY = 0.1
"""Largest share of the time that reading may take, so that watching does not slow down what is watched."""


@dataclass
class RunState:
    """What is known of a run now."""

    name: str
    """Folder name, with its parent where that is needed to tell runs apart."""
    path: Path
    """The folder."""
    task: str = ""
    """Task id; empty if unknown."""
    algorithm: str = ""
    """Preset name; empty if unknown."""
    seed: int | None = None
    """Random seed."""
    health: str = "unknown"
    """One of :data:`~cpo_rl.runs.folder.HEALTHS`."""
    iteration: int = 0
    """Finished iterations."""
    goal: int | None = None
    """Iterations asked for."""
    env_steps: int = 0
    """Environment steps so far."""
    left_s: float | None = None
    """Training time still needed [s], of a running run."""
    silent_s: float | None = None
    """Time since the last sign of life [s]."""
    problems: list[str] = field(default_factory=list)
    """Why it ended, and what of it is missing or damaged, a sentence each."""
    num_policies: int = 1
    """Policies M; the leader is the last."""
    curves: Curves = field(default_factory=Curves)
    """Its metrics."""
    snapshots: list[Snapshot] = field(default_factory=list)
    """KL matrices [M, M] over training, the newest last."""

    @property
    def heading(self) -> str:
        """Task, algorithm and seed in a line."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return " · ".join(filter(None, (self.task, self.algorithm, seed)))

    @property
    def progress(self) -> str:
        """Iterations, steps and time left in a line."""
        goal = f" of {self.goal:,}" if self.goal else ""
        parts = [f"iteration {self.iteration:,}{goal}", f"{format_count(self.env_steps)} steps"]
        if self.left_s is not None:
            parts.append(f"{format_duration(self.left_s)} left")
        if self.health == "running" and (self.silent_s or 0.0) > SILENT_S:
            parts.append(f"silent for {format_duration(self.silent_s or 0.0)}")
        return " · ".join(parts)

    @property
    def share(self) -> float:
        """Share of the iterations that is done, from 0 to 1."""
        return min(self.iteration / self.goal, 1.0) if self.goal else 0.0

    @property
    def policies(self) -> list[str]:
        """What the policies are called."""
        return [policy_name(policy, self.num_policies) for policy in range(self.num_policies)]

    @property
    def kl(self) -> NDArray[np.float64] | None:
        """The newest KL matrix [M, M] in nats; None without one."""
        return self.snapshots[-1].kl_matrix if self.snapshots else None

    @property
    def kl_note(self) -> str:
        """What :attr:`kl` is, in a line."""
        steps = f" after {self.snapshots[-1].env_steps:,.0f} steps" if self.snapshots else ""
        return f"KL(row | column) in nats{steps}"

    def column(self, metric: Metric, policy: int | None) -> str | None:
        """Column of a metric's values, of one policy where it has one per policy; None where the run has none."""
        names = [metric.tag] if policy is None else metric.columns(policy, self.num_policies)
        return next((name for name in names if name in self.curves.last), None)

    def table(self) -> dict[str, list[float | None]]:
        """Last value of every policy by label of :data:`~cpo_rl.runs.metric_names.WATCHED`, where a policy has any."""
        rows: dict[str, list[float | None]] = {}
        for label, tag in WATCHED.items():
            metric = next((row for row in METRICS if row.tag == tag), Metric(tag, "", ""))
            columns = [self.column(metric, policy) for policy in range(self.num_policies)]
            if any(columns):
                rows[label] = [self.curves.last[column] if column else None for column in columns]
        return rows

    def lines(self, metric: Metric) -> dict[int | None, NDArray[np.float64]]:
        """Curves [K] of a metric over :meth:`steps` by policy; None stands for one that belongs to no policy."""
        policies: Sequence[int | None] = range(self.num_policies) if metric.per_policy else [None]
        columns = {policy: self.column(metric, policy) for policy in policies}
        return {policy: self.curves.metrics[column] for policy, column in columns.items() if column}

    def steps(self) -> NDArray[np.float64]:
        """Environment steps of the points of every curve [K], iterations where the table lacks them."""
        metrics = self.curves.metrics
        return metrics.get("env_steps", metrics.get("iteration", np.zeros(0)))


def charts(states: Sequence[RunState]) -> list[Metric]:
    """Return the metrics that curves can be drawn of, in reading order: those that some run has."""
    tags = {tag for state in states for tag in state.curves.last}
    return [metric for metric in in_order(tags) if not metric.shown_with and "/" in metric.tag]


class RunReader:
    """Reads one run again and again; tables that have not changed are not read anew.

    Args:
        path: The run folder.
        name: What to call it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._seen: tuple[object, ...] | None = None
        self._curves = Curves()
        self._snapshots: list[Snapshot] = []
        self._problems: list[str] = []

    def read(self) -> RunState:
        """Return the state now; never raises for what the folder holds."""
        run = RunFolder.read(self.path)
        self._read_tables(run)
        size = run.manifest.get("num_policies") or policies_in(self._curves.metrics)
        if self._snapshots:
            size = len(self._snapshots[-1].kl_matrix)
        return RunState(
            name=self.name,
            path=self.path,
            task=printable(run.task or "", 120),
            algorithm=printable(run.algorithm or "", 60),
            seed=run.seed,
            health=run.health(),
            iteration=run.iteration,
            goal=run.max_iterations,
            env_steps=run.manifest.get("env_steps") or 0,
            left_s=run.left_s,
            silent_s=age_s(run.manifest.get("updated")),
            problems=[printable(text) for text in (run.manifest.get("error"), *run.problems, *self._problems) if text],
            num_policies=min(max(size, 1), MAX_POLICIES),
            curves=self._curves,
            snapshots=self._snapshots,
        )

    def _read_tables(self, run: RunFolder) -> None:
        seen = tuple(_mark(file) for file in (run.metrics_file, run.diagnostics_file))
        if seen == self._seen:
            return
        self._seen = seen
        self._curves, self._snapshots, self._problems = Curves(), [], []
        if seen[0] is not None:
            self._curves = read_curves(run.metrics_file)
            for row in METRICS:
                for columns in (self._curves.metrics, self._curves.last):
                    if row.instead_of and row.tag in columns:
                        columns.setdefault(row.instead_of, columns[row.tag])  # type: ignore[arg-type]
        if seen[1] is not None:
            self._snapshots, self._problems = read_snapshots(run.diagnostics_file)
        if self._snapshots:  # an ensemble does not change its size; what else is in the file is damage
            size = len(self._snapshots[-1].kl_matrix)
            self._snapshots = [snapshot for snapshot in self._snapshots if len(snapshot.kl_matrix) == size]
        self._problems = [*self._curves.problems, *self._problems]


def _mark(file: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written; None if there is none to read."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Watch:
    """Runs that are watched together.

    Args:
        places: Run folders, folders of runs or patterns; none for the runs of ``log_root`` that are running now, or
            else the newest one.
        log_root: Folder of all runs.
        task: Only runs of this task; None takes any.

    Raises:
        UserError: If there is no such run.
    """

    def __init__(self, places: list[str], log_root: str, task: str | None = None) -> None:
        wanted = plain_task(task) if task else None
        runs = [run for run in named_runs(places) if wanted in (None, run.task)] if places else []
        if not places:
            runs = find_runs(log_root, task=task)
            runs = [run for run in runs if run.health() == "running"] or runs[-1:]
        if not runs:
            of_task = f" of task {task!r}" if task else ""
            raise UserError(
                f"There is no run{of_task} in {' '.join(places) or log_root!r}; train one, or name its folder."
            )
        self.left_out = max(len(runs) - MOST_RUNS, 0)
        """Older runs that are not watched, because they are too many."""
        paths = [run.path for run in runs[-MOST_RUNS:]]
        short = [path.name for path in paths]
        names = [path.name if short.count(path.name) == 1 else f"{path.parent.name}/{path.name}" for path in paths]
        self._readers = [RunReader(path, shown(name)) for path, name in zip(paths, names, strict=True)]
        self._took_s = 0.0

    def read(self) -> list[RunState]:
        """Return the state of every run, oldest first."""
        started = time.perf_counter()
        states = [reader.read() for reader in self._readers]
        self._took_s = time.perf_counter() - started
        return states

    def pause_s(self, interval_s: float) -> float:
        """Return how long to wait before reading again [s]: longer than asked for where reading takes its time."""
        return max(interval_s, self._took_s / _BUSY)

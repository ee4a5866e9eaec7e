# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The runs of a report: each a run folder with the curves and matrices that figures show.

A run folder (docs/run_folder.md) may be incomplete: the run was killed, a disk was full, files were copied selectively.
Nothing here raises for that; whatever cannot be read is listed in `Run.problems` in words the report prints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpo_rl.runs.configs import FlatConfig, read_config
from cpo_rl.runs.curves import Curves, Snapshot, read_curves, read_snapshots
from cpo_rl.runs.files import printable, shown
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import METRICS, policies_in
from cpo_rl.threads import usable_cores, worker_processes

RUNS_PER_WORKER = 10
"""Below this many runs a second process takes longer to start than it saves."""


@dataclass
class Run:
    """What a report shows of one run folder."""

    folder: RunFolder
    """The folder, with what its manifest says."""
    config: FlatConfig | None = None
    """Dotted keys of params/env.yaml and params/agent.yaml; None if either could not be read."""
    curves: Curves = field(default_factory=Curves)
    """Columns of metrics.csv, averaged down."""
    snapshots: list[Snapshot] = field(default_factory=list)
    """Evenly spaced KL matrices."""
    problems: list[str] = field(default_factory=list)
    """Sentences about what is missing or damaged."""

    @property
    def name(self) -> str:
        """Folder name with its parent, which is the experiment."""
        return shown(f"{self.folder.path.parent.name}/{self.folder.path.name}")

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of manifest.json; empty if there is none or it cannot be read."""
        return self.folder.manifest

    @property
    def task(self) -> str:
        """Task id, or the experiment folder's name in parentheses if the folder does not say it."""
        return printable(self.folder.task or f"({shown(self.folder.path.parent.name)})", 200)

    @property
    def algorithm(self) -> str:
        """Preset name (cpo, sapg, pbt, ppo, ...) or 'unknown'."""
        return printable(self.folder.algorithm or "unknown", 100)

    @property
    def status(self) -> str:
        """How the run ended or stands; 'lost' if its process vanished, 'unknown' without a manifest."""
        return self.folder.health()

    @property
    def seed(self) -> int | None:
        """Random seed, None if unknown."""
        return self.folder.seed

    @property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Binned columns of metrics.csv, all of one length; NaN where a value is missing."""
        return self.curves.metrics

    @property
    def num_rows(self) -> int:
        """Iterations found in metrics.csv."""
        return self.curves.num_rows

    @property
    def end(self) -> dict[str, float]:
        """Iteration, environment steps and wall-clock time [s] of the last row, not averaged."""
        return self.curves.end

    def curve(self, tag: str) -> NDArray[np.float64] | None:
        """Binned values [K] of a metric, None if the column is absent or holds no finite number."""
        values = self.metrics.get(tag)
        return values if values is not None and np.isfinite(values).any() else None

    def median(self, tag: str) -> float:
        """Median of a metric over the run; NaN if there is none."""
        values = self.curve(tag)
        return float(np.nanmedian(values)) if values is not None else float("nan")


def read_run(path: Path) -> Run:
    """Reads one run folder; never raises for its content.

    Args:
        path: The run folder.

    Returns:
        Everything that could be read, with the rest described in `Run.problems`.
    """
    run = Run(RunFolder.read(path))
    run.problems += run.folder.problems
    if not run.manifest and not any(problem.startswith(RunFolder.MANIFEST) for problem in run.problems):
        run.problems.append(f"{RunFolder.MANIFEST} is missing.")
    run.config = read_config(run.folder.path, run.problems)
    if run.config is not None and (other := run.folder.initialized_from):  # no seed of runs that began anew
        run.config["initialized_from"] = json.dumps(f"{other['file']} {other['sha256'][:8]}")
    run.curves = read_curves(run.folder.metrics_file)
    for row in METRICS:
        if row.tag in run.metrics and row.instead_of:  # an algorithm of rsl_rl's own: one policy
            run.metrics.setdefault(row.instead_of, run.metrics[row.tag])
    run.problems += run.curves.problems
    _read_snapshots(run)
    if not run.folder.checkpoint_numbers():
        run.problems.append("No checkpoint (model_<iteration>.pt).")
    return run


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads run folders, many of them on several cores.

    Args:
        folders: Run folders.

    Returns:
        One entry per folder, in the same order.
    """
    workers = min(len(folders) // RUNS_PER_WORKER, usable_cores(), 8)
    if workers < 2:
        return [read_run(folder) for folder in folders]
    with worker_processes(workers) as pool:
        return list(pool.map(read_run, folders, chunksize=4))


def _read_snapshots(run: Run) -> None:
    """Reads the KL matrices; an ensemble of one has nothing to diagnose, so their absence is no problem there."""
    is_ensemble = policies_in(run.metrics) > 1
    if not run.folder.diagnostics_file.is_file():
        if is_ensemble:
            run.problems.append("diagnostics.jsonl is missing: no KL maps.")
        return
    run.snapshots, problems = read_snapshots(run.folder.diagnostics_file)
    run.problems += problems
    if not run.snapshots and is_ensemble:
        run.problems.append("diagnostics.jsonl holds no KL matrix.")

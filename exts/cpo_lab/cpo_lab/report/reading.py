# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading of run folders: tolerant of damage, bounded in memory.

A run folder (docs/run_folder.md) may be incomplete: the run was killed, a disk was full, files were copied selectively.
Nothing here raises for that; whatever cannot be read is listed in `Run.problems` in words the report prints.

Long runs are averaged down while they are read: `metrics.csv` goes through in blocks of rows into at most `MAX_POINTS`
bins, and only the columns a figure uses are converted to numbers.
"""

from __future__ import annotations

import csv
import glob
import itertools
import json
import multiprocessing
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpo_lab.report.configs import FlatConfig, read_config
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RUN_FORMAT, RunFolder

MAX_POINTS = 400
"""Largest number of points kept per curve; a figure is about 300 pixels wide."""
MAX_SNAPSHOTS = 40
"""Largest number of diagnostics lines kept per run."""
RUNS_PER_WORKER = 10
"""Below this many runs a second process takes longer to start than it saves."""
_BLOCK_ROWS = 1024
_MARKERS = ("manifest.json", "metrics.csv", "run.json", "diagnostics.jsonl", "params")
_AXES = ("iteration", "env_steps", "wall_clock_s")
_WANTED = re.compile(
    r"Leader/.+|Train/mean_reward|Policy_\d+/.+|Ensemble/.+|Discriminator/(accuracy|chance|bonus)|"
    r"Optimization/(learning_rate|kl|grad_norm|skipped_updates)|Value/explained_variance|"
    r"Perf/(env_steps_per_s|collection_s|update_s)|Loss/entropy"
)
"""Columns that appear in a figure; all others are skipped without being converted."""


@dataclass
class Snapshot:
    """One line of diagnostics.jsonl."""

    env_steps: float
    """Environment steps done when it was taken."""
    kl_matrix: NDArray[np.float64]
    """Inter-policy KL [M, M] in nats: row i, column j is KL(policy i || policy j) on the states of block i."""


@dataclass
class Run:
    """What could be read from one run folder."""

    path: Path
    """The folder."""
    manifest: dict[str, Any] = field(default_factory=dict)
    """Content of manifest.json merged over run.json; empty if both are unreadable."""
    config: FlatConfig | None = None
    """Dotted keys of params/env.yaml and params/agent.yaml; None if neither could be read."""
    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Binned columns of metrics.csv, all of one length K <= MAX_POINTS; NaN where a value is missing."""
    num_rows: int = 0
    """Iterations found in metrics.csv."""
    end: dict[str, float] = field(default_factory=dict)
    """Iteration, environment steps and wall-clock time [s] of the last row, not averaged."""
    snapshots: list[Snapshot] = field(default_factory=list)
    """Evenly spaced KL matrices."""
    problems: list[str] = field(default_factory=list)
    """Sentences about what is missing or damaged."""

    @property
    def name(self) -> str:
        """Folder name with its parent, which is the experiment."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def task(self) -> str:
        """Task id, or the experiment folder's name in parentheses if no manifest says it."""
        return str(self.manifest.get("task") or f"({self.path.parent.name})")

    @property
    def algorithm(self) -> str:
        """Preset name (cpo, sapg, pbt, ppo, ...) or 'unknown'."""
        return str(self.manifest.get("algorithm") or "unknown")

    @property
    def status(self) -> str:
        """How the run ended or stands; 'lost' if its process vanished, 'unknown' without a manifest."""
        if "status" not in self.manifest:
            return "unknown"
        return RunFolder(self.path, self.manifest).health()

    @property
    def seed(self) -> int | None:
        """Random seed, None if unknown."""
        value = self.manifest.get("seed")
        return int(value) if isinstance(value, (int, float)) else None

    def curve(self, tag: str) -> NDArray[np.float64] | None:
        """Binned values [K] of a metric, None if the column is absent or holds no finite number."""
        values = self.metrics.get(tag)
        return values if values is not None and np.isfinite(values).any() else None

    def median(self, tag: str) -> float:
        """Median of a metric over the run; NaN if there is none."""
        values = self.curve(tag)
        return float(np.nanmedian(values)) if values is not None else float("nan")


def find_runs(patterns: Sequence[str | Path]) -> list[Path]:
    """Run folders named by paths or globs; a folder that only contains run folders stands for all of them.

    Args:
        patterns: Folders or glob patterns.

    Returns:
        Existing run folders, without duplicates, in alphabetical order per pattern.

    Raises:
        UserError: If a pattern matches nothing, or matches no run folder.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(Path(p) for p in glob.glob(str(pattern), recursive=True)) or [Path(pattern)]
        folders = [p for p in matches if p.is_dir()]
        if not folders:
            raise UserError(f"RUN {str(pattern)!r} matches no folder; give a run folder such as logs/rsl_rl/TASK/DATE.")
        runs = [run for folder in folders for run in _runs_below(folder)]
        if not runs:
            raise UserError(f"RUN {str(pattern)!r} holds no run: none of {', '.join(_MARKERS)} is in it or below it.")
        found.update(dict.fromkeys(run.resolve() for run in runs))
    return list(found)


def read_run(path: Path) -> Run:
    """Reads one run folder; never raises for its content.

    Args:
        path: The run folder.

    Returns:
        Everything that could be read, with the rest described in `Run.problems`.
    """
    run = Run(Path(path))
    stock = _read_json(run, "run.json", required=False)
    run.manifest = {**stock, **_read_json(run, "manifest.json", required=True)}
    if isinstance(version := run.manifest.get("format", 1), int) and version > RUN_FORMAT:
        run.problems.append(f"manifest.json has format {version}; this version of the report knows up to {RUN_FORMAT}.")
    run.config = read_config(run.path, run.problems)
    _read_metrics(run)
    _read_diagnostics(run)
    if not any(run.path.glob("model_*.pt")):
        run.problems.append("No checkpoint (model_<iteration>.pt).")
    return run


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads run folders, many of them on several cores.

    Args:
        folders: Run folders.

    Returns:
        One entry per folder, in the same order.
    """
    workers = min(len(folders) // RUNS_PER_WORKER, os.cpu_count() or 1, 8)
    if workers < 2:
        return [read_run(folder) for folder in folders]
    # Spawned, not forked: the caller may have threads, such as a progress display.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(read_run, folders, chunksize=4))


def _runs_below(folder: Path, depth: int = 3) -> list[Path]:
    if any((folder / marker).exists() for marker in _MARKERS):
        return [folder]
    if depth == 0:
        return []
    children = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [run for child in children for run in _runs_below(child, depth - 1)]


def _read_json(run: Run, name: str, *, required: bool) -> dict[str, Any]:
    file = run.path / name
    if not file.is_file():
        if required:
            run.problems.append(f"{name} is missing.")
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        run.problems.append(f"{name} is damaged ({_reason(error)}).")
        return {}
    if not isinstance(content, dict):
        run.problems.append(f"{name} is damaged (not a JSON object).")
        return {}
    return content


def _read_metrics(run: Run) -> None:
    file = run.path / "metrics.csv"
    if not file.is_file():
        run.problems.append("metrics.csv is missing: no curves.")
        return
    try:
        num_lines = _count_lines(file)
        with file.open(encoding="utf-8", errors="replace", newline="") as stream:
            lines = itertools.islice(stream, num_lines)
            header = next(csv.reader([next(lines, "")]), [])
            # Cells are plain numbers: splitting at commas keeps a stray quote in a damaged row from swallowing others.
            _bin_rows(run, header, (line.rstrip("\r\n").split(",") for line in lines), num_lines - 1)
    except (OSError, csv.Error) as error:
        run.problems.append(f"metrics.csv is damaged ({_reason(error)}).")
    if not run.metrics:
        run.problems.append("metrics.csv holds no complete row: no curves.")


def _count_lines(file: Path) -> int:
    """Complete lines only: a last line without its newline was cut off while being written, even if it parses."""
    with file.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def _bin_rows(run: Run, header: list[str], cells: Iterator[list[str]], num_rows: int) -> None:
    """Averages the wanted columns of consecutive rows into at most MAX_POINTS bins."""
    missing = [name for name in _AXES if name not in header]
    if missing:
        run.problems.append(f"metrics.csv has no column {', '.join(missing)}.")
    wanted = [i for i, name in enumerate(header) if name in _AXES or _WANTED.fullmatch(name)]
    if not wanted or num_rows < 1 or "iteration" not in header:
        return
    iteration = header.index("iteration")
    per_bin = -(-num_rows // MAX_POINTS)
    sums = np.zeros((MAX_POINTS + 1, len(wanted)))
    counts = np.zeros_like(sums)
    seen = damaged = invalid = 0
    while block := list(itertools.islice(cells, _BLOCK_ROWS)):
        rows = [_padded(row, len(header)) for row in block if iteration < len(row) <= len(header)]
        values, bad = _numbers([row[i] for row in rows for i in wanted])
        if bad or not np.isfinite(values[wanted.index(iteration) :: len(wanted)]).all():
            rows = [row for row in rows if np.isfinite(_numbers([row[iteration]])[0][0])]
            values, bad = _numbers([row[i] for row in rows for i in wanted])
        values = values.reshape(len(rows), len(wanted))
        damaged += len(block) - len(values)
        invalid += bad
        bins = (seen + np.arange(len(values))) // per_bin
        finite = np.isfinite(values)
        np.add.at(sums, bins, np.where(finite, values, 0.0))
        np.add.at(counts, bins, finite)
        if len(values):
            run.end = {header[i]: float(v) for i, v in zip(wanted, values[-1], strict=True) if header[i] in _AXES}
        seen += len(values)
    if damaged:
        run.problems.append(f"metrics.csv has {damaged} damaged row(s), left out.")
    if invalid:
        run.problems.append(f"metrics.csv has {invalid} cell(s) that are not numbers, left out.")
    run.num_rows = seen
    used = -(-seen // per_bin)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)[:used]
    run.metrics = {header[i]: means[:, k] for k, i in enumerate(wanted)} if used else {}
    if used and "Leader/return" not in run.metrics and "Train/mean_reward" in run.metrics:
        run.metrics["Leader/return"] = run.metrics["Train/mean_reward"]  # an algorithm of rsl_rl's own: one policy


def _padded(row: list[str], length: int) -> list[str]:
    """A row written before a metric first appeared is shorter than the header; its missing cells are empty."""
    return row if len(row) == length else row + [""] * (length - len(row))


def _numbers(cells: list[str]) -> tuple[NDArray[np.float64], int]:
    """Cells as floats, NaN for empty or malformed ones, and how many were malformed."""
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells]), 0
    except ValueError:
        pass
    values, bad = np.full(len(cells), np.nan), 0
    for k, cell in enumerate(cells):
        try:
            values[k] = float(cell) if cell else np.nan
        except ValueError:
            bad += 1
    return values, bad


def _read_diagnostics(run: Run) -> None:
    """Evenly spaced lines of diagnostics.jsonl, found by seeking: a long file costs no more than a short one."""
    file = run.path / "diagnostics.jsonl"
    if not file.is_file():
        if _is_ensemble(run):
            run.problems.append("diagnostics.jsonl is missing: no KL maps.")
        return
    damaged = 0
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            for line in _spread_lines(stream, size):
                try:
                    snapshot = _parse_snapshot(line)
                except (ValueError, TypeError):
                    damaged += 1
                    continue
                if snapshot and (not run.snapshots or snapshot.env_steps > run.snapshots[-1].env_steps):
                    run.snapshots.append(snapshot)
    except OSError as error:
        run.problems.append(f"diagnostics.jsonl is damaged ({_reason(error)}).")
    if damaged:
        run.problems.append(f"diagnostics.jsonl has {damaged} damaged line(s) among those read, left out.")
    if not run.snapshots and _is_ensemble(run):
        run.problems.append("diagnostics.jsonl holds no KL matrix.")


def _spread_lines(stream: Any, size: int) -> Iterator[bytes]:
    """The first, the last and evenly spaced complete lines of a file opened in binary mode."""
    offset = 0
    for k in range(MAX_SNAPSHOTS + 1):
        target = size * k // MAX_SNAPSHOTS
        if k == MAX_SNAPSHOTS:
            stream.seek(max(offset, size - (1 << 20)))
            tail = [line for line in stream.read().split(b"\n")[:-1] if line.strip()]
            if tail:
                yield tail[-1]
            return
        if target > offset:
            stream.seek(target - 1)
            stream.readline()
        else:
            stream.seek(offset)
        line = stream.readline()
        offset = stream.tell()
        if line.endswith(b"\n") and line.strip():
            yield line


def _parse_snapshot(line: bytes) -> Snapshot | None:
    """Reads one line; None if it holds no matrix of two or more policies.

    Raises:
        ValueError: If the line is no JSON object or its matrix is not square.
        TypeError: If a number is missing.
    """
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    if "kl_matrix" not in entry:
        return None
    matrix = np.array(entry["kl_matrix"], dtype=np.float64)
    steps: Any = entry.get("env_steps", entry.get("iteration"))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError("the matrix is not square")
    return Snapshot(float(steps), matrix) if len(matrix) > 1 else None


def _is_ensemble(run: Run) -> bool:
    """Whether the metrics mention more than one policy; an ensemble of one has nothing to diagnose."""
    return any(tag.startswith(("Policy_1/", "Ensemble/kl_to_leader")) for tag in run.metrics)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

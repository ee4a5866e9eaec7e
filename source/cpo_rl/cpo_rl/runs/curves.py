# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Curves and matrices of a run for pictures: tolerant of damage, bounded in time and memory.

A long ``metrics.csv`` goes through in blocks of rows into at most :data:`MAX_POINTS` bins; of ``diagnostics.jsonl``
evenly spaced lines are read. Nothing here raises for what a file
holds: whatever cannot be read is told in a sentence.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cpo_rl.runs.files import open_file, parse_json, reason
from cpo_rl.runs.tables import AXES, TableRows, open_rows, split_row

MAX_POINTS = 400
"""Largest number of points kept per curve; a figure is about 300 pixels wide."""

MAX_SNAPSHOTS = 40
"""Largest number of diagnostics lines kept per run."""

MAX_COLUMNS = 2000
"""Columns of a metrics table that are read; the others are told."""

MAX_POLICIES = 128
"""Largest matrix that is read, in policies."""

LEAST_ESS = 0.05
"""Pooled effective sample size below which followers' data are worth next to nothing, while training and afterwards."""

MOST_CLIPPED = 0.98
"""Share of borrowed rows outside the clip range above which the leader learns next to nothing from them."""

_MAX_LINE = 1 << 22  # bytes of a line of ``diagnostics.jsonl`` that are read; a matrix of 128 policies has 400,000

_BLOCK_ROWS = 1024


@dataclass
class Curves:
    """Columns of a metrics table, averaged down."""

    metrics: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Binned columns, all of one length K <= :data:`MAX_POINTS`; NaN where a value is missing."""

    num_rows: int = 0
    """Iterations found in the table."""

    end: dict[str, float] = field(default_factory=dict)
    """Iteration, environment steps and wall-clock time [s] of the last row, not averaged."""

    last: dict[str, float] = field(default_factory=dict)
    """Last finite value of every column that has one, not averaged."""

    problems: list[str] = field(default_factory=list)
    """Sentences about what is missing or damaged."""


@dataclass
class Snapshot:
    """One line of ``diagnostics.jsonl``."""

    env_steps: float
    """Environment steps done when it was taken."""

    kl_matrix: NDArray[np.float64]
    """Inter-policy KL [M, M] in nats: row i, column j is KL(policy i || policy j) on the states of block i."""


def read_curves(path: Path) -> Curves:
    """Read a metrics table, averaging consecutive rows into at most :data:`MAX_POINTS` bins.

    Args:
        path: The ``metrics.csv`` of a run.
    """
    curves = Curves()
    if not path.is_file():
        curves.problems.append(f"{path.name} is missing: no curves.")
        return curves
    try:
        with open_rows(path) as table:
            _bin_rows(curves, table, path.name)
    except (OSError, csv.Error) as error:
        curves.problems.append(f"{path.name} is damaged ({reason(error)}).")
    if not curves.metrics:
        curves.problems.append(f"{path.name} holds no complete row: no curves.")
    return curves


def _bin_rows(curves: Curves, table: TableRows, name: str) -> None:
    """Average consecutive rows into at most MAX_POINTS bins."""
    header, columns = table.header[:MAX_COLUMNS], len(table.header)
    if columns > MAX_COLUMNS:
        curves.problems.append(f"{name} has {columns:,} columns; the first {MAX_COLUMNS:,} are read.")
    missing = [axis for axis in AXES if axis not in header]
    if missing:
        curves.problems.append(f"{name} has no column {', '.join(missing)}.")
    if table.count < 1 or "iteration" not in header:
        return
    iteration = header.index("iteration")
    per_bin = -(-table.count // MAX_POINTS)
    sums = np.zeros((MAX_POINTS + 1, len(header)))
    counts = np.zeros_like(sums)
    seen = damaged = invalid = 0
    while block := list(itertools.islice(table.lines, _BLOCK_ROWS)):
        values, bad = _read_block(block, columns, iteration)
        values = values[:, : len(header)]
        damaged += len(block) - len(values)
        invalid += bad
        bins = (seen + np.arange(len(values))) // per_bin
        finite = np.isfinite(values)
        if len(values):
            starts = np.flatnonzero(np.diff(bins, prepend=-1))
            sums[bins[starts]] += np.add.reduceat(np.where(finite, values, 0.0), starts)
            counts[bins[starts]] += np.add.reduceat(finite, starts, dtype=np.int64)
            curves.end = {column: float(v) for column, v in zip(header, values[-1], strict=True) if column in AXES}
            newest = len(values) - 1 - finite[::-1].argmax(axis=0)  # row of each column's last finite value
            known = finite.any(axis=0)
            curves.last |= {header[i]: float(values[newest[i], i]) for i in np.flatnonzero(known)}
        seen += len(values)
    if damaged:
        curves.problems.append(f"{name} has {damaged} damaged row(s), left out.")
    if invalid:
        curves.problems.append(f"{name} has {invalid} cell(s) that are not numbers, left out.")
    curves.num_rows = seen
    used = -(-seen // per_bin)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)[:used]
    curves.metrics = {column: means[:, i] for i, column in enumerate(header)} if used else {}


def _read_block(lines: list[str], width: int, iteration: int) -> tuple[NDArray[np.float64], int]:
    """Convert rows to numbers.

    Args:
        lines: The rows.
        width: Columns of the table.
        iteration: Position of the column that every sound row has a number in.

    Returns:
        Values [n, width] of the n sound rows, NaN for empty or malformed cells, and the number of malformed ones.
    """
    try:  # three times as fast as cell by cell, for rows that are whole
        values = np.loadtxt([_filled(line) for line in lines], delimiter=",", comments=None, ndmin=2)
        if values.shape[1] == width and np.isfinite(values[:, iteration]).all():
            return values, 0
    except ValueError:
        pass
    rows = [_padded(cells, width) for cells in map(split_row, lines) if iteration < len(cells) <= width]
    rows = [row for row in rows if np.isfinite(_numbers([row[iteration]])[0][0])]
    values, malformed = _numbers([cell for row in rows for cell in row])
    return values.reshape(len(rows), width), malformed


def _filled(line: str) -> str:
    """Return a row with a word in its empty cells."""
    if ",," in line:
        line = line.replace(",,", ",nan,").replace(",,", ",nan,")
    return f"{line}nan" if line.endswith(",") else line or "empty"


def _padded(row: list[str], length: int) -> list[str]:
    """Return a row of the header's length; the missing cells of one written before a metric appeared are empty."""
    return row if len(row) == length else row + [""] * (length - len(row))


def _numbers(cells: list[str]) -> tuple[NDArray[np.float64], int]:
    """Return cells as floats, NaN for empty or malformed ones, and how many were malformed."""
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


def read_snapshots(path: Path) -> tuple[list[Snapshot], list[str]]:
    """Read evenly spaced KL matrices, found by seeking: a long file costs no more than a short one.

    Args:
        path: The ``diagnostics.jsonl`` of a run; it must exist.

    Returns:
        At most :data:`MAX_SNAPSHOTS` + 1 matrices of two or more policies, in rising order of environment steps, and
        sentences about what is damaged.
    """
    found: list[Snapshot] = []
    problems: list[str] = []
    damaged = 0
    try:
        with open_file(path) as stream:
            size = stream.seek(0, 2)
            for line in _spread_lines(stream, size):
                try:
                    snapshot = _parse_snapshot(line)
                except (ValueError, TypeError, OverflowError):
                    damaged += 1
                    continue
                if snapshot and (not found or snapshot.env_steps > found[-1].env_steps):
                    found.append(snapshot)
    except OSError as error:
        problems.append(f"{path.name} is damaged ({reason(error)}).")
    if damaged:
        problems.append(f"{path.name} has {damaged} damaged line(s) among those read, left out.")
    return found, problems


def _spread_lines(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the first, the last and evenly spaced complete lines of a file opened in binary mode."""
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
            stream.readline(_MAX_LINE)
        else:
            stream.seek(offset)
        line = stream.readline(_MAX_LINE)
        offset = stream.tell()
        if line.endswith(b"\n") and line.strip():
            yield line


def _parse_snapshot(line: bytes) -> Snapshot | None:
    """Read one line; None if it holds no matrix of two or more policies.

    Raises:
        ValueError: If the line is no JSON object or its matrix is not square.
        TypeError: If a number is missing.
        OverflowError: If a number has no form as a float.
    """
    entry = parse_json(line.decode("utf-8"))
    if "kl_matrix" not in entry:
        return None
    matrix = np.array(entry["kl_matrix"], dtype=np.float64)
    steps: Any = entry.get("env_steps", entry.get("iteration"))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) > MAX_POLICIES:
        raise ValueError("the matrix is not square, or too large")
    return Snapshot(float(steps), matrix) if len(matrix) > 1 else None

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The two growing files of a run: ``metrics.csv`` (a row per iteration) and ``diagnostics.jsonl`` (an object a line).

Both are appended with one write per line, so a kill can at most leave a last line without its newline; readers ignore
such a line and :meth:`truncate_after` removes it when a run continues.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpo_rl.runs.files import write_text

AXES = ("iteration", "env_steps", "wall_clock_s")
"""Leading columns of every metrics table."""


def complete_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of ``path`` that end in a newline, without it; empty if the file does not exist."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def _number(cell: str) -> float:
    """Return the value of a table cell; NaN for an empty or unreadable one."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Read a metrics table into one list per column; NaN where a value is not available.

    Args:
        path: The ``metrics.csv`` of a run; a missing file reads as an empty table.

    Returns:
        Column name to values, all lists equally long.
    """
    lines = complete_lines(path)
    if not lines:
        return {}
    header, *rows = csv.reader(lines)
    return {name: [_number(row[i]) if i < len(row) else math.nan for row in rows] for i, name in enumerate(header)}


def _append(path: Path, line: str) -> None:
    """Append one line with a single write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8"))
    finally:
        os.close(descriptor)


def _row(cells: list[str]) -> str:
    """Return cells as one CSV line."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cell(value: object) -> str:
    """Return a number with nine significant digits (all that float32 holds), integers exactly, other things empty."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value:.9g}" if math.isfinite(value) else str(value)


class MetricsTable:
    """``metrics.csv``: the axes, then one column per metric in order of first appearance.

    A metric that appears later than the first row extends the header: the file is rewritten atomically, earlier rows
    keep fewer cells, which readers take as not available.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        lines = complete_lines(self.path)
        self.columns: list[str] = next(csv.reader(lines[:1])) if lines else list(AXES)

    def append(self, iteration: int, env_steps: int, wall_clock_s: float, metrics: Mapping[str, float]) -> None:
        """Add the row of one finished iteration.

        Args:
            iteration: Number of finished iterations, counted from 1.
            env_steps: Environment steps taken so far by all ranks together.
            wall_clock_s: Training time so far, interruptions left out [s].
            metrics: Values by TensorBoard tag; infinities and NaN are written as ``inf`` and ``nan``.

        Raises:
            OSError: If the disk is full or read-only.
        """
        new = [name for name in metrics if name not in self.columns]
        if new or not self.path.exists():
            columns = self.columns + new
            rows = complete_lines(self.path)[1:]
            write_text(self.path, _row(columns) + "".join(row + "\n" for row in rows))
            self.columns = columns
        axes = {"iteration": iteration, "env_steps": env_steps, "wall_clock_s": round(wall_clock_s, 3)}
        _append(self.path, _row([_cell(axes.get(name, metrics.get(name))) for name in self.columns]))

    def truncate_after(self, iteration: int) -> int:
        """Remove rows later than ``iteration`` (and a half-written last line); return how many complete rows went."""
        lines = complete_lines(self.path)
        if not lines:
            return 0
        position = self.columns.index("iteration")
        kept = [
            line
            for line, cells in zip(lines[1:], csv.reader(lines[1:]), strict=True)
            if position < len(cells) and _number(cells[position]) <= iteration
        ]
        text = "\n".join([lines[0], *kept]) + "\n"
        if len(text.encode("utf-8")) != self.path.stat().st_size:
            write_text(self.path, text)
        return len(lines) - 1 - len(kept)


class DiagnosticsFile:
    """``diagnostics.jsonl``: matrices that do not fit a table, such as the inter-policy KL of an iteration."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def append(self, iteration: int, env_steps: int, values: Mapping[str, Any]) -> None:
        """Add one object with ``iteration``, ``env_steps`` and ``values`` (plain lists and numbers)."""
        _append(self.path, json.dumps({"iteration": iteration, "env_steps": env_steps, **values}) + "\n")

    def truncate_after(self, iteration: int) -> None:
        """Remove objects later than ``iteration`` and a half-written last line."""
        if self.path.exists():
            kept = [line for line in complete_lines(self.path) if json.loads(line)["iteration"] <= iteration]
            text = "".join(line + "\n" for line in kept)
            if len(text.encode("utf-8")) != self.path.stat().st_size:
                write_text(self.path, text)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The growing files of a run: ``metrics.csv`` (a row per iteration) and files with a JSON object per line.

Both are appended with one write per line, so a kill can at most leave a last line without its newline; readers ignore
such a line and ``truncate_after`` removes it when a run continues. :mod:`~cpo_rl.runs.curves` reads long tables for
pictures.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpo_rl.runs.files import parse_json, write_text

_log = logging.getLogger(__name__)

AXES = ("iteration", "env_steps", "wall_clock_s")
"""Leading columns of every metrics table."""


def complete_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of ``path`` that end in a newline, without it; empty if the file does not exist.

    Bytes that are no UTF-8 are replaced, so that a damaged line costs that line only.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def _append(path: Path, line: str) -> None:
    """Append one line with a single write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode("utf-8"))
    finally:
        os.close(descriptor)


# -- metrics.csv -------------------------------------------------------------------------------------------------------


@dataclass
class TableRows:
    """The complete rows of a metrics table, to be gone through once."""

    header: list[str]
    """Names of the columns; empty if the file has no complete line."""

    count: int
    """Rows there are, damaged ones included."""

    lines: Iterator[str]
    """The rows, without line ends. A row written before a metric first appeared has fewer cells than the header."""


@contextmanager
def open_rows(path: str | os.PathLike[str]) -> Iterator[TableRows]:
    """Open a metrics table for reading; a last line without its newline was cut off while being written, and is none.

    Args:
        path: The ``metrics.csv`` of a run.

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    with open(path, encoding="utf-8", errors="replace", newline="\n") as stream:
        complete = itertools.islice(stream, lines)
        header = _header(next(complete, ""))
        yield TableRows(header, max(lines - 1, 0), (line.rstrip("\r\n") for line in complete))


def split_row(line: str) -> list[str]:
    """Return the cells of a row: plain numbers, so a stray quote in a damaged row does not swallow others."""
    return line.split(",")


def _header(line: str) -> list[str]:
    """Return the column names of a table's first line; empty if it is damaged."""
    try:
        return next(csv.reader([line.rstrip("\r\n")]), [])
    except csv.Error:
        return []


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Read a metrics table into one list per column; NaN where a value is not available.

    Args:
        path: The ``metrics.csv`` of a run; a missing file reads as an empty table.

    Returns:
        Column name to values, all lists equally long.
    """
    try:
        with open_rows(path) as table:
            rows = [split_row(line) for line in table.lines]
            return {name: [_number(row, i) for row in rows] for i, name in enumerate(table.header)}
    except FileNotFoundError:
        return {}


def _number(cells: list[str], position: int) -> float:
    """Return the value of a cell; NaN for one that is absent, empty or unreadable."""
    try:
        return float(cells[position])
    except (IndexError, ValueError):
        return math.nan


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
        self.columns: list[str] = _header(lines[0]) if lines else list(AXES)

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
        """Remove rows later than ``iteration``, unreadable ones and a half-written last line.

        A file whose header names no iterations is put aside as ``metrics.csv.damaged``.

        Returns:
            How many complete rows went.
        """
        lines = complete_lines(self.path)
        if not lines:
            return 0
        if "iteration" not in self.columns:
            aside = self.path.with_name(self.path.name + ".damaged")
            _log.warning("%s has a damaged header; it is kept as %s.", self.path.name, aside.name)
            os.replace(self.path, aside)
            self.columns = list(AXES)
            return len(lines) - 1
        position = self.columns.index("iteration")
        kept = [line for line in lines[1:] if _number(line.split(","), position) <= iteration]
        text = "\n".join([lines[0], *kept]) + "\n"
        if len(text.encode("utf-8")) != self.path.stat().st_size:
            write_text(self.path, text)
        return len(lines) - 1 - len(kept)


# -- a JSON object per line --------------------------------------------------------------------------------------------


class JsonLines:
    """A file of objects with the iteration they belong to.

    ``diagnostics.jsonl`` keeps matrices that do not fit a table, such as the inter-policy KL; ``pbt_history.jsonl`` the
    decisions of a population's member.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def append(self, iteration: int, env_steps: int, values: Mapping[str, Any]) -> None:
        """Add one object with ``iteration``, ``env_steps`` and ``values`` (plain lists and numbers).

        Raises:
            OSError: If the disk is full or read-only.
        """
        _append(self.path, json.dumps({"iteration": iteration, "env_steps": env_steps, **values}) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """Return the objects that can be read, oldest first."""
        return [entry for line in complete_lines(self.path) if (entry := _entry(line)) is not None]

    def truncate_after(self, iteration: int) -> None:
        """Remove objects later than ``iteration``, damaged lines and a half-written last one."""
        if self.path.exists():
            lines = complete_lines(self.path)
            kept = [line for line in lines if (entry := _entry(line)) is not None and entry["iteration"] <= iteration]
            text = "".join(line + "\n" for line in kept)
            if len(text.encode("utf-8")) != self.path.stat().st_size:
                write_text(self.path, text)


def _entry(line: str) -> dict[str, Any] | None:
    """Return the object of a line; None if it is damaged or names no iteration."""
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    iteration: Any = entry.get("iteration")
    return entry if type(iteration) in (int, float) and math.isfinite(iteration) else None

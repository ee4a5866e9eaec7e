# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The growing files of a run: ``metrics.csv`` (a row per iteration) and files with a JSON object per line.

Both are appended with one write per line, so a kill can at most leave a last line without its newline; readers ignore
such a line and ``truncate_after`` removes it when a run continues. A line that a full disk took half of is taken back.
Whatever else lies in these files, from a stray byte to a folder of that name, costs what is damaged: readers pass over
it and say how much, a run that continues clears it or puts the file aside. :mod:`~cpo_rl.runs.curves` reads long tables
for pictures.
"""

from __future__ import annotations

import contextlib
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

from cpo_rl.runs.files import open_file, parse_json, put_aside, reason, write_text

_log = logging.getLogger(__name__)

AXES = ("iteration", "env_steps", "wall_clock_s")
"""Leading columns of every metrics table."""


def complete_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of ``path`` that end in a newline, without it; empty if the file does not exist.

    Bytes that are no UTF-8 are replaced, so that a damaged line costs that line only.

    Raises:
        OSError: If it cannot be read, or is no file.
    """
    try:
        with open_file(path) as file:
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1]


def _append(path: Path, line: str) -> None:
    """Append one line, normally with a single write; what a full disk took of it is taken back.

    Raises:
        OSError: If not all of it could be written.
    """
    data = line.encode("utf-8", errors="backslashreplace")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            data = b"\n" + data  # a torn line before stays a line of its own
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
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
    with open_file(path) as stream:
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
        return next(csv.reader([line.removeprefix("\ufeff").rstrip("\r\n")]), [])
    except csv.Error:
        return []


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Read a metrics table into one list per column; NaN where a value is not available.

    Rows that name no iteration are left out, and how many is told as a warning.

    Args:
        path: The ``metrics.csv`` of a run; a missing file reads as an empty table.

    Returns:
        Column name to values, all lists equally long.

    Raises:
        OSError: If the file cannot be read.
    """
    lines = complete_lines(path)
    header = _header(lines[0]) if lines else []
    rows = [split_row(line) for line in lines[1:]]
    if "iteration" in header:
        place, width = header.index("iteration"), len(header)
        sound = [cells for cells in rows if _iteration(cells, place, width) is not None]
        if len(sound) < len(rows):
            _log.warning("%s has %d damaged row(s), left out.", path, len(rows) - len(sound))
        rows = sound
    return {name: [_number(row, i) for row in rows] for i, name in enumerate(header)}


def has_lines(path: str | os.PathLike[str], at_least: int) -> bool:
    """Return whether a file has so many complete lines, reading no more of it than that takes.

    What is there but cannot be read counts as having them.
    """
    lines = 0
    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would wait forever
        return True
    try:
        with open_file(path) as stream:
            while lines < at_least and (block := stream.read(1 << 20)):
                lines += block.count(b"\n")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return lines >= at_least


def _number(cells: list[str], position: int) -> float:
    """Return the value of a cell; NaN for one that is absent, empty or unreadable."""
    try:
        return float(cells[position])
    except (IndexError, ValueError):
        return math.nan


def _iteration(cells: list[str], place: int, width: int) -> int | None:
    """Return the iteration that a row belongs to.

    Args:
        cells: The row.
        place: Position of the column ``iteration``.
        width: Columns of the table; a row with more is damaged.

    Returns:
        The iteration; None for a damaged row.
    """
    number = _number(cells, place)
    return int(number) if len(cells) <= width and number.is_integer() and number >= 0 else None


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
        self.columns: list[str] = list(AXES)
        with contextlib.suppress(OSError):  # what cannot be read is put aside when the run continues
            lines = complete_lines(self.path)
            self.columns = _header(lines[0]) if lines else self.columns

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
        metrics = {" ".join(name.split()): value for name, value in metrics.items()}  # a header is one line
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

        Of rows with the same iteration the last one stays. A file whose header names no iterations, or that cannot be
        read, is put aside as ``metrics.csv.damaged``.

        Returns:
            How many complete rows went.

        Raises:
            OSError: If the disk is full or read-only.
        """
        try:
            lines = complete_lines(self.path)
        except OSError as error:
            put_aside(self.path, f"cannot be read ({reason(error)})")
            self.columns = list(AXES)
            return 0
        if not lines:
            self.path.unlink(missing_ok=True)  # what has no complete line has no header
            self.columns = list(AXES)
            return 0
        if "iteration" not in self.columns:
            put_aside(self.path, "has a damaged header")
            self.columns = list(AXES)
            return len(lines) - 1
        place, width = self.columns.index("iteration"), len(self.columns)
        kept = {n: line for line in lines[1:] if (n := _iteration(split_row(line), place, width)) is not None}
        kept = {n: kept[n] for n in sorted(kept) if n <= iteration}
        text = "\n".join([lines[0], *kept.values()]) + "\n"
        if text.encode("utf-8") != self.path.read_bytes():
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
        """Return the objects that can be read, oldest first; how many cannot is told as a warning.

        Raises:
            OSError: If the file cannot be read.
        """
        lines = complete_lines(self.path)
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        if len(entries) < len(lines):
            _log.warning("%s has %d damaged line(s), left out.", self.path, len(lines) - len(entries))
        return entries

    def truncate_after(self, iteration: int) -> None:
        """Remove objects later than ``iteration``, damaged lines and a half-written last one.

        What cannot be read at all is put aside as ``<name>.damaged``.

        Raises:
            OSError: If the disk is full or read-only.
        """
        if not os.path.lexists(self.path):
            return
        try:
            lines = complete_lines(self.path)
        except OSError as error:
            put_aside(self.path, f"cannot be read ({reason(error)})")
            return
        kept = [line for line in lines if (entry := _entry(line)) is not None and entry["iteration"] <= iteration]
        text = "".join(line + "\n" for line in kept)
        if not self.path.exists() or text.encode("utf-8") != self.path.read_bytes():
            write_text(self.path, text)


def _entry(line: str) -> dict[str, Any] | None:
    """Return the object of a line; None if it is damaged or names no iteration."""
    try:
        entry = parse_json(line)
    except ValueError:
        return None
    iteration: Any = entry.get("iteration")
    if type(iteration) is float and iteration.is_integer():
        entry["iteration"] = iteration = int(iteration)
    return entry if type(iteration) is int else None

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What experiments leave on disk: a table with a row per finished run, written at once and never repeated; figures."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from cpo_lab.report import style
from cpo_rl.errors import UserError
from cpo_rl.runs.files import write_text


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Hold the table for this process: two commands that add to one table would lose each other's rows.

    Args:
        path: The table; its folder is made.

    Raises:
        UserError: If another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path} is being written by another process; give another --output.") from None
        yield


def read_rows[T](path: Path, kind: Callable[..., T]) -> list[T]:
    """Read a table.

    Args:
        path: CSV with the names of the fields as header; need not exist.
        kind: Dataclass of a row; cells are converted to the types of its fields, empty ones to None.

    Returns:
        Its rows; none if there is no file.

    Raises:
        UserError: If a row is of another kind.
    """
    if not path.exists():
        return []
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        for number, cells in enumerate(csv.DictReader(file), 2):
            try:
                rows.append(kind(**{name: _value(cells[name], fields[name]) for name in fields}))
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                raise UserError(f"{path}, line {number}, is no row of this experiment: {error!r}.") from None
    return rows


def _value(cell: str, kind: str) -> Any:
    """A cell as the value of a field annotated ``kind``."""
    if kind.startswith("bool"):
        return {"True": True, "False": False}[cell]
    if not cell and kind.endswith("None"):
        return None
    for name, convert in (("int", int), ("float", float)):
        if kind.startswith(name):
            return convert(cell)
    return cell


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a table whole or not at all, in the order of the rows."""
    rows = list(rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [f.name for f in dataclasses.fields(rows[0])] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    write_text(path, buffer.getvalue())


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, text kept as text; the same data give the same file."""
    with style.styled(), matplotlib.rc_context({"svg.hashsalt": path.stem}):
        write_text(path, style.SVG_PROLOG + style.svg_of(figure, path.stem) + "\n")

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tables as CSV that spreadsheets open without running anything in them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from cpo_rl.runs.files import printable

_FORMULA = ("=", "+", "-", "@", "|", "%")
"""What a cell begins with that a spreadsheet may take for a formula or a command."""


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV; text that a spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        rows: Cells, line by line; numbers, also those written as text, stay as they are.
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([[_cell(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def _cell(value: object) -> str:
    text = printable(str(value), 32_767)  # a cell holds no more
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        # several numbers in a cell: no operator among them can be one of a formula
        parts = text.split(" ")
        return len(parts) > 1 and all(_is_number(part) for part in parts)
    return True

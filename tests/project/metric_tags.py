# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Finds metric tags in source code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from cpo_rl.runs.metric_names import METRICS

ROOT = Path(__file__).parents[2]
TABLE = "source/cpo_rl/cpo_rl/runs/metric_names.py"
PRODUCERS = (
    "source/cpo_rl/cpo_rl/algorithms/*.py",
    "source/cpo_rl/cpo_rl/runners/loop_hooks.py",
    "source/cpo_rl/cpo_rl/runners/extras.py",
    "exts/cpo_lab/cpo_lab/tasks/**/*.py",
)
"""Where something is measured: only there, and in the table, may a tag stand."""

_GROUPS = sorted({re.sub(r"<\w+>", "", metric.tag.split("/")[0]) for metric in METRICS})
_TAG = re.compile(rf"({'|'.join(_GROUPS)})(\d+|\{{\}})?/[\w{{}}<>]+\$?")


def tags_in(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string literal that looks like a metric's tag; ``{}`` stands for what is filled in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            if _TAG.fullmatch("".join(parts)):
                yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _TAG.fullmatch(node.value):
            yield node.lineno, node.value


def product_files() -> list[Path]:
    """All Python files of the library and the extension."""
    return sorted([*(ROOT / "source").rglob("*.py"), *(ROOT / "exts").rglob("*.py")])


def producers() -> set[Path]:
    """The files that may produce metrics."""
    return {file for pattern in PRODUCERS for file in ROOT.glob(pattern)}

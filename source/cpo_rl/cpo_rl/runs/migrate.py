# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Reading checkpoints of older formats.

====== =================================================================================================================
format difference to the one before
====== =================================================================================================================
0      what rsl_rl's own runner writes: ``iter`` is the index of the last finished iteration; no state of the runner
1      ``format`` is stored; ``iter`` counts finished iterations; ``runner`` holds counters, generators and env state
====== =================================================================================================================

A new format adds one function to :data:`MIGRATIONS` and one stored file to ``tests/cpo_rl/runs/fixtures``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import FORMAT


def _from_rsl_rl(payload: dict[str, Any]) -> dict[str, Any]:
    """Count finished iterations instead of naming the last one, and mark the runner's state as absent."""
    return {**payload, "iter": int(payload["iter"]) + 1, "runner": None}


MIGRATIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_from_rsl_rl,)
"""The step from format i to i + 1 at index i."""


def migrate(payload: Mapping[str, Any], name: str = "checkpoint") -> dict[str, Any]:
    """Return ``payload`` in the current format.

    Args:
        payload: As read from the file.
        name: What to call the file in messages.

    Raises:
        UserError: If it is of a newer format or lacks the entries of any checkpoint.
    """
    version = payload.get("format", 0)
    count = payload.get("iter")
    if type(version) is not int or version < 0 or type(count) is not int or not 0 <= count < 2**53:
        raise UserError(f"{name} lacks the entries 'iter' or 'format' of a training checkpoint; choose another file.")
    if version > FORMAT:
        raise UserError(f"{name} has format {version}; this version reads up to {FORMAT}, update it.")
    current = dict(payload)
    for number in range(version, FORMAT):
        current = {**MIGRATIONS[number](current), "format": number + 1}
    return current

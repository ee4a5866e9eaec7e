# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How the health of a run looks in a terminal."""

from __future__ import annotations

HEALTH_COLORS = {
    "running": "green",
    "finished": "bold",
    "stopped": "yellow",
    "preempted": "yellow",
    "crashed": "red",
    "lost": "red",
    "unknown": "dim",
}
"""Colour of each of :data:`~cpo_rl.runs.folder.HEALTHS`."""

SILENT_S = 900.0
"""Age of the last sign of life from which a running run of another machine is called silent [s]."""

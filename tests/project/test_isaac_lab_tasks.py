# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""docs/results/isaac_lab_tasks.md names every task that the installed Isaac Lab registers."""

from __future__ import annotations

import json

import pytest
from tests.project import isaac_lab_tasks


def test_the_table_covers_every_id():
    pytest.importorskip("isaaclab_tasks")
    stored = json.loads(isaac_lab_tasks.RESULTS.read_text(encoding="utf-8"))
    assert sorted(stored["tasks"]) == sorted(isaac_lab_tasks.everything()), (
        "run python -m tests.project.isaac_lab_tasks"
    )
    written = isaac_lab_tasks.page(stored["tasks"], stored["date"])
    assert written == isaac_lab_tasks.PAGE.read_text(encoding="utf-8")

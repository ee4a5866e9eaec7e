# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``run_policy.py`` beside the real engines: the same targets over 300 steps of every task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.processes import run_python

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(900)]

RUNS = [
    ("Reorient-Cube-Shadow", "ovphysx", "none"),
    ("Reorient-Cube-Shadow", "newton_mjwarp", "lstm"),
    ("Reorient-Cube-Allegro", "ovphysx", "none"),
    ("Regrasp-KukaAllegro", "ovphysx", "lstm"),
    ("Reorient-KukaAllegro", "ovphysx", "lstm"),
    ("Throw-KukaAllegro", "ovphysx", "lstm"),
    ("Regrasp-DualKukaAllegro", "ovphysx", "lstm"),
    ("Reorient-DualKukaAllegro", "ovphysx", "lstm"),
    ("Anymal", "ovphysx", "none"),
]


@pytest.mark.parametrize(("task", "engine", "rnn"), RUNS)
def test_targets_are_those_of_the_running_environment(task, engine, rnn, tmp_path):
    script = Path(__file__).with_name("sim_check.py")
    run_python(script, f"CpoLab-{task}-Direct", engine, rnn, tmp_path, timeout=800, PYTHONPATH=python_path())
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["targets"] < 1.0e-5
    assert seen["resets"] >= 1


def python_path() -> str:
    root = Path(__file__).parents[3]
    return ":".join(map(str, (root, root / "exts/cpo_lab", root / "source/cpo_rl")))

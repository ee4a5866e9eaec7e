# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One broken environment of a real task is reset, learned from no more and counted, and the others train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cpo_lab.tasks.quarantine_checks import BAD, ENVS, OUTCOME
from tests.processes import run_python

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]

RUNS = [
    pytest.param("Regrasp-KukaAllegro", "ovphysx"),
    pytest.param("Reorient-Cube-Shadow", "ovphysx", marks=pytest.mark.slow),
]
BODY = {"body_position nan", "body_position inf", "body_velocity nan", "body_velocity inf", "body_velocity 1e+30"}
"""What OvPhysX refuses or bounds itself, with an error on the screen: nothing is wrong then."""


@pytest.mark.parametrize(("task", "engine"), RUNS)
def test_a_broken_environment_is_quarantined_and_the_others_train_on(task, engine, tmp_path):
    output = tmp_path / "seen.json"
    run_python(Path(__file__).with_name("quarantine_checks.py"), f"CpoLab-{task}-Direct", engine, output, timeout=800)
    seen = json.loads(output.read_text())
    injections = seen["injections"]
    assert len(injections) == 18
    for name, steps in injections.items():
        assert all(step["finite"] and step["log_finite"] and not step["fell"] for step in steps), name
        void = [bool(step["quarantined"]) for step in steps]
        # an observation is looked at after the resets, so its environment is reset in the step after
        expected = [name not in BODY, name.startswith("_get_observations"), False, False]
        assert void == expected, name
        assert all(step["quarantined"] in ([], [BAD]) for step in steps), name
        if any(void):
            end = steps[1] if void[1] else steps[0]
            assert end["terminated"] == [BAD] and not end["time_out"] and end["reward"] == 0.0 and end["length"] == 0
            assert end["outcome"] == OUTCOME, "a quarantined end is no finished episode"
    assert {"joint_position", "joint_velocity"} <= set(injections["joint_velocity nan"][0]["reasons"])
    assert injections["_get_rewards 1e+30"][0]["reasons"] == ["reward"]
    training = seen["training"]
    assert training["status"] == "finished", training["message"]
    assert sum(training["quarantined"]) == 6.0 and training["skipped"] == [0.0] * 4  # 64 steps, every tenth
    assert training["finite"] and training["learned"]
    assert training["stock_finite"] and training["stock_touched"] == 1 < ENVS

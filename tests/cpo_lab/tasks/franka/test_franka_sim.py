# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Franka's tasks in the real engines. Each runs once per engine, in a process of its own (franka_checks.py)."""

from __future__ import annotations

import math

import pytest
from tests.in_engine import seen_by

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1800)]

CASES = [(task, engine) for task in ("Push", "Stack") for engine in ("ovphysx", "newton_mjwarp")]


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def seen(request, tmp_path_factory):
    task, engine = request.param
    folder = tmp_path_factory.mktemp(f"{task}-{engine}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CPO_LAB_FRANKA", task)
        found = seen_by("tests.cpo_lab.tasks.franka.franka_checks", engine, folder, timeout=1700)
    return {**found, "task": task, "engine": engine}


def test_steps(seen):
    steps = seen["steps"]
    assert steps["shape"] == [12, 19]
    assert steps["finite"] and steps["fixed"]
    assert steps["past_limit"] < 0.05
    assert steps["fingers_past_limit"] < 2e-3
    assert steps["mass"] == pytest.approx(19.7334817, abs=1e-4)
    assert steps["cube_mass"] == pytest.approx(0.125, abs=1e-6)
    assert (steps["policy_hz"], steps["episode_steps"]) == (pytest.approx(60.0, abs=0.02), 300)


def test_resets(seen):
    resets, stacks = seen["resets"], seen["task"] == "Stack"
    low, high, fingers = resets["noise"]
    assert -0.25 <= low < -0.2 and 0.2 < high <= 0.25 and fingers < 1e-6
    assert resets["cube_height"] == pytest.approx([0.025] * 12, abs=1e-4)
    assert resets["target_height"] == pytest.approx([0.035 if stacks else 0.025] * 12, abs=1e-4)
    assert resets["apart"] >= (0.1697 if stacks else 0.1414) - 1e-5
    assert 0.15 < resets["reach"] <= 0.25 + 1e-6
    assert 0.3 < resets["turn"] <= 0.785 + 1e-4


def test_what_is_observed_is_what_was_written(seen):
    observed = dict(seen["observation"])
    assert observed.pop("looks_down") < 0.01
    assert max(observed.values()) < 1e-3, observed


def test_the_arm_moves_as_its_law_says(seen):
    control = seen["control"]
    # 0.1 x 150 over one step of 16.67 ms, and the speed where spring and damper balance
    assert control["first"][2] == pytest.approx(0.25, abs=0.01)
    assert control["last"][2] == pytest.approx(0.1 * 150.0 / (2.0 * math.sqrt(150.0)), abs=0.03)
    assert [abs(speed) for speed in control["last"][:2]] == pytest.approx([0.0, 0.0], abs=0.05)
    assert control["fingers"] == pytest.approx([0.0, 0.0], abs=1e-3)


def test_pushing_ends_and_pays(seen):
    if seen["task"] == "Stack":
        pytest.skip("the other task")
    ends = seen["ends"]
    away = math.tanh(10.0 * 0.2)
    assert ends["reward"][:4] == pytest.approx([4.0 * 290, -5.0 * away, -5.0 * away, 2.0 - 2.0 * away], abs=1e-2)
    assert ends["terminated"][:4] == [True, True, False, False]
    assert ends["timed_out"][:4] == [False, False, True, False]
    assert ends["fell"][:4] == [False, True, False, False]
    assert ends["metrics"]["success"][:4] == [1.0, 0.0, 0.0, 0.0]
    assert ends["metrics"]["distance"][:3] == pytest.approx([0.003, 0.2, 0.2], abs=1e-3)
    assert ends["steps"][:4] == [0, 0, 0, 10]


def test_stacking_ends_and_pays(seen):
    if seen["task"] == "Push":
        pytest.skip("the other task")
    ends = seen["ends"]
    assert ends["reward"][0] == 16.0
    assert 1.5 < ends["reward"][1] < 1.7
    assert ends["reward"][2] == pytest.approx(ends["reward"][3], abs=1e-4)
    assert 0.0 < ends["reward"][3] < 0.1
    assert ends["terminated"][:4] == [True, False, False, False]
    assert ends["timed_out"][:4] == [False, False, True, False]
    assert not any(ends["fell"])
    assert ends["metrics"]["success"][:3] == [1.0, 0.0, 0.0]
    assert ends["metrics"]["lifted"][:3] == [1.0, 0.0, 0.0]
    assert ends["steps"][:4] == [0, 10, 0, 10]


def test_a_script_does_the_task(seen):
    script, stacks = seen["script"], seen["task"] == "Stack"
    assert sum(script["success"]) >= (8 if stacks else 6), script  # some starts are hard to reach
    for success, last, length in zip(script["success"], script["last"], script["length"], strict=True):
        if success:
            assert last == (16.0 if stacks else 4.0 * (300 - length))
        elif length == 299 and not stacks:
            assert last <= 0.0


def test_physics_behaves(seen):
    assert seen["failed"] == [], seen["physics"]

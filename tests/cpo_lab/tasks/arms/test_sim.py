# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The arm tasks in the real engines: each is solved by hand once, in a process of its own (checks.py)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from tests.processes import run_python

from cpo_lab.assets import cuboids
from cpo_lab.tasks.arms.layout import REWARD_TERMS

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]

TASKS = {
    # success steps, observation size, arms, first objects' set
    "Regrasp-KukaAllegro": (30, 99, 1, "cuboids"),
    "Reorient-KukaAllegro": (1, 117, 1, "cuboids"),
    "Throw-KukaAllegro": (5, 99, 1, "cube"),
    "Regrasp-DualKukaAllegro": (30, 169, 2, "cuboids"),
    "Reorient-DualKukaAllegro": (1, 196, 2, "cuboids"),
}

SLOW = pytest.mark.slow
RUNS = [
    pytest.param("Regrasp-KukaAllegro", "ovphysx"),
    pytest.param("Reorient-KukaAllegro", "ovphysx"),
    pytest.param("Throw-KukaAllegro", "ovphysx"),
    pytest.param("Reorient-DualKukaAllegro", "ovphysx"),
    pytest.param("Reorient-KukaAllegro", "newton_mjwarp"),
    pytest.param("Regrasp-DualKukaAllegro", "ovphysx", marks=SLOW),
    pytest.param("Regrasp-KukaAllegro", "newton_mjwarp", marks=SLOW),
    pytest.param("Throw-KukaAllegro", "newton_mjwarp", marks=SLOW),
    pytest.param("Regrasp-DualKukaAllegro", "newton_mjwarp", marks=SLOW),
    pytest.param("Reorient-DualKukaAllegro", "newton_mjwarp", marks=SLOW),
]


def run_checks(task: str, engine: str, folder: Path) -> dict:
    output = folder / "seen.json"
    run_python(Path(__file__).with_name("checks.py"), f"CpoLab-{task}-Direct", engine, output, timeout=800)
    return json.loads(output.read_text())


@pytest.mark.parametrize(("task", "engine"), RUNS)
def test_task(task, engine, tmp_path):
    """One process per run, so that a run is paid for once; the parts below say what is checked."""
    seen = run_checks(task, engine, tmp_path)
    success_steps, size, arms, object_set = TASKS[task]
    random_steps(seen["steps"], size, object_set)
    assert seen["arms"] == [23] * arms
    solution(seen["solution"], task, success_steps, arms)
    ends(seen["ends"], task)
    forces(seen["forces"], task)
    curriculum(seen["curriculum"], task)
    if "bucket" in seen:
        bucket(seen["bucket"])
        caught = [math.hypot(x, y) < 0.1 and 0.0 < z < 0.2 for x, y, z in seen["fast_catches"]]
        assert len(caught) == 24 and all(caught), seen["fast_catches"]
    assert seen["failed"] == [], seen["physics"]
    # both engines let the fingers follow with the same time constant: OvPhysX measures 133 ms
    assert seen["physics"]["finger step response, time constant"] == pytest.approx(133.0, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ovphysx", "newton_mjwarp"])
def test_runs_with_the_same_seed_repeat_bit_for_bit(engine, tmp_path):
    """40 random steps with resets among them, in two processes: all observations and rewards are equal."""
    digests = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.append(run_checks("Regrasp-KukaAllegro", engine, folder)["steps"]["digest"])
    assert digests[0] == digests[1]


def random_steps(steps: dict, size: int, object_set: str) -> None:
    assert steps["shape"] == [6, size]
    assert steps["finite"]
    assert steps["largest"] <= 10.0
    assert steps["ended"] >= 3
    shapes = cuboids.object_shapes(object_set, 1 if object_set == "cube" else 4)
    assert [tuple(shape) for shape in steps["shapes"]] == [shapes[i % len(shapes)] for i in range(6)]
    np.testing.assert_allclose(steps["masses"], [cuboids.mass(tuple(shape)) for shape in steps["shapes"]], rtol=1e-5)


def solution(seen: dict, task: str, success_steps: int, arms: int) -> None:
    """The first success comes after exactly ``success_steps`` steps near the goal, then the goal changes."""
    steps = seen["steps"]
    share = 1000.0 / success_steps
    first, reached, after = steps[0], steps[success_steps - 1], steps[success_steps]
    # lifted at once: 300, 200 per metre of the 0.5 m that the goal was away, and a share of the success
    assert first["lifted"] and first["shown_lifted"] == 0.0
    assert first["reward"] == pytest.approx(300.0 + 200.0 * 0.5 + share, abs=6.0)
    assert first["shown_reward"] == pytest.approx(min(0.01 * first["reward"], 10.0), abs=1e-4)
    assert first["shown_closest"] == pytest.approx(0.5)
    assert first["shown_to_goal"] < 0.02
    for count, step in enumerate(steps[:success_steps], start=1):
        assert step["near_goal_steps"] == count
        assert step["reached"] == (count == success_steps)
        assert step["goal_kept"]
        assert not step["terminated"]
    for step in steps[1 : success_steps - 1]:
        assert step["reward"] == pytest.approx(share, abs=1.0)
        assert step["shown_lifted"] == 1.0
    assert (reached["successes"], reached["clock"]) == (1.0, 0)
    assert not after["goal_kept"]
    if task.startswith("Reorient"):
        # the object stays where it was put, still lifted
        assert after["lifted"] and after["shown_lifted"] == 1.0
        assert max(after["closest_fingertips"]) == 0.0
    else:
        # back on the table, to be lifted again
        assert not after["lifted"]
        assert after["shown_lifted"] == 0.0
        assert after["near_goal_steps"] == 0
        # and to be approached again: what was reached before counts no more
        assert max(reached["closest_fingertips"]) == 0.0
        assert after["closest_fingertips"] == after["fingertip_distances"] and min(after["fingertip_distances"]) > 0.0
    terms = dict(zip(REWARD_TERMS, seen["terms"], strict=True))
    assert terms["near_goal"] >= 999.9
    assert terms["lift_bonus"] == 300.0 * (1 if task.startswith("Reorient") else 2)
    assert (terms["arm_velocity"] < 0.0) == (arms == 1)


def ends(seen: dict, task: str) -> None:
    far = task == "Reorient-KukaAllegro"
    assert seen["terminated"] == [False, True, True, False, far, False]
    assert seen["fell"] == [False, True, False, False, far, False]  # the third reached its last goal
    assert seen["timed_out"] == [False, False, False, True, False, False]
    assert seen["episode_successes"][1:4] == [0.0, 50.0, 4.0]
    assert seen["episode_lifted"][1:4] == [0.0, 1.0, 1.0], (
        "a success may put the object back; it was lifted all the same"
    )
    assert seen["fresh_height"] == pytest.approx(0.63, abs=0.021)
    assert (seen["fresh_lifted"], seen["fresh_progress"], seen["fresh_reward"]) == (0.0, 0.0, 0.0)
    assert seen["log"]["Task/successes"] >= 9.0
    assert {f"Task/reward_{name}" for name in REWARD_TERMS} <= set(seen["log"])


def forces(seen: dict, task: str) -> None:
    assert (seen["push"] > 0.5) == (not task.startswith("Throw"))
    np.testing.assert_allclose(seen["velocity"], seen["expected"], atol=2e-4)


def curriculum(seen: dict, task: str) -> None:
    start, after = 0.075, 0.075 if task.startswith("Throw") else 0.0675
    assert seen["tolerances"] == pytest.approx([start, after, after, after], abs=1e-6)
    assert seen["restored"] == pytest.approx(after, abs=1e-6)


def bucket(seen: dict) -> None:
    np.testing.assert_allclose(seen["goal_offset"], [[0.0, 0.0, 0.05]] * 6, atol=1e-5)
    caught = 0
    for height, successes, offset in zip(seen["goal_heights"], seen["successes"], seen["offset"], strict=True):
        if height > 0.15:  # below 0.1 m an object counts as fallen, also in a bucket
            caught += 1
            assert successes >= 1.0
            assert math.hypot(*offset[:2]) < 0.1 and 0.0 < offset[2] < 0.2
    assert caught >= 3

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Shadow Hand task in the real engines. Each engine runs once, in a process of its own (shadow_checks.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics
from tests.cpo_lab.assets.test_shadow_hand import MOUNT
from tests.processes import run_python

from cpo_lab.assets.shadow_hand_table import ALL_JOINTS, FINGERTIPS, JOINTS, shadow_hand

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]

ENGINES = ("ovphysx", "newton_mjwarp")


def run_checks(engine: str, folder: Path) -> dict:
    output = folder / f"{engine}.json"
    script = Path(__file__).with_name("shadow_checks.py")
    run_python(script, engine, output, timeout=800)
    return json.loads(output.read_text())


@pytest.fixture(scope="module", params=ENGINES)
def seen(request, tmp_path_factory):
    return {"engine": request.param, **run_checks(request.param, tmp_path_factory.mktemp(request.param))}


def test_newton_gets_its_settings_for_a_cpu_and_says_so(seen):
    said = any("settings for a CPU" in line for line in seen["choices"])
    assert said == (seen["engine"] == "newton_mjwarp")


def test_the_engine_has_the_tables_robot(seen):
    model = seen["model"]
    assert model["mass"] == pytest.approx(4.911, abs=1e-4)
    assert model["cube_mass"] == pytest.approx(0.070875, abs=1e-6)
    assert model["tendons"] == ["FFJ1c", "LFJ1c", "MFJ1c", "RFJ1c"]
    np.testing.assert_allclose(model["limits"], [(joint.lower, joint.upper) for joint in JOINTS], atol=1e-5)


def test_links_are_where_the_kinematics_puts_them(seen):
    poses = forward_kinematics(shadow_hand(), {}, *MOUNT)
    for name, position in seen["model"]["bodies_at_zero"].items():
        np.testing.assert_allclose(position, poses[name][0], atol=2e-4, err_msg=name)


def test_the_hand_does_not_sag(seen):
    assert seen["model"]["hold_error"] < 1e-3


def test_tendons_drag_the_distal_joints(seen):
    """J0 follows 1.142 * J1 with a slack of 0.142 rad, on the commanded fingers only."""
    joints = seen["model"]["tendon"]
    assert joints["FFJ1"] == pytest.approx(1.0, abs=0.02)
    assert joints["FFJ0"] >= 0.9
    assert joints["FFJ0"] == pytest.approx(1.1418 - 0.1418, abs=0.05)
    assert joints["MFJ0"] == pytest.approx(1.1418 * 0.5 - 0.1418, abs=0.05)
    assert abs(joints["RFJ0"]) < 0.05
    assert joints["WRJ0"] == pytest.approx(0.3, abs=0.01)


def test_steps_are_finite_and_clipped(seen):
    steps = seen["steps"]
    assert steps["finite"]
    assert steps["shape"] == [6, 211]
    assert steps["largest"] <= 5.0
    assert steps["last_action"] == pytest.approx(1.0)  # actions of 1.5 were sent
    assert steps["torque"] > 0.0
    assert steps["wrench"] > 0.0


def test_a_dropped_cube_ends_the_episode(seen):
    ends = seen["ends"]
    assert ends["terminated"] == [False, True, False, False, False, False]
    assert ends["episode_length"][1] == 0
    assert ends["cube_height"][1] == pytest.approx(0.6, abs=0.011)
    # 0.31 m below the goal: -10 * 0.31 and a rotation term between 1 / 3.24 and 1 / 0.1
    assert -3.0 < ends["reward"][1] < 7.0


def test_a_reached_goal_is_rewarded_shown_once_more_and_replaced(seen):
    ends = seen["ends"]
    assert ends["reward"][2] > 250.0
    assert max(reward for index, reward in enumerate(ends["reward"]) if index != 2) < 20.0
    assert ends["successes"] == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert ends["goal_kept"] == [True, False, True, False, True, True]
    assert ends["goal_kept_next"] == [True, False, False, False, True, True]


def test_the_first_observation_shows_no_torques_of_the_episode_before(seen):
    begun = [index for index, torque in enumerate(seen["ends"]["torques"]) if torque == 0.0]
    assert begun == [1, 3]  # which dropped its cube, and which ran out of time


def test_time_runs_out_without_a_termination(seen):
    ends = seen["ends"]
    assert ends["timed_out"] == [False, False, False, True, False, False]
    assert ends["episode_successes"] == [0.0, 0.0, 0.0, 4.0, 0.0, 0.0]
    assert ends["log"]["Task/successes"] == pytest.approx(4.0 / 6.0)


def test_the_first_observation_of_an_episode_shows_the_reset_links(seen):
    ends = seen["ends"]
    angles = dict(zip(ALL_JOINTS, ends["joints_after_reset"], strict=True))
    poses = forward_kinematics(shadow_hand(), angles, *MOUNT)
    for tip, position in zip(FINGERTIPS, ends["tips_after_reset"], strict=True):
        np.testing.assert_allclose(position, poses[tip][0], atol=1e-3, err_msg=tip)


def test_ovphysx_repeats_itself(seen, tmp_path):
    if seen["engine"] != "ovphysx":
        pytest.skip("only OvPhysX promises it")
    assert run_checks("ovphysx", tmp_path)["steps"]["digest"] == seen["steps"]["digest"]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The humanoid's task in the real engines. Each engine runs once, in a process of its own (humanoid_checks.py)."""

from __future__ import annotations

import math

import pytest
from tests.in_engine import seen_by

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["ovphysx", "newton_mjwarp"])
def seen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return seen_by("tests.cpo_lab.tasks.legs.humanoid_checks", request.param, folder, timeout=1700)


def test_steps(seen):
    steps = seen["steps"]
    assert steps["shape"] == [6, 108]
    assert steps["finite"]
    assert steps["past_limit"] < 0.3
    assert steps["last_action"] <= 1.0
    assert steps["mass"] == pytest.approx(40.844 + 9 * 0.001, abs=1e-3)
    assert not steps["fixed"]
    assert (steps["policy_hz"], steps["episode_steps"]) == (pytest.approx(1 / 0.0166), 1000)


def test_resets(seen):
    resets = seen["resets"]
    assert resets["height"] == pytest.approx([1.34] * 6, abs=1e-4)
    assert 0.15 < resets["largest"] <= 0.2001
    assert resets["past_limit"] <= 1e-6
    assert resets["potential"] == pytest.approx([-1000.0] * 6)


def test_what_is_observed_is_what_was_written(seen):
    assert max(seen["observation"].values()) < 5e-3, seen["observation"]


def test_actions_are_torques_and_springs_pull_back(seen):
    torques = seen["torques"]
    # 9 N m by the action, less what the damper of 0.1 N m s/rad takes
    assert torques["knee_torque"] == pytest.approx(-9.0, abs=1.5)
    assert torques["knee_velocity"] < -0.5
    assert torques["others"] < 9.0
    assert -0.35 < torques["abdomen_after"] < 0.05  # from -0.5


def test_running_ahead_is_rewarded_by_its_speed(seen):
    ends = seen["ends"]
    assert ends["approach"][0] == pytest.approx(3.0, abs=0.05)
    assert ends["reward"][0] == pytest.approx(3.0 + 2.6, abs=0.1)
    assert ends["reward"][3] == pytest.approx(2.6, abs=0.1)


def test_ends(seen):
    ends = seen["ends"]
    assert ends["terminated"] == [False, True, False, False, False, False]
    assert ends["reward"][1] == -1.0
    assert ends["timed_out"] == [False, False, True, False, False, False]
    assert ends["distance"][2] == pytest.approx(7.0, abs=0.05)
    assert [index for index, torque in enumerate(ends["torques"]) if torque == 0.0] == [1, 2]  # whose episode begins


def test_feet_feel_the_robot(seen):
    """Landing, each ankle carries a good part of 401 N along the leg, and little across."""
    for vertical, sideways in zip(seen["feet"]["vertical"], seen["feet"]["sideways"], strict=True):
        assert 60.0 < vertical < 6000.0 and math.isfinite(sideways)
        assert sideways < vertical


def test_physics_behaves(seen):
    assert seen["failed"] == [], seen["physics"]

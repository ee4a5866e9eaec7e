# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The Allegro Hand task in the real engines. Each engine runs once, in a process of its own (allegro_checks.py)."""

from __future__ import annotations

import pytest
from tests.in_engine import seen_by

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["ovphysx", "newton_mjwarp"])
def seen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return seen_by("tests.cpo_lab.tasks.in_hand.allegro_checks", request.param, folder, timeout=800)


def test_steps(seen):
    steps = seen["steps"]
    assert steps["shape"] == [6, 88]
    assert steps["finite"]
    assert steps["largest"] <= 5.0
    assert steps["torque"] == 0.0
    assert steps["last_action"] == pytest.approx(1.0)  # actions of 1.5 were sent
    assert (steps["policy_hz"], steps["episode_steps"]) == (pytest.approx(30.0), 600)


def test_masses(seen):
    assert seen["steps"]["hand_mass"] == pytest.approx(1.0217, abs=1e-4)
    assert seen["steps"]["cube_mass"] == pytest.approx(0.10985, abs=1e-5)


def test_a_reached_goal_is_rewarded_shown_once_more_and_replaced(seen):
    solution = seen["solution"]
    assert solution["reward"][0] > 250.0
    assert max(solution["reward"][1:]) < 20.0
    assert solution["successes"][0] == 1.0
    assert solution["shown_goal_kept"]
    assert solution["goal_changed"]


def test_ends(seen):
    solution = seen["solution"]
    assert solution["terminated"] == [False, True, False, False, False, False]
    assert solution["timed_out"] == [False, False, True, False, False, False]
    assert solution["episode_successes"][2] == 3.0


def test_physics_behaves(seen):
    assert seen["failed"] == [], seen["physics"]
    # the same on both engines: OvPhysX and Newton measure 50 ms
    assert seen["physics"]["finger step response, time constant"] == pytest.approx(50.0, rel=0.2)

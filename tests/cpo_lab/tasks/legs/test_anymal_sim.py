# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""ANYmal's task in the real engines. Each engine runs once, in a process of its own (anymal_checks.py)."""

from __future__ import annotations

import pytest
from tests.in_engine import seen_by

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=["ovphysx", "newton_mjwarp"])
def seen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return seen_by("tests.cpo_lab.tasks.legs.anymal_checks", request.param, folder, timeout=1700)


def test_steps(seen):
    steps = seen["steps"]
    assert steps["shape"] == [6, 48]
    assert steps["finite"]
    assert steps["largest"] <= 5.0
    assert steps["mass"] == pytest.approx(52.13485, abs=1e-3)
    assert not steps["fixed"]
    assert (steps["policy_hz"], steps["episode_steps"]) == (pytest.approx(50.0), 2500)


def test_resets(seen):
    resets = seen["resets"]
    assert resets["height"] == pytest.approx([0.62] * 6, abs=1e-4)
    assert 0.5 <= resets["factors"][0] < 0.7 and 1.3 < resets["factors"][1] <= 1.5
    assert resets["commands_differ"]
    assert resets["last_action"] == 0.0
    assert resets["velocity_entries"] == pytest.approx(0.0, abs=1e-5)


def test_what_is_observed_is_what_was_written(seen):
    assert max(seen["observation"].values()) < 2e-3, seen["observation"]


def test_moving_as_commanded_earns_the_whole_reward(seen):
    assert seen["ends"]["reward"][0] == pytest.approx(0.03, abs=3e-4)
    # hovering where (1.2, -0.4) and 0.6 are wanted: 0.02 exp(-6.4) + 0.01 exp(-1.44)
    assert seen["ends"]["reward"][3] == pytest.approx(0.0024025, abs=1e-4)


def test_ends(seen):
    ends = seen["ends"]
    assert ends["falls"] == [0, 1, 0, 0, 0, 0]  # once: the next episode does not see the forces of the fall
    assert ends["timed_out"] == [False, False, True, False, False, False]
    assert ends["new_height"] == pytest.approx(0.62, abs=1e-4)
    walking, turning = ends["errors"][2]
    assert ends["velocity_error"][2] == pytest.approx((1.8 + walking) / 10)
    assert ends["yaw_error"][2] == pytest.approx((2.7 + turning) / 10)
    assert (walking, turning) == (pytest.approx(1.6**0.5, abs=0.01), pytest.approx(0.6, abs=0.01))


def test_physics_behaves(seen):
    assert seen["failed"] == [], seen["physics"]
    # MuJoCo's own solver has it at 0.45 m; how far the feet slide as it lands decides
    height = seen["physics"]["standing on its motors, height of the base after 2 s"]
    assert height == pytest.approx(0.48, abs=0.05)

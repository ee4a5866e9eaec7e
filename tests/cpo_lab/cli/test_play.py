# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which environments are shown, and at which speed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cpo_lab.cli import play
from cpo_lab.cli.rollouts import side_by_side


@pytest.mark.parametrize("policies", [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [5], [2]])
@pytest.mark.parametrize("num_envs", [6, 12, 18])
def test_one_environment_of_each_policy_is_shown(policies, num_envs):
    cfg = SimpleNamespace(scene=SimpleNamespace(num_envs=num_envs))
    board = play._scoreboard(policies, SimpleNamespace(env_cfg=cfg, num_policies=6))
    ids = side_by_side(policies, num_envs)
    assert [int(ids[index]) for index in board.names] == policies
    assert list(board.names.values()) == ["leader" if policy == 5 else f"follower {policy}" for policy in policies]


def test_pace_waits_for_real_time_and_never_catches_up_by_waiting(monkeypatch):
    clock, slept = [100.0], []
    monkeypatch.setattr("cpo_lab.cli.play.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("cpo_lab.cli.play.time.sleep", slept.append)
    pace = play._Pace(0.5)
    pace.wait(1)
    clock[0] = 100.2
    pace.wait(2)
    clock[0] = 103.0
    pace.wait(3)
    np.testing.assert_allclose(slept, [0.0, 0.3, 0.0])

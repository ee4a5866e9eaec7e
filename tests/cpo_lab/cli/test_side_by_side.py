# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What pictures and videos say about the policies they show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from cpo_lab.cli.side_by_side import Pace, Scoreboard, policy_color


def env_after(successes, ended=(), final=(), failed=()):
    """Environment of three after a step: counters of running episodes, which ended, with how many goals, by failure."""
    done = torch.tensor([n in ended for n in range(3)])
    metric = torch.zeros(3)
    for index, goals in zip(ended, final, strict=True):
        metric[index] = goals
    env = SimpleNamespace(
        step_dt=0.5,
        successes=torch.tensor(successes, dtype=torch.float),
        episode_length_buf=(~done).long(),
        reset_terminated=torch.tensor([n in failed for n in range(3)]),
        extras={"episode_metrics": {"successes": metric}},
    )
    return SimpleNamespace(unwrapped=env)


def board():
    return Scoreboard({0: "follower 0", 2: "leader"}, {0: (255, 0, 0), 2: (0, 0, 255)})


def test_goals_and_falls_are_counted_over_episodes():
    score = board()
    score.step(env_after([1, 9, 0]))
    score.step(env_after([1, 9, 0]))
    score.step(env_after([0, 9, 0], ended=(0, 2), final=(2, 0), failed=(2,)))  # a goal in the very last step counts
    score.step(env_after([1, 9, 0]))
    assert score.caption(0) == "follower 0   goals 3"
    assert score.caption(2) == "leader   goals 0   falls 1"


def test_a_goal_brightens_the_frame_for_a_while():
    score, frame = board(), np.full((90, 160, 3), 128, dtype=np.uint8)
    assert score.draw(0, frame)[0, 80].tolist() == [255, 0, 0]
    score.step(env_after([1, 0, 0]))
    assert score.draw(0, frame)[0, 80].tolist() == [60, 220, 90]
    assert score.draw(2, frame)[0, 80].tolist() == [0, 0, 255]
    score.step(env_after([1, 0, 0]))
    score.step(env_after([1, 0, 0]))
    assert score.draw(0, frame)[0, 80].tolist() == [255, 0, 0]


def test_drawing_keeps_size_and_the_picture_above_the_caption():
    frame = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    drawn = board().draw(0, frame)
    assert drawn.shape == frame.shape
    np.testing.assert_array_equal(drawn[4:60, 4:-4], frame[4:60, 4:-4])


def test_a_task_without_goals_is_shown_too():
    env = SimpleNamespace(unwrapped=SimpleNamespace(episode_length_buf=torch.ones(3), extras={}))
    score = board()
    score.step(env)
    assert score.caption(2) == "leader   goals 0"


def test_colors_of_policies_differ():
    colors = [policy_color(policy, 6) for policy in range(6)]
    assert len(set(colors)) == 6
    assert colors[-1] == (255, 255, 255)
    assert policy_color(0, 1) == (255, 255, 255)


def test_pace_waits_for_real_time_and_never_catches_up_by_waiting(monkeypatch):
    clock, slept = [100.0], []
    monkeypatch.setattr("cpo_lab.cli.side_by_side.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("cpo_lab.cli.side_by_side.time.sleep", slept.append)
    pace = Pace(0.5)
    pace.wait(1)
    clock[0] = 100.2
    pace.wait(2)
    clock[0] = 103.0
    pace.wait(3)
    np.testing.assert_allclose(slept, [0.0, 0.3, 0.0])

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What pictures and videos say about the policies they show."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.viewing.captions import Caption, Scoreboard, draw_caption, policy_color
from cpo_rl.algorithms.episodes import EpisodeCounter
from cpo_rl.contracts import Environment


class Scripted:
    """Three environments of which a test says after each step what it has done to them."""

    def __init__(self, board, step_dt=0.5):
        self.board, self.env = board, SimpleNamespace(successes=torch.zeros(3))
        self.counter, self.step_dt = EpisodeCounter(3, "cpu", Environment(self.env)), step_dt

    def step(self, successes, ended=(), final=(), failed=(), reward=0.0):
        """Counters of running episodes, which environments ended one, with how many goals, and which by failure."""
        done = torch.tensor([n in ended for n in range(3)])
        metric = torch.zeros(3)
        for index, goals in zip(ended, final, strict=True):
            metric[index] = goals
        self.env.successes = torch.tensor(successes, dtype=torch.float)
        self.env.reset_terminated = torch.tensor([n in failed for n in range(3)])
        extras = {"episode_metrics": {"successes": metric}}
        self.board.step(self.counter.step(torch.full((3,), reward), done, extras), self.step_dt)


def board():
    return Scoreboard({0: "follower 0", 2: "leader"}, {0: (255, 0, 0), 2: (0, 0, 255)})


def test_goals_and_falls_are_counted_over_episodes():
    score = board()
    env = Scripted(score)
    env.step([1, 9, 0])
    env.step([1, 9, 0])
    env.step([0, 9, 0], ended=(0, 2), final=(2, 0), failed=(2,))  # a goal in the very last step counts
    env.step([1, 9, 0])
    assert (score.caption(0).name, score.caption(0).numbers) == ("follower 0", "return 0.0, 3 goals")
    assert (score.caption(2).name, score.caption(2).numbers) == ("leader", "return 0.0, 1 fall")


def test_the_return_is_that_of_finished_episodes_once_there_are_any():
    score = board()
    env = Scripted(score)
    env.step([0, 0, 0], reward=1.5)
    env.step([0, 0, 0], reward=2.0)
    assert score.caption(0).numbers == "return 3.5"
    env.step([0, 0, 0], ended=(0,), final=(0,), reward=100.0)
    env.step([0, 0, 0], reward=1000.0)
    assert score.caption(0).numbers == "return 104"
    env.step([0, 0, 0], ended=(0,), final=(0,), reward=0.0)
    assert score.caption(0).numbers == "return 552"


def test_a_perfect_episode_is_no_fall():
    """The arms' tasks end an episode at its last goal, which Isaac Lab calls a termination like any other."""
    score = board()
    env = Scripted(score)
    env.env.fell = lambda: torch.zeros(3, dtype=torch.bool)
    env.step([0, 0, 0], ended=(2,), final=(2,), failed=(2,))
    assert score.caption(2).numbers == "return 0.0, 2 goals"


def test_a_goal_brightens_the_frame_for_a_while():
    score = board()
    env = Scripted(score)
    seen = []
    for goals in (0, 1, 1, 1):
        env.step([goals, 0, 0])
        seen.append((score.caption(0).is_bright, score.caption(2).is_bright))
    assert seen == [(False, False), (True, False), (True, False), (False, False)]


@pytest.mark.parametrize("channels", [3, 4])
def test_drawing_keeps_the_shape_and_the_picture_above_the_caption(channels):
    frame = np.random.default_rng(0).integers(0, 255, (90, 160, channels), dtype=np.uint8)
    drawn = draw_caption(frame, Caption("leader", "return 1.0", (240, 105, 30)))
    assert drawn.shape == frame.shape
    np.testing.assert_array_equal(drawn[:60], frame[:60])
    assert (drawn[65:] != frame[65:]).any()
    bright = draw_caption(frame, Caption("leader", "return 1.0", (240, 105, 30), is_bright=True))
    assert bright[0, 80, :3].tolist() == [34, 160, 74]
    np.testing.assert_array_equal(bright[4:60, 4:-4], frame[4:60, 4:-4])


def test_a_caption_has_the_policys_colour():
    paper = np.full((200, 400, 3), 255, dtype=np.uint8)
    drawn = draw_caption(paper, Caption("leader", "", (10, 200, 30)))
    assert (drawn == (10, 200, 30)).all(axis=-1).sum() > 20


def test_a_task_without_goals_is_shown_too():
    score = board()
    counter = EpisodeCounter(3, "cpu", Environment(SimpleNamespace()))
    score.step(counter.step(torch.zeros(3), torch.zeros(3), {}), math.nan)
    assert score.caption(2).numbers == "return 0.0"


def test_colors_of_policies_differ():
    colors = [policy_color(policy, 6) for policy in range(6)]
    assert len(set(colors)) == 6
    assert policy_color(0, 1) == colors[-1], "a single policy is the leader"

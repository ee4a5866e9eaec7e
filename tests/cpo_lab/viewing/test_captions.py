# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What pictures and videos say about the policies they show."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import torch

from cpo_lab.viewing.captions import Scoreboard, policy_color
from cpo_rl.algorithms.episodes import EpisodeCounter
from cpo_rl.contracts import Environment


class Scripted:
    """Three environments of which a test says after each step what it has done to them."""

    def __init__(self, board, step_dt=0.5):
        self.board, self.env = board, SimpleNamespace(successes=torch.zeros(3))
        self.counter, self.step_dt = EpisodeCounter(3, "cpu", Environment(self.env)), step_dt

    def step(self, successes, ended=(), final=(), failed=()):
        """Counters of running episodes, which environments ended one, with how many goals, and which by failure."""
        done = torch.tensor([n in ended for n in range(3)])
        metric = torch.zeros(3)
        for index, goals in zip(ended, final, strict=True):
            metric[index] = goals
        self.env.successes = torch.tensor(successes, dtype=torch.float)
        self.env.reset_terminated = torch.tensor([n in failed for n in range(3)])
        extras = {"episode_metrics": {"successes": metric}}
        self.board.step(self.counter.step(torch.zeros(3), done, extras), self.step_dt)


def board():
    return Scoreboard({0: "follower 0", 2: "leader"}, {0: (255, 0, 0), 2: (0, 0, 255)})


def test_goals_and_falls_are_counted_over_episodes():
    score = board()
    env = Scripted(score)
    env.step([1, 9, 0])
    env.step([1, 9, 0])
    env.step([0, 9, 0], ended=(0, 2), final=(2, 0), failed=(2,))  # a goal in the very last step counts
    env.step([1, 9, 0])
    assert score.caption(0) == "follower 0   goals 3"
    assert score.caption(2) == "leader   goals 0   falls 1"


def test_a_perfect_episode_is_no_fall():
    """The arms' tasks end an episode at its last goal, which Isaac Lab calls a termination like any other."""
    score = board()
    env = Scripted(score)
    env.env.fell = lambda: torch.zeros(3, dtype=torch.bool)
    env.step([0, 0, 0], ended=(2,), final=(2,), failed=(2,))
    assert score.caption(2) == "leader   goals 2"


def test_a_goal_brightens_the_frame_for_a_while():
    score, frame = board(), np.full((90, 160, 3), 128, dtype=np.uint8)
    env = Scripted(score)
    assert score.draw(0, frame)[0, 80].tolist() == [255, 0, 0]
    env.step([1, 0, 0])
    assert score.draw(0, frame)[0, 80].tolist() == [60, 220, 90]
    assert score.draw(2, frame)[0, 80].tolist() == [0, 0, 255]
    env.step([1, 0, 0])
    env.step([1, 0, 0])
    assert score.draw(0, frame)[0, 80].tolist() == [255, 0, 0]


def test_drawing_keeps_size_and_the_picture_above_the_caption():
    frame = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    drawn = board().draw(0, frame)
    assert drawn.shape == frame.shape
    np.testing.assert_array_equal(drawn[4:60, 4:-4], frame[4:60, 4:-4])


def test_a_task_without_goals_is_shown_too():
    score = board()
    counter = EpisodeCounter(3, "cpu", Environment(SimpleNamespace()))
    score.step(counter.step(torch.zeros(3), torch.zeros(3), {}), math.nan)
    assert score.caption(2) == "leader   goals 0"


def test_colors_of_policies_differ():
    colors = [policy_color(policy, 6) for policy in range(6)]
    assert len(set(colors)) == 6
    assert colors[-1] == (255, 255, 255)
    assert policy_color(0, 1) == (255, 255, 255)

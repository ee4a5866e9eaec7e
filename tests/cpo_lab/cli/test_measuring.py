# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Episodes of a scripted environment whose every number is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.cli.measuring import Episodes, chosen_policies, measure
from cpo_rl.errors import UserError


class ScriptedEnv:
    """Environment n ends every episode after ``lengths[n]`` steps; reward per step is 1 + the policy's action.

    A success happens at every multiple of ``pace[n]`` steps of an episode. Environments in ``failing`` end by failure.
    """

    step_dt = 0.5

    def __init__(self, lengths, pace, failing=()):
        self.num_envs = len(lengths)
        self.device = "cpu"
        self.lengths, self.pace = torch.tensor(lengths), torch.tensor(pace)
        self.failing = torch.tensor([n in failing for n in range(self.num_envs)])
        self.max_episode_length = max(lengths)
        self.clock = torch.zeros(self.num_envs, dtype=torch.long)
        self.successes = torch.zeros(self.num_envs)
        self.metric = torch.zeros(self.num_envs)
        self.object_scale = torch.ones(self.num_envs, 3)
        self.object_scale[1::2, 2] = 2.0

    @property
    def unwrapped(self):
        return self

    def reset(self):
        self.clock.zero_()
        self.successes.zero_()
        return torch.zeros(self.num_envs, 1), {}

    def step(self, actions):
        self.clock += 1
        self.successes += (self.clock % self.pace == 0).float()
        done = self.clock >= self.lengths
        self.metric[done] = self.successes[done]
        self.reset_terminated = done & self.failing
        self.clock[done] = 0
        self.successes[done] = 0.0
        rewards = 1.0 + actions.squeeze(-1)
        return torch.zeros(self.num_envs, 1), rewards, done.long(), {"episode_metrics": {"successes": self.metric}}


class IdPolicy:
    """Acts with ten times its own index."""

    def __init__(self):
        self.resets = 0

    def eval(self):
        return self

    def reset(self, dones=None):
        self.resets += 1

    def __call__(self, observations, ids, stochastic_output=False):
        return 10.0 * ids.unsqueeze(-1).float() + (0.5 if stochastic_output else 0.0)


def test_every_environment_gives_the_same_number_of_episodes():
    env = ScriptedEnv(lengths=[2, 10], pace=[100, 100])
    episodes = measure(env, IdPolicy(), [0], 6)
    # Three episodes each, although the first environment finishes fifteen in the same time.
    assert sorted(episodes.values["length"].tolist()) == [2, 2, 2, 10, 10, 10]
    assert sorted(episodes.values["return"].tolist()) == [2, 2, 2, 10, 10, 10]


def test_episodes_are_rounded_up_to_whole_rounds():
    episodes = measure(ScriptedEnv(lengths=[3] * 4, pace=[100] * 4), IdPolicy(), [0], 5)
    assert episodes.policy.size == 8


def test_policies_take_turns_and_keep_their_returns():
    env = ScriptedEnv(lengths=[4] * 6, pace=[100] * 6)
    episodes = measure(env, IdPolicy(), [0, 1, 2], 4)
    assert np.bincount(episodes.policy).tolist() == [4, 4, 4]
    for policy in range(3):
        assert set(episodes.select(policy).values["return"].tolist()) == {4 * (1 + 10.0 * policy)}


def test_successes_their_times_and_falls():
    env = ScriptedEnv(lengths=[10, 10, 4], pace=[3, 10, 5], failing=[2])
    values = measure(env, IdPolicy(), [0], 3).values
    # Successes at 3, 6, 9 of 10 steps; at the very last step; never. One step lasts half a second.
    assert values["successes"].tolist() == [3, 1, 0]
    np.testing.assert_allclose(values["time_to_success"], [1.5, 5.0, np.nan])
    np.testing.assert_allclose(values["time_per_success"], [5 / 3, 5.0, np.nan])
    assert values["fall"].tolist() == [0, 0, 1]


def test_second_episode_starts_counting_anew():
    env = ScriptedEnv(lengths=[5], pace=[4])
    values = measure(env, IdPolicy(), [0], 3).values
    assert values["successes"].tolist() == [1, 1, 1]
    assert values["time_to_success"].tolist() == [2.0, 2.0, 2.0]


def test_reaching_the_last_goal_is_no_fall():
    env = ScriptedEnv(lengths=[6, 6], pace=[3, 4], failing=[0, 1])
    env.cfg = SimpleNamespace(max_successes=2)
    assert measure(env, IdPolicy(), [0], 2).values["fall"].tolist() == [0, 1]


def test_episodes_longer_than_the_clock_are_waited_for():
    env = ScriptedEnv(lengths=[400], pace=[90])
    env.cfg = SimpleNamespace(max_successes=50)
    env.max_episode_length = 100  # the arms' clock starts anew at every success
    values = measure(env, IdPolicy(), [0], 2).values
    assert values["length"].tolist() == [400, 400]
    assert values["successes"].tolist() == [4, 4]


def test_shapes_are_told_apart():
    env = ScriptedEnv(lengths=[3] * 4, pace=[100] * 4)
    episodes = measure(env, IdPolicy(), [0], 4)
    assert episodes.shape.tolist() == [0, 1, 0, 1]
    assert episodes.select(shape=1).policy.size == 2


def test_stochastic_is_passed_on():
    env = ScriptedEnv(lengths=[2], pace=[100])
    assert measure(env, IdPolicy(), [0], 1, stochastic=True).values["return"].tolist() == [3.0]


def test_progress_ends_at_the_wanted_number():
    told = []
    env = ScriptedEnv(lengths=[20, 30], pace=[100, 100])
    measure(env, IdPolicy(), [0], 4, progress=lambda done, wanted: told.append((done, wanted)))
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)


def test_too_few_environments_are_refused():
    with pytest.raises(UserError, match="--num_envs 1"):
        measure(ScriptedEnv(lengths=[2], pace=[2]), IdPolicy(), [0, 1], 1)


@pytest.mark.parametrize(
    ("choice", "expected"), [("leader", [5]), ("each", [0, 1, 2, 3, 4, 5]), ("all", [0, 1, 2, 3, 4, 5]), ("2", [2])]
)
def test_choice_of_policies(choice, expected):
    assert chosen_policies(choice, 6) == expected


@pytest.mark.parametrize("choice", ["6", "-1", "best", ""])
def test_unknown_policy_is_refused(choice):
    with pytest.raises(UserError, match="--policy"):
        chosen_policies(choice, 6)


def test_selection_keeps_values_aligned():
    episodes = Episodes(np.array([0, 1, 1]), np.array([0, 0, 1]), {"return": np.array([1.0, 2.0, 3.0])})
    assert episodes.select(policy=1, shape=1).values["return"].tolist() == [3.0]

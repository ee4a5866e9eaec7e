# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What policies achieve in scripted environments whose every number is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.cli.rollouts import Episodes, run_episodes, run_steps, side_by_side
from cpo_rl.errors import UserError

# -- for some steps ----------------------------------------------------------------------------------------------------


def test_policies_side_by_side():
    assert side_by_side([0, 1, 2], 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert side_by_side([2], 4).tolist() == [2, 2, 2, 2]
    assert side_by_side([0], 2).tolist() == [0, 0]
    assert side_by_side([0, 1], 6).tolist() == [0, 0, 0, 1, 1, 1]
    assert side_by_side([0, 1], 3).tolist() == [0, 0, 1]


class CountingEnv:
    """Two environments whose reward is the policy's action; environment 1 ends an episode every second step."""

    num_envs = 2

    def __init__(self):
        self.steps = 0
        self.unwrapped = SimpleNamespace(device="cpu", sim=SimpleNamespace(is_running=lambda: self.steps < 100))

    def get_observations(self):
        return torch.zeros(2, 1)

    def step(self, actions):
        self.steps += 1
        dones = torch.tensor([0, 1 if self.steps % 2 == 0 else 0])
        metrics = {"successes": torch.tensor([0.0, float(self.steps)])}
        return torch.zeros(2, 1), actions[:, 0], dones, {"episode_metrics": metrics}


class Model:
    """Acts with ten times its policy's number plus one; remembers which environments it was told to forget."""

    def __init__(self):
        self.forgotten = []

    def eval(self):
        return self

    def __call__(self, observations, ids, stochastic_output):
        return (10.0 * ids + 1.0).unsqueeze(-1)

    def reset(self, dones):
        self.forgotten.append(dones.tolist())


def test_tallies_by_hand():
    """Policy 0 earns 1 per step and finishes nothing; policy 1 earns 11 per step in episodes of two steps."""
    model, counts = Model(), []
    first, second = run_steps(
        CountingEnv(), model, torch.tensor([0, 1]), 5, after_step=lambda count, counted: counts.append(count)
    )
    assert (first.policy, first.steps, first.reward, first.returns) == (0, 5, 5.0, [])
    assert (second.policy, second.steps, second.reward, second.returns) == (1, 5, 55.0, [22.0, 22.0])
    assert second.metrics == {"successes": [2.0, 4.0]}
    assert counts == [1, 2, 3, 4, 5]
    assert model.forgotten == [[0, 0], [0, 1], [0, 0], [0, 1], [0, 0]]


def test_without_a_limit_it_runs_until_the_viewer_is_closed():
    (tally,) = run_steps(CountingEnv(), Model(), torch.tensor([1, 1]), None)
    assert tally.steps == 200


# -- for some episodes -------------------------------------------------------------------------------------------------


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
        self.last_goal = torch.inf

    @property
    def unwrapped(self):
        return self

    def reset(self):
        self.clock.zero_()
        self.successes.zero_()
        return torch.zeros(self.num_envs, 1), {}

    def fell(self):
        return self.reset_terminated & (self.metric < self.last_goal)

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
    episodes = run_episodes(env, IdPolicy(), [0], 6)
    # Three episodes each, although the first environment finishes fifteen in the same time.
    assert sorted(episodes.values["length"].tolist()) == [2, 2, 2, 10, 10, 10]
    assert sorted(episodes.values["return"].tolist()) == [2, 2, 2, 10, 10, 10]


def test_episodes_are_rounded_up_to_whole_rounds():
    episodes = run_episodes(ScriptedEnv(lengths=[3] * 4, pace=[100] * 4), IdPolicy(), [0], 5)
    assert episodes.policy.size == 8


def test_policies_take_turns_and_keep_their_returns():
    env = ScriptedEnv(lengths=[4] * 6, pace=[100] * 6)
    episodes = run_episodes(env, IdPolicy(), [0, 1, 2], 4)
    assert np.bincount(episodes.policy).tolist() == [4, 4, 4]
    for policy in range(3):
        assert set(episodes.select(policy).values["return"].tolist()) == {4 * (1 + 10.0 * policy)}


def test_successes_their_times_and_falls():
    env = ScriptedEnv(lengths=[10, 10, 4], pace=[3, 10, 5], failing=[2])
    values = run_episodes(env, IdPolicy(), [0], 3).values
    # Successes at 3, 6, 9 of 10 steps; at the very last step; never. One step lasts half a second.
    assert values["successes"].tolist() == [3, 1, 0]
    np.testing.assert_allclose(values["time_to_success"], [1.5, 5.0, np.nan])
    np.testing.assert_allclose(values["time_per_success"], [5 / 3, 5.0, np.nan])
    assert values["fall"].tolist() == [0, 0, 1]


def test_second_episode_starts_counting_anew():
    env = ScriptedEnv(lengths=[5], pace=[4])
    values = run_episodes(env, IdPolicy(), [0], 3).values
    assert values["successes"].tolist() == [1, 1, 1]
    assert values["time_to_success"].tolist() == [2.0, 2.0, 2.0]


def test_reaching_the_last_goal_is_no_fall():
    env = ScriptedEnv(lengths=[6, 6], pace=[3, 4], failing=[0, 1])
    env.last_goal = 2
    assert run_episodes(env, IdPolicy(), [0], 2).values["fall"].tolist() == [0, 1]


def test_episodes_longer_than_the_clock_are_waited_for():
    env = ScriptedEnv(lengths=[400], pace=[90])
    env.cfg = SimpleNamespace(max_successes=50)
    env.max_episode_length = 100  # the arms' clock starts anew at every success
    values = run_episodes(env, IdPolicy(), [0], 2).values
    assert values["length"].tolist() == [400, 400]
    assert values["successes"].tolist() == [4, 4]


def test_shapes_are_told_apart():
    env = ScriptedEnv(lengths=[3] * 4, pace=[100] * 4)
    episodes = run_episodes(env, IdPolicy(), [0], 4)
    assert episodes.shape.tolist() == [0, 1, 0, 1]
    assert episodes.select(shape=1).policy.size == 2


def test_stochastic_is_passed_on():
    env = ScriptedEnv(lengths=[2], pace=[100])
    assert run_episodes(env, IdPolicy(), [0], 1, stochastic=True).values["return"].tolist() == [3.0]


def test_progress_ends_at_the_wanted_number():
    told = []
    env = ScriptedEnv(lengths=[20, 30], pace=[100, 100])
    run_episodes(env, IdPolicy(), [0], 4, progress=lambda done, wanted: told.append((done, wanted)))
    assert told[0] == (0, 4)
    assert told[-1] == (4, 4)


def test_too_few_environments_are_refused():
    with pytest.raises(UserError, match="--num_envs 1"):
        run_episodes(ScriptedEnv(lengths=[2], pace=[2]), IdPolicy(), [0, 1], 1)


def test_selection_keeps_values_aligned():
    episodes = Episodes(np.array([0, 1, 1]), np.array([0, 0, 1]), {"return": np.array([1.0, 2.0, 3.0])})
    assert episodes.select(policy=1, shape=1).values["return"].tolist() == [3.0]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The one counter of episodes and its views, on numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from cpo_rl.algorithms.episodes import EpisodeCounter, EpisodeSums, LastEpisodes
from cpo_rl.contracts import Environment


def of_task(**metrics):
    return {"episode_metrics": metrics}


# -- the counter -------------------------------------------------------------------------------------------------------


def test_an_episode_is_counted_with_its_last_step_and_the_next_one_anew():
    counter = EpisodeCounter(2, "cpu")
    counter.step(torch.tensor([1.0, 10.0]), torch.tensor([0, 0]), {})
    counted = counter.step(torch.tensor([2.0, 20.0]), torch.tensor([1, 0]), of_task(height=torch.tensor([0.5, 0.0])))
    assert counted.done.tolist() == [True, False]
    assert counted.returns.tolist() == [3.0, 30.0]
    assert counted.lengths.tolist() == [2.0, 2.0]
    assert counted.metrics["height"][0] == 0.5
    counted = counter.step(torch.tensor([4.0, 40.0]), torch.tensor([1, 1]), {})
    assert counted.returns.tolist() == [4.0, 70.0]
    assert counted.lengths.tolist() == [1.0, 3.0]
    assert (counted.ends, counted.goals, counted.first_goal) == (None, None, None)
    counter.forget()
    assert counter.step(torch.zeros(2), torch.zeros(2), {}).lengths.tolist() == [1.0, 1.0]


def test_a_perfect_episode_is_no_fall():
    """Four environments: by time, by a failure, by the last goal, and one that goes on."""
    env = SimpleNamespace(
        reset_terminated=torch.tensor([False, True, True, False]),
        fell=lambda: torch.tensor([False, True, False, False]),
    )
    counter = EpisodeCounter(4, "cpu", Environment(env))
    ends = counter.step(torch.zeros(4), torch.tensor([1, 1, 1, 0]), {}).ends
    assert ends is not None
    assert ends.time_out.tolist() == [True, False, False, False]
    assert ends.fall.tolist() == [False, True, False, False]
    assert ends.perfect.tolist() == [False, False, True, False]


def test_an_environment_that_tells_time_outs_only():
    """What did not end by time is a fall, as far as anybody can know."""
    counter = EpisodeCounter(3, "cpu", Environment(SimpleNamespace()))
    ends = counter.step(torch.zeros(3), torch.tensor([1, 1, 0]), {"time_outs": torch.tensor([1, 0, 0])}).ends
    assert ends is not None
    assert (ends.time_out.tolist(), ends.fall.tolist()) == ([True, False, False], [False, True, False])
    ends = counter.step(torch.zeros(3), torch.tensor([1, 0, 0]), {}).ends
    assert ends is not None
    assert (ends.fall.tolist(), ends.perfect.any().item()) == ([True, False, False], False)


def test_goals_are_counted_when_they_are_reached_also_in_the_last_step():
    env = SimpleNamespace(successes=torch.zeros(2))
    counter = EpisodeCounter(2, "cpu", Environment(env))

    def step(running, done, final=(0.0, 0.0)):
        env.successes = torch.tensor(running)
        return counter.step(torch.zeros(2), torch.tensor(done), of_task(successes=torch.tensor(final)))

    counted = step([0.0, 1.0], [0, 0])
    assert counted.goals.tolist() == [0.0, 1.0]
    assert math.isnan(counted.first_goal[0]) and counted.first_goal[1] == 1.0
    counted = step([0.0, 0.0], [1, 1], final=(1.0, 3.0))  # the environment has already started anew
    assert counted.goals.tolist() == [1.0, 2.0]
    assert counted.first_goal.tolist() == [2.0, 1.0]
    counted = step([1.0, 0.0], [0, 0], final=(1.0, 3.0))
    assert counted.goals.tolist() == [1.0, 0.0]
    assert counted.first_goal[0] == 1.0


# -- per policy --------------------------------------------------------------------------------------------------------


def test_the_outcome_of_an_episode_stays_until_the_next_one_ends():
    episodes = LastEpisodes(2, 1, "cpu")
    for reward, done in ((1.0, False), (2.0, True), (10.0, False)):
        episodes.step(torch.full((2,), reward), torch.tensor([done, False]), {})
    total, count = episodes.per_policy()["return"]
    assert (total.tolist(), count.tolist()) == ([3.0], [1.0])
    assert episodes.running.returns.tolist() == [10.0, 13.0]
    episodes.forget_running()
    assert episodes.running.returns.tolist() == [0.0, 0.0]
    assert episodes.per_policy()["return"][0].tolist() == [3.0]


def test_statistics_survive_a_checkpoint_and_another_size_starts_anew():
    first = LastEpisodes(4, 2, "cpu")
    first.step(torch.ones(4), torch.tensor([True, False, True, False]), of_task(successes=torch.arange(4.0)))
    second, smaller = LastEpisodes(4, 2, "cpu"), LastEpisodes(2, 2, "cpu")
    second.load_state_dict(first.state_dict())
    smaller.load_state_dict(first.state_dict())
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert not smaller.finished.any()


# -- per iteration -----------------------------------------------------------------------------------------------------


def test_sums_are_of_what_finished_since_the_last_reading():
    sums = EpisodeSums(3, "cpu")
    sums.step(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 0]), {})
    sums.step(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 1, 0]), {})
    assert sums.read().tolist() == [3.0, 2.0 + 2.0 + 2.0, 1.0 + 2.0 + 1.0]
    assert sums.read().tolist() == [0.0, 0.0, 0.0]
    sums.step(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 0, 1]), {})
    assert sums.read().tolist() == [1.0, 9.0, 3.0]


def test_an_infinite_running_return_spoils_no_sum():
    sums = EpisodeSums(2, "cpu")
    sums.step(torch.tensor([math.inf, 1.0]), torch.tensor([0, 1]), {})
    assert sums.read().tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("num_envs", [2, 3])
def test_running_episodes_survive_a_checkpoint_of_as_many_environments(num_envs):
    first, second = EpisodeSums(2, "cpu"), EpisodeSums(num_envs, "cpu")
    first.step(torch.tensor([1.0, 2.0]), torch.tensor([0, 0]), {})
    assert set(first.state_dict()) == {"reward", "length"}
    second.load_state_dict(first.state_dict())
    second.step(torch.ones(num_envs), torch.ones(num_envs), {})
    assert second.read().tolist() == ([2.0, 2.0 + 3.0, 2.0 + 2.0] if num_envs == 2 else [3.0, 3.0, 3.0])


# -- quarantine --------------------------------------------------------------------------------------------------------


def flags(*names):
    return torch.tensor(names, dtype=torch.bool)


def test_a_quarantined_end_is_no_finished_episode_and_the_next_one_starts_anew():
    counter = EpisodeCounter(2, "cpu")
    extras = {"quarantined": flags(True, False)}
    first = counter.step(torch.tensor([1.0e30, 1.0]), torch.tensor([1, 1]), extras)
    assert first.done.tolist() == [False, True]
    second = counter.step(torch.tensor([2.0, 3.0]), torch.tensor([1, 1]), {})
    assert second.done.all() and second.returns.tolist() == [2.0, 3.0] and second.lengths.tolist() == [1.0, 1.0]


def test_an_episode_with_a_void_step_that_went_on_does_not_count():
    sums, last = EpisodeSums(2, "cpu"), LastEpisodes(2, 1, "cpu")
    steps = [([1.0, 1.0], [0, 0], [True, False]), ([1.0, 1.0], [0, 0], [False] * 2), ([1.0, 1.0], [1, 1], [False] * 2)]
    for rewards, dones, void in steps:
        for view in (sums, last):
            view.step(torch.tensor(rewards), torch.tensor(dones), {"episode_metrics": {}}, flags(*void))
    assert sums.read().tolist() == [1.0, 3.0, 3.0]
    assert last.finished.tolist() == [False, True] and last.last["return"].tolist() == [0.0, 3.0]
    again = LastEpisodes(2, 1, "cpu")
    again.load_state_dict(last.state_dict())
    again.step(torch.ones(2), torch.ones(2), {})
    assert again.last["return"].tolist() == [1.0, 1.0]


def test_a_quarantined_end_is_no_fall_and_reaches_no_goal():
    env = SimpleNamespace(reset_terminated=flags(True, True), successes=torch.tensor([0.0, 0.0]))
    counter = EpisodeCounter(2, "cpu", Environment(env))
    counter._goals.copy_(torch.tensor([2.0, 2.0]))
    extras = {"quarantined": flags(True, False), "episode_metrics": {"successes": torch.tensor([5.0, 3.0])}}
    counted = counter.step(torch.zeros(2), torch.ones(2), extras)
    assert counted.ends.fall.tolist() == [False, True]
    assert counted.goals.tolist() == [0.0, 1.0]
    assert counter._goals.tolist() == [0.0, 0.0]

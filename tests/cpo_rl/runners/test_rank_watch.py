# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Several processes: who hangs, who failed first, and what each of them restores; without starting any."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from tests.cpo_rl.runners.support import ensemble_cfg, make_env, make_runner

from cpo_rl.config import RunnerOptions
from cpo_rl.contracts import Algorithm
from cpo_rl.distributed import PROGRESS
from cpo_rl.runners import checkpointed_runner, rank_watch
from cpo_rl.runners.rank_state import RankState, gather_ranks
from cpo_rl.runners.rank_watch import LONGEST_S, RankWatch
from cpo_rl.runs import random_state


class Clock:
    """A clock that stands still unless told otherwise."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(rank_watch.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(rank_watch.time, "sleep", lambda seconds: setattr(self, "now", self.now + seconds))


class Ranks:
    """Watches of several ranks in one process, which share a store; each has its own count of moves."""

    def __init__(self, monkeypatch, count=3, timeout_s=100.0, grace_s=40.0):
        self.clock, self.monkeypatch = Clock(monkeypatch), monkeypatch
        self.store, self.ended = torch.distributed.HashStore(), {}
        self.moves = [0] * count

        def watch(rank):
            end = lambda outcome: self.ended.setdefault(rank, outcome)  # noqa: E731
            return RankWatch(self.store, rank, count, timeout_s=timeout_s, grace_s=grace_s, end=end)

        self.watches = [watch(rank) for rank in range(count)]
        self.look()
        for one in self.watches:
            one.started()

    def look(self, *ranks):
        """Let the threads of some ranks, of all by default, look once."""
        for rank in ranks or range(len(self.watches)):
            self.monkeypatch.setattr(PROGRESS, "moves", self.moves[rank])
            self.watches[rank].look()

    def wait(self, seconds):
        """Let time pass, with a look of all once a second."""
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self.look()


def test_a_rank_that_hangs_is_noticed_within_two_minutes_and_named(monkeypatch):
    assert RunnerOptions.from_cfg({"num_steps_per_env": 1, "save_interval": 1}).rank_timeout_s < 120.0
    ranks = Ranks(monkeypatch)
    ranks.moves = [58, 57, 58]
    ranks.wait(99)
    assert ranks.ended == {}
    ranks.wait(4)
    assert sorted(ranks.ended) == [0, 1, 2]
    for outcome in ranks.ended.values():
        assert (outcome.status, outcome.exit_code) == ("crashed", 1)
        assert "because rank 1 hangs (rank_timeout_s=100)" in outcome.message


@pytest.mark.parametrize(
    ("moves", "who"),
    [
        ([5, 5, 5], "all ranks stand still at one place"),
        ([9, 3, 3], "rank 1, 2 hang"),
        ([1, 2, 3], "rank 0 hangs"),
    ],
)
def test_whoever_has_done_least_holds_the_others_up(monkeypatch, moves, who):
    ranks = Ranks(monkeypatch)
    ranks.moves = moves
    ranks.wait(103)
    assert who in ranks.ended[0].message


def test_as_long_as_anybody_moves_nobody_hangs(monkeypatch):
    ranks = Ranks(monkeypatch)
    for _ in range(10):
        ranks.moves[1] += 1
        ranks.wait(60)
    assert ranks.ended == {}


def test_starting_and_writing_may_take_ten_minutes(monkeypatch):
    ranks = Ranks(monkeypatch)
    with ranks.watches[0].busy():
        ranks.wait(LONGEST_S - 5)
        assert ranks.ended == {}
    ranks.wait(3)
    assert sorted(ranks.ended) == [0, 1, 2]
    again = Ranks(monkeypatch)
    again.watches[2]._busy = 1
    again.wait(LONGEST_S - 5)
    assert again.ended == {}
    again.wait(10)
    assert sorted(again.ended) == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_stop_signal_to_any_rank_is_obeyed_while_one_hangs(monkeypatch, number):
    ranks = Ranks(monkeypatch, timeout_s=1e6)
    ranks.moves = [8, 7, 8]
    ranks.wait(5)
    ranks.watches[2].stop_requested(number)
    ranks.wait(25)
    assert sorted(ranks.ended) == [0, 1, 2], "within 30 s, after which a launcher kills"
    for outcome in ranks.ended.values():
        assert outcome.exit_code == 128 + number and "because rank 1 hangs" in outcome.message
        assert outcome.status == ("stopped" if number == signal.SIGINT else "preempted")


def test_a_stop_signal_waits_for_an_iteration_that_goes_on(monkeypatch):
    ranks = Ranks(monkeypatch)
    ranks.watches[0].stop_requested(signal.SIGTERM)
    for _ in range(30):
        ranks.moves = [count + 1 for count in ranks.moves]
        ranks.wait(9)
    assert ranks.ended == {}


def test_a_stop_signal_is_obeyed_ten_seconds_after_the_last_move_and_the_first_one_counts(monkeypatch):
    ranks = Ranks(monkeypatch)
    ranks.wait(1)  # until all have heard of each other
    ranks.watches[0].stop_requested(signal.SIGTERM)
    ranks.watches[0].stop_requested(signal.SIGINT)
    ranks.wait(10)
    assert ranks.ended == {}
    ranks.wait(1)
    assert ranks.ended[0].exit_code == 128 + signal.SIGTERM


def test_writing_inside_of_writing_is_still_writing(monkeypatch):
    ranks = Ranks(monkeypatch)
    with ranks.watches[0].busy():
        with ranks.watches[0].busy():
            pass
        ranks.wait(110)
    assert ranks.ended == {} and LONGEST_S == 600.0


@pytest.mark.parametrize(("timeout_s", "interval"), [(0.5, 0.1), (100.0, 1.0)])
def test_the_thread_looks_once_a_second_or_five_times_before_the_limit(timeout_s, interval):
    watch = RankWatch(torch.distributed.HashStore(), 0, 1, timeout_s=timeout_s, grace_s=1.0, end=lambda outcome: None)
    waited = []
    watch._done = SimpleNamespace(wait=lambda seconds: waited.append(seconds) or len(waited) == 3)
    watch._run()
    assert waited == [interval] * 3


BROKEN = RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:3")


def test_the_first_that_failed_is_named_by_the_others(monkeypatch):
    ranks = Ranks(monkeypatch)
    assert ranks.watches[1].first_failure(RuntimeError("the motor fell off\nand more")) is None
    assert ranks.watches[0].first_failure(BROKEN) == "rank 1 failed first: RuntimeError: the motor fell off"
    assert ranks.watches[2].first_failure(ValueError("mine")) == "rank 1 failed first: RuntimeError: the motor fell off"


def test_one_that_was_killed_is_known_by_its_silence(monkeypatch):
    ranks = Ranks(monkeypatch)
    real = rank_watch.time.sleep

    def sleep(seconds):
        real(seconds)
        ranks.look(0, 1)

    monkeypatch.setattr(rank_watch.time, "sleep", sleep)
    ranks.watches[0].stop_requested(signal.SIGTERM)  # a launcher tells the others to end
    ranks.clock.now += 100.0
    assert ranks.watches[0].first_failure(BROKEN) == "rank 2 failed first: it ended without a word (killed?)"
    assert 0 not in ranks.ended


def test_a_store_that_is_gone_ends_no_report_and_no_thread(monkeypatch):
    ranks = Ranks(monkeypatch)
    gone = SimpleNamespace()
    monkeypatch.setattr(ranks.watches[0], "_store", gone)
    assert ranks.watches[0].first_failure(BROKEN) == "the connection to another rank broke"
    assert ranks.watches[0].first_failure(ValueError("mine")) is None


def test_the_thread_looks_until_it_is_told_to_end():
    ended = []
    watch = RankWatch(torch.distributed.HashStore(), 0, 1, timeout_s=0.1, grace_s=1.0, end=ended.append)
    with watch:
        watch.started()
        until = time.monotonic() + 10.0
        while not ended and time.monotonic() < until:
            time.sleep(0.02)
    assert ended and not watch._thread.is_alive()


# -- what joins and what is restored -----------------------------------------------------------------------------------


def test_a_collective_call_times_out_within_minutes(monkeypatch):
    asked = {}
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *args, **kwargs: asked.update(kwargs))
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    runner = SimpleNamespace(device="cpu", cfg={})
    checkpointed_runner.CheckpointedRunner._configure_multi_gpu(runner)
    assert timedelta(minutes=2) <= asked["timeout"] <= timedelta(minutes=10)
    assert (asked["rank"], asked["world_size"], runner.cfg["multi_gpu"]["world_size"]) == (1, 2, 2)


class Remembering:
    """An algorithm that remembers whose state it was given."""

    def rank_state(self):
        return {}

    def load_rank_state(self, state):
        self.loaded = state

    def reset_episodes(self):
        self.loaded = None


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_rank_restores_its_own_generators_algorithm_state_environments_and_episodes(rank):
    env, alg, given = make_env(), Remembering(), []
    env.restore_from_checkpoint = given.append
    state = RankState(env, Algorithm(alg), "cpu", several=True)
    state.episodes = SimpleNamespace(load_state_dict=given.append, forget_running=lambda: given.append("new"))
    parts = ("algorithm", "env", "episodes")
    ranks = [{part: f"{part} of {number}" for part in parts} for number in range(3)]
    for each in ranks:
        each["random"] = random_state.capture("cpu")
    checkpoint = {"exact": True, "world_size": 3, "num_envs": env.num_envs, "ranks": ranks}
    report = state.restore(checkpoint, rank, 3)
    assert report.random is ranks[rank]["random"] and alg.loaded == f"algorithm of {rank}"
    assert given == [f"env of {rank}", f"episodes of {rank}"] and report.env_restored


def test_only_the_first_rank_takes_its_own_state_from_the_shared_part():
    """What an algorithm saves is rank 0's; the others get theirs from the list of ranks."""
    saved = make_runner(ensemble_cfg())
    saved.learn(2)
    state = saved.alg.save()
    for rank in (0, 1):
        alg = make_runner(ensemble_cfg()).alg
        alg.ranks.rank = rank
        noise = alg.random.rank_state()["noise"].clone()
        alg.load(state)
        restored = torch.equal(alg.random.rank_state()["noise"], state["generators"]["noise"])
        assert restored == (rank == 0) and torch.equal(alg.random.rank_state()["noise"], noise) == (rank == 1)
        assert torch.equal(alg.episodes.finished, state["episodes"]["finished"]) == (rank == 0)


def test_states_travel_between_ranks_through_the_restricted_reader(monkeypatch):
    given, real = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: given.append(kwargs) or real(*args, **kwargs))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather", lambda parts, mine: [part.copy_(mine) for part in parts])
    states = gather_ranks({"random": torch.arange(3)}, True, "cpu")
    assert [state["random"].tolist() for state in states] == [[0, 1, 2]] * 2
    assert [kwargs["weights_only"] for kwargs in given] == [True, True]

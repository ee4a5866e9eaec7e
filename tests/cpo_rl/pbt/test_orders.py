# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A member that an engine outside tells what to do: it publishes, waits, and follows every order once."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from tests.cpo_rl.pbt.pbt_job import STEPS, member_cfg, member_runner
from tests.cpo_rl.pbt.test_runner import events, learned, publish_donors
from tests.cpo_rl.runners.support import differing

from cpo_rl.pbt import Order, PbtCfg, Workspace
from cpo_rl.runs.checkpoints import read_complete
from cpo_rl.runs.payload import from_bytes

CFG = PbtCfg(interval_steps=2 * STEPS, start_after=0, initial_delay=0, mutation_rate=0.5)


def obedient(workspace: Workspace):
    return member_runner(workspace, 0, member_cfg(0), CFG, takes_orders=True)


def when_published(workspace: Workspace, iteration: int, then) -> threading.Thread:
    """Do something once member 0 has published after an iteration, as an engine would."""

    def wait() -> None:
        end = time.monotonic() + 60.0
        while workspace.at(0, iteration) is None and time.monotonic() < end:
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    made = Workspace(tmp_path, 3)
    publish_donors(made)
    made.give_order(0, Order("first", {"gamma": 0.97}))
    return made


def test_a_member_begins_with_the_parameters_of_its_order_and_copies_when_it_is_told_to(workspace):
    runner = obedient(workspace)
    donor = workspace.published(1)[-1]
    copy = Order("second", {"gamma": 0.98, "num_learning_epochs": 3.0}, donor.member, donor.iteration)
    thread = when_published(workspace, 2, lambda: workspace.give_order(0, copy))
    runner.learn(2)
    thread.join()
    published = workspace.at(0, 2)
    assert (published.order, published.parameters["gamma"]) == ("first", 0.97)
    stored = from_bytes(read_complete(workspace.checkpoint(donor))[0])
    assert (
        differing({name: stored[name] for name in ("model", "optimizer", "adversary", "regulator")}, learned(runner))
        == []
    )
    assert (runner.alg.cfg.gamma, runner.alg.cfg.num_learning_epochs) == (0.98, 3)
    assert type(runner.alg.cfg.num_learning_epochs) is int
    start, decided = events(workspace, 0)
    assert start["event"] == "start" and start["changed"]["gamma"] == [0.99, 0.97]
    assert (decided["event"], decided["donor"], decided["donor_iteration"]) == ("copy", 1, donor.iteration)


def test_an_order_is_followed_once_also_by_a_continued_process(workspace):
    first = obedient(workspace)
    thread = when_published(workspace, 2, lambda: workspace.give_order(0, Order("second", {"gamma": 0.98})))
    first.learn(3)
    thread.join()
    assert first.member.restarts == 1
    second = obedient(workspace)
    assert second.resume() and second.member.followed == "second"
    thread = when_published(workspace, 4, lambda: workspace.give_order(0, Order("third", {})))
    second.learn(1)
    thread.join()
    assert (second.member.restarts, second.member.followed, second.alg.cfg.gamma) == (1, "third", 0.98)
    assert [event["event"] for event in events(workspace, 0)] == ["start", "mutate", "keep"]


def test_an_order_given_while_nobody_trained_is_followed_at_the_start(workspace):
    first = obedient(workspace)
    first.learn(1)
    workspace.give_order(0, Order("second", {"gamma": 0.98}))
    second = obedient(workspace)
    second.resume()
    thread = when_published(workspace, 2, lambda: workspace.give_order(0, Order("third", {})))
    second.learn(1)
    thread.join()
    assert workspace.at(0, 2) is None or workspace.at(0, 2).order == "second"
    assert second.alg.cfg.gamma == 0.98


def test_a_donor_that_is_gone_is_passed_over(workspace):
    runner = obedient(workspace)
    before = runner.alg.cfg.desired_kl
    thread = when_published(workspace, 2, lambda: workspace.give_order(0, Order("second", {"desired_kl": 0.5}, 2, 77)))
    runner.learn(2)
    thread.join()
    assert events(workspace, 0)[-1]["event"] == "skip" and "is gone" in events(workspace, 0)[-1]["reason"]
    assert runner.alg.cfg.desired_kl == before


def test_a_stop_signal_ends_the_waiting_with_a_checkpoint(workspace):
    runner = obedient(workspace)
    thread = when_published(workspace, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    runner.learn(100)
    thread.join()
    assert (runner.outcome.exit_code, runner.completed_iterations) == (143, 2)
    assert (runner.folder.path / "model_2.pt").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"id": 1, "parameters": {}}',
        '{"id": "a", "parameters": {"gamma": "x"}}',
        '{"id": "a", "parameters": {}, "donor": -1}',
        '{"id": "a", "parameters": {}, "donor": true}',
    ],
)
def test_a_damaged_order_is_none(tmp_path, text):
    workspace = Workspace(tmp_path, 3)
    workspace.folder(0).mkdir()
    (workspace.folder(0) / "order.json").write_text(text)
    assert workspace.order(0) is None

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A few broken environments cost a run their steps and nothing else; many stop it, and it says why."""

from __future__ import annotations

import math

import pytest
from tests.cpo_rl.runners.injection import (
    HORIZON,
    HUGE,
    INF,
    NAN,
    CountReads,
    InjectingEnv,
    all_finite,
    learned,
    run,
    weights,
)
from tests.cpo_rl.runners.support import differing, ensemble_cfg, final_state, make_env, make_runner

from cpo_rl.runners.signals import GUARD_EXIT_CODE
from cpo_rl.runs.dump import describe, read_dump
from cpo_rl.runs.tables import read_metrics


def run_on(tmp_path, where, value, rnn="none", **algorithm):
    """Train four iterations; two of twelve environments, which are few here, are bad in the third and the fourth."""
    env = make_env(InjectingEnv)
    cfg = ensemble_cfg("cpo", rnn, quarantine_stop_fraction=0.2, **algorithm)
    runner = make_runner(cfg, tmp_path / "run", env=env)
    runner.learn(2)
    before = learned(runner)
    env.where, env.value, env.at, env.every_iteration = where, value, env.steps + 3, True
    runner.learn(2)
    return runner, before


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, HUGE, 1.0e30])
@pytest.mark.parametrize(("where", "void"), [("observations", 4.0), ("rewards", 2.0), ("declared", 2.0)])
def test_few_bad_environments_are_quarantined_and_training_goes_on(tmp_path, where, void, value, rnn):
    runner, before = run_on(tmp_path, where, value, rnn)
    assert (runner.outcome.status, runner.completed_iterations) == ("finished", 4), runner.outcome.message
    after = learned(runner)
    assert all_finite(after) and differing(weights(before)["model"], weights(after)["model"]) != []
    columns = read_metrics(tmp_path / "run/metrics.csv")
    assert columns["Env/quarantined"][:2] == [0.0, 0.0]
    # an observation that comes with the end of an episode voids one step instead of two
    assert all(void / 2 <= count <= void for count in columns["Env/quarantined"][2:])
    assert columns["Optimization/skipped_updates"] == [0.0] * 4
    assert all(math.isfinite(value) for name in columns for value in columns[name] if name.startswith("Loss/"))
    assert all(abs(value) < 1e3 for name in ("Leader/return", "Train/mean_reward") for value in columns[name][2:])
    assert list((tmp_path / "run").glob("dump_*.pt")) == [] and runner.alg.guard_report() is None


def test_an_absurd_number_is_called_so(tmp_path):
    runner, _ = run(tmp_path, "rewards", -1.0e30, 3)
    assert runner.outcome.exit_code == GUARD_EXIT_CODE
    expected = (
        "The first absurd number was in the rewards of environments 4, 7 at step 2 of the rollout of iteration 3; "
        "2 steps were void, in more than quarantine_stop_fraction=0.01 of the environments (details:"
    )
    assert runner.outcome.message.startswith(expected)
    assert describe(tmp_path / "run/dump_3.pt").startswith("The first absurd number was in the rewards")


def test_what_the_task_declares_is_told_with_its_reason(tmp_path):
    runner, before = run(tmp_path, "declared", NAN, 3)
    expected = "The task first quarantined a step of environments 4, 7 because of spin at step 2 of the rollout"
    assert runner.outcome.message.startswith(expected)
    assert differing(weights(before), weights(learned(runner))) == []
    assert read_dump(tmp_path / "run/dump_3.pt")["state_env_ids"] == [4, 7]


def test_a_run_continues_bit_for_bit_after_a_quarantine(tmp_path):
    """The episodes that quarantine spoiled are part of a checkpoint."""

    def environment():
        env = make_env(InjectingEnv)
        env.where, env.value, env.at, env.every_iteration = "rewards", NAN, 7, True
        return env

    cfg = ensemble_cfg("cpo", quarantine_stop_fraction=0.2)
    whole = make_runner(cfg, tmp_path / "whole", env=environment())
    whole.learn(4)
    make_runner(cfg, tmp_path / "parts", env=environment()).learn(2)
    rest = make_runner(cfg, tmp_path / "parts", env=environment(), seed=99)
    assert rest.resume()
    rest.env.steps = 2 * HORIZON
    rest.learn(2)
    assert differing(final_state(whole), final_state(rest)) == []


@pytest.mark.parametrize("where", ["declared", "rewards"])
def test_the_stock_runner_trains_on_too(where):
    from rsl_rl.runners import OnPolicyRunner

    env = make_env(InjectingEnv)
    env.where, env.value, env.at, env.every_iteration = where, NAN, 3, True
    # rsl_rl's runner raises on a NaN of the environment by itself unless it is told not to look
    cfg = {**ensemble_cfg("cpo", quarantine_stop_fraction=0.2), "check_for_nan": where == "declared"}
    runner = OnPolicyRunner(env, cfg)
    runner.learn(3)
    assert all_finite(runner.alg.save()["model"]) and runner.alg.quarantine.touched.nonzero().flatten().tolist() == [
        4,
        7,
    ]


def test_quarantine_costs_no_read_of_the_device_per_step():
    counts = []
    for steps in (8, 16):
        env = make_env(InjectingEnv)
        env.where, env.at, env.every_iteration = "declared", 3, True
        cfg = ensemble_cfg(diagnostics_interval=100, quarantine_stop_fraction=0.2)
        runner = make_runner({**cfg, "num_steps_per_env": steps}, env=env)
        runner.learn(1)
        with CountReads() as reads:
            runner.learn(1)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0, counts

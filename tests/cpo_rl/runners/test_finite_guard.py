# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A number that is not finite never reaches the weights, wherever it comes from, and the run says where that was."""

from __future__ import annotations

import json

import pytest
import torch
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
from tests.cpo_rl.runners.support import (
    differing,
    ensemble_cfg,
    make_env,
    make_runner,
    stock_ppo_cfg,
)

from cpo_rl.contracts import Algorithm
from cpo_rl.formulas import losses
from cpo_rl.runners.guard_watch import GuardWatch
from cpo_rl.runners.signals import GUARD_EXIT_CODE
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.dump import describe, read_dump

# Where it is put, the value, at which step of the third iteration, and where the report has to place it.
INJECTIONS = [
    pytest.param("observations", NAN, 3, "observations", 3, id="observation-nan"),
    pytest.param("observations", INF, 1, "observations", 1, id="observation-inf"),
    pytest.param("observations", -INF, 5, "observations", 5, id="observation-minus-inf"),
    pytest.param("observations", NAN, HORIZON, "observations", HORIZON, id="last-observation-nan"),
    pytest.param("rewards", NAN, 3, "rewards", 2, id="reward-nan"),
    pytest.param("rewards", INF, 1, "rewards", 0, id="reward-inf"),
    pytest.param("rewards", -INF, HORIZON, "rewards", HORIZON - 1, id="reward-minus-inf"),
]


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize(("where", "value", "step", "tensor", "said_step"), INJECTIONS)
def test_what_the_environment_breaks_stops_the_run_before_the_weights(
    tmp_path, where, value, step, tensor, said_step, rnn
):
    runner, before = run(tmp_path, where, value, step, rnn=rnn)
    assert runner.completed_iterations == 3
    assert (runner.outcome.status, runner.outcome.exit_code) == ("stopped", GUARD_EXIT_CODE)
    assert differing(weights(before), weights(learned(runner))) == []
    assert all_finite(learned(runner))
    expected = f"in the {tensor} of environments 4, 7 at step {said_step} of the rollout of iteration 3"
    assert expected in runner.outcome.message
    stored = json.loads((tmp_path / "run/manifest.json").read_text())
    assert stored["status"] == "stopped" and expected in stored["error"]
    dump = read_dump(tmp_path / "run/dump_3.pt")
    assert (dump["iteration"], dump["seed"], dump["state_env_ids"]) == (3, 5, [4, 7])
    raw = dump["states"][f"{tensor} (raw, when first bad)"]
    assert raw.shape[0] == 2 and bool(
        (~raw.isfinite()).flatten(1).any(1).all() if raw.dim() > 1 else (~raw.isfinite()).all()
    )
    assert dump["config"]["algorithm"]["num_policies"] == 3


def test_a_huge_finite_reward_overflows_nothing(tmp_path):
    runner, _ = run(tmp_path, "rewards", HUGE, 3)
    assert all_finite(learned(runner))


def test_a_huge_finite_observation_overflows_nothing(tmp_path):
    runner, _ = run(tmp_path, "observations", HUGE, 3)
    assert all_finite(learned(runner))
    assert all_finite(runner._payload(None)["model"])


@pytest.mark.parametrize("where", ["log", "episode metrics"])
def test_a_bad_metric_stops_nothing(tmp_path, where):
    runner, _ = run(tmp_path, where, NAN, 3)
    assert (runner.outcome.status, runner.outcome.exit_code) == ("finished", 0) and all_finite(learned(runner))
    assert CheckpointStore(tmp_path / "run").latest().name == "model_4.pt"


def poison(monkeypatch, runner, place):
    """Break one tensor inside the update of the next iteration."""
    alg = runner.alg
    if place.startswith("loss"):
        name = place.removeprefix("loss ")
        real = getattr(losses, name)
        monkeypatch.setattr(losses, name, lambda *args: real(*args) * NAN)
    elif place == "gradient":
        next(alg.model.parameters()).register_hook(lambda grad: grad.index_fill(0, torch.tensor([0]), INF))
    elif place == "one gradient step":
        fired = []

        def once(grad):
            fired.append(1)
            return grad * NAN if len(fired) == 2 else grad

        alg.model.log_std.register_hook(once)
    elif place == "discriminator gradient":
        next(alg.diversity.discriminator.parameters()).register_hook(lambda grad: grad * INF)
    elif place == "action mean":
        real_evaluate = alg.model.evaluate_inputs

        def evaluate(*args, **kwargs):
            out = real_evaluate(*args, **kwargs)
            if alg.rollout.step == 4:
                out.mean[5] = NAN
            return out

        monkeypatch.setattr(alg.model, "evaluate_inputs", evaluate)
    elif place == "diversity bonus":
        real_bonus = alg.diversity.bonus
        monkeypatch.setattr(alg.diversity, "bonus", lambda *args: real_bonus(*args) + INF)


@pytest.mark.parametrize(
    "place",
    [
        "loss value",
        "loss surrogate",
        "loss awac",
        "gradient",
        "discriminator gradient",
        "action mean",
        "diversity bonus",
    ],
)
def test_what_breaks_inside_the_update_does_not_reach_the_weights(tmp_path, monkeypatch, place):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(2)
    before = learned(runner)
    poison(monkeypatch, runner, place)
    runner.learn(2)
    after = learned(runner)
    assert all_finite(after)
    if place == "discriminator gradient":  # the policy's own update is sound, only the discriminator stands still
        assert differing(before["adversary"], after["adversary"]) == []
        return
    assert differing(weights(before)["model"], weights(after)["model"]) == []
    assert runner.outcome.exit_code == GUARD_EXIT_CODE and runner.completed_iterations == 3
    if place == "action mean":
        assert "in the actions of environment 5 at step 4" in runner.outcome.message
    if place == "gradient":
        assert read_dump(tmp_path / "run/dump_3.pt")["parameters"]


def test_skipping_goes_on_and_counts(tmp_path):
    runner, _ = run(tmp_path, "rewards", NAN, 3, iterations=5, non_finite="skip", max_skipped_updates=100)
    assert runner.outcome.status == "finished" and runner.completed_iterations == 5
    assert all_finite(learned(runner))
    events = json.loads((tmp_path / "run/manifest.json").read_text())["history"]
    assert [e["event"] for e in events] == ["skipped update"] and "the update was skipped" in events[0]["message"]
    assert runner._guard.skipped_in_a_row == 0, "a sound iteration starts the count anew"
    assert (tmp_path / "run/dump_3.pt").exists()


def test_skipping_changes_the_weights_again_afterwards(tmp_path):
    runner, before = run(tmp_path, "rewards", NAN, 3, iterations=4, non_finite="skip", max_skipped_updates=100)
    assert differing(weights(before)["model"], weights(learned(runner))["model"]) != []


def test_a_single_bad_gradient_step_skips_only_itself(tmp_path, monkeypatch):
    runner = make_runner(ensemble_cfg(non_finite="skip"), tmp_path / "run")
    runner.learn(2)
    before = learned(runner)
    poison(monkeypatch, runner, "one gradient step")
    runner.learn(1)
    assert runner._guard.skipped_in_a_row == 1
    assert differing(weights(before)["model"], weights(learned(runner))["model"]) != [] and all_finite(learned(runner))


def test_skipping_has_a_limit(tmp_path):
    env = make_env(InjectingEnv)
    env.where, env.value, env.at, env.every_iteration = "rewards", NAN, 2, True
    # iterations count, however many gradient steps each has
    cfg = ensemble_cfg(non_finite="skip", max_skipped_updates=2, num_learning_epochs=2, num_mini_batches=4)
    runner = make_runner(cfg, tmp_path / "run", env=env)
    runner.learn(10)
    assert runner.completed_iterations == 3 and runner.outcome.exit_code == GUARD_EXIT_CODE
    assert "stopped after 3 iterations with a skipped update in a row" in runner.outcome.message
    assert sorted(f.name for f in (tmp_path / "run").glob("dump_*.pt")) == ["dump_1.pt", "dump_3.pt"]


def test_the_stopped_run_can_be_resumed_once_its_cause_is_gone(tmp_path):
    run(tmp_path, "rewards", NAN, 3)
    assert CheckpointStore(tmp_path / "run").latest().name == "model_3.pt"
    again = make_runner(ensemble_cfg(), tmp_path / "run", env=make_env(InjectingEnv))
    assert again.resume() and again.completed_iterations == 3
    again.learn(1)
    assert again.outcome.status == "finished"


def test_an_algorithm_without_a_guard_is_stopped_at_a_bad_loss_and_its_weights_are_not_saved(tmp_path, monkeypatch):
    runner = make_runner(stock_ppo_cfg(), tmp_path / "run")
    runner.learn(1)
    real = runner.alg.update

    def update():
        metrics = real()
        next(runner.alg.actor.parameters()).data[0] = INF
        return {**metrics, "surrogate": NAN}

    monkeypatch.setattr(runner.alg, "update", update)
    runner.learn(3)
    assert runner.completed_iterations == 2 and runner.outcome.exit_code == GUARD_EXIT_CODE
    assert "'Loss/surrogate' of iteration 2 is not finite" in runner.outcome.message
    assert CheckpointStore(tmp_path / "run").latest().name == "model_1.pt"
    assert not (tmp_path / "run/model_2.pt").exists()


def test_weights_that_are_not_finite_are_named_and_not_saved(tmp_path, capsys):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.alg.model.embedding.data[0, 0] = NAN
    assert runner.save_checkpoint() is False
    assert "model.embedding holds a number that is not finite" in capsys.readouterr().out
    assert list((tmp_path / "run").glob("model_*")) == []


def test_the_dump_reads_as_text(tmp_path):
    run(tmp_path, "observations", INF, 3, env_ids=(1,))
    text = describe(tmp_path / "run/dump_3.pt")
    assert text.startswith(
        "The first number that was not finite was in the observations of environment 1 at step 3 of the rollout."
    )
    for part in (
        "InjectingEnv",
        "seed         5",
        "observations (raw, when first bad)",
        "[0, 2] = inf",
        '"num_policies": 3',
    ):
        assert part in text, text


def test_a_full_disk_does_not_keep_the_guard_from_stopping(tmp_path, monkeypatch):
    import cpo_rl.runners.guard_watch as module

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_dump", fail)
    runner, _ = run(tmp_path, "rewards", NAN, 3)
    assert runner.outcome.exit_code == GUARD_EXIT_CODE and "doctor" not in runner.outcome.message


def test_watching_costs_no_read_of_the_device_per_step():
    counts = []
    for steps in (8, 16, 32):
        cfg = {**ensemble_cfg(diagnostics_interval=100), "num_steps_per_env": steps}
        runner = make_runner(cfg)
        runner.learn(1)
        with CountReads() as reads:
            runner.learn(1)
        counts.append(reads.count)
    assert counts[0] == counts[1] == counts[2] > 0, counts


def test_the_read_counter_sees_the_stock_logger():
    from rsl_rl.runners import OnPolicyRunner

    counts = []
    for steps in (8, 16):
        runner = OnPolicyRunner(make_env(), {**stock_ppo_cfg(), "num_steps_per_env": steps})
        with CountReads() as reads:
            runner.learn(1)
        counts.append(reads.count)
    assert counts[1] > counts[0]


def test_the_watch_asks_only_when_something_was_skipped():
    class Alg:
        def guard_report(self):
            raise AssertionError("must not be asked")

    assert GuardWatch(Algorithm(Alg()), {}).check(
        1, 1, {"Optimization/skipped_updates": 0.0}, None, lambda *a: True
    ) == (
        None,
        None,
    )

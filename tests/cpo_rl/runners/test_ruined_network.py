# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An update that ruins the network is undone: what a run saves is sound, and displaces no other checkpoint."""

from __future__ import annotations

import math

import pytest
import torch
from tests.cpo_rl.runners.injection import INF, NAN, InjectingEnv, all_finite, learned, weights
from tests.cpo_rl.runners.support import differing, ensemble_cfg, make_env, make_runner

from cpo_rl.runners.signals import GUARD_EXIT_CODE
from cpo_rl.runs.checkpoints import CheckpointStore, read_complete
from cpo_rl.runs.payload import from_bytes


def saved(path):
    """What is learned in a checkpoint, and its sidecar."""
    data, manifest = read_complete(path)
    payload = from_bytes(data)
    return {name: payload[name] for name in ("model", "optimizer", "adversary", "regulator")}, manifest


def break_learning_rate(runner, rate=1.0e3):
    """Make the next steps absurdly long, as a mistyped setting of a resumed run would."""
    runner.alg.cfg.learning_rate_schedule = "fixed"
    runner.alg.policy_update.learning_rate.rate.fill_(rate)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize("rate", [1.0e3, 1.0e6, 1.0e20])
@pytest.mark.parametrize("non_finite", ["stop", "skip"])
def test_after_a_blow_up_the_last_sound_state_is_saved_and_displaces_nothing(tmp_path, rate, rnn, non_finite):
    cfg = {**ensemble_cfg("cpo", rnn, non_finite=non_finite), "save_interval": 1, "keep_last": 3}
    runner = make_runner(cfg, tmp_path / "run")
    runner.learn(6)
    before = learned(runner)
    break_learning_rate(runner, rate)
    # an update that is only too long is seen in what the network says next; one that skips goes on from there
    runner.learn(3 if non_finite == "stop" else 1)
    if non_finite == "skip":
        assert all_finite(learned(runner)) and runner.alg.sound_state.is_sound()
    else:
        assert runner.outcome.exit_code == GUARD_EXIT_CODE and runner.completed_iterations <= 8
    store = CheckpointStore(tmp_path / "run")
    kept, manifest = saved(store.latest())
    assert differing(weights(before), weights(kept)) == []
    if non_finite == "stop":
        assert manifest.stopped_by_guard and not manifest.exact and manifest.score is None
        assert {4, 5, 6} <= set(store.complete()) and store.best() != store.latest()


def test_resuming_again_and_again_eats_no_sound_checkpoint(tmp_path):
    cfg = {**ensemble_cfg(), "save_interval": 1, "keep_last": 2, "keep_best": 0}
    make_runner(cfg, tmp_path / "run").learn(4)
    for attempt in range(4):
        runner = make_runner(cfg, tmp_path / "run")
        assert runner.resume()
        break_learning_rate(runner)
        runner.learn(5)
        assert runner.outcome.exit_code == GUARD_EXIT_CODE
        complete = CheckpointStore(tmp_path / "run").complete()
        assert [i for i, m in complete.items() if not m.stopped_by_guard] == [3, 4], attempt
        assert len(complete) == 3
    cured = make_runner(cfg, tmp_path / "run")
    assert cured.resume()
    cured.alg.set_hyperparameters({"learning_rate": 1.0e-3})
    cured.learn(2)
    assert cured.outcome.exit_code == 0
    assert not any(m.stopped_by_guard for m in CheckpointStore(tmp_path / "run").complete().values())


def ruin(runner, what):
    """Give a network that passes for finite one absurd property."""
    model = runner.alg.model
    with torch.no_grad():
        if what == "noise":
            model.log_std.fill_(1149.0)
        elif what == "no noise":
            model.log_std.fill_(-1.0e4)
        elif what == "values":
            model.value_head.bias.fill_(1.0e30)
        elif what == "actions":
            model.mean_head.weight.fill_(1.0e20)
            model.mean_head.bias.fill_(1.0e20)
        elif what == "hidden":
            for parameter in model.trunk.parameters():
                parameter.mul_(1.0e12)


@pytest.mark.parametrize("what", ["noise", "no noise", "values", "actions", "hidden"])
def test_soundness_includes_noise_values_and_actions(tmp_path, what, capsys):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(2)
    assert runner.alg.sound_state.is_sound() and runner.save_checkpoint()
    ruin(runner, what)
    assert all_finite(learned(runner)["model"]) and not runner.alg.sound_state.is_sound()
    runner.completed_iterations = 3
    assert runner.save_checkpoint() is False
    assert "the network says absurd things" in capsys.readouterr().out
    assert CheckpointStore(tmp_path / "run").latest().name == "model_2.pt"


@pytest.mark.parametrize(
    ("what", "tensor"),
    [("noise", "actions"), ("no noise", "action noise"), ("values", "values"), ("actions", "actions")],
)
def test_what_a_ruined_network_says_is_named_and_nothing_is_learned_from_it(tmp_path, what, tensor):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(3)
    ruin(runner, what)
    runner.learn(2)
    assert (runner.outcome.exit_code, runner.completed_iterations) == (GUARD_EXIT_CODE, 4)
    assert f"was in the {tensor} of environment" in runner.outcome.message
    assert "steps were void" not in runner.outcome.message
    kept, manifest = saved(CheckpointStore(tmp_path / "run").latest())
    assert manifest.stopped_by_guard and all_finite(kept)
    assert float(kept["model"]["log_std"].abs().max()) < 10 and runner.alg.sound_state.is_sound()


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1.0e30])
def test_a_gradient_that_breaks_in_the_middle_leaves_the_parameters_of_the_iterations_start(tmp_path, value):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(2)
    before, calls = learned(runner), []

    def once(grad):
        calls.append(1)
        return torch.full_like(grad, value) if len(calls) == 3 else grad

    runner.alg.model.log_std.register_hook(once)
    runner.learn(1)
    assert runner.outcome.exit_code == GUARD_EXIT_CODE and len(calls) > 3
    kept, _ = saved(CheckpointStore(tmp_path / "run").latest())
    assert differing(before, kept) == [], "network, statistics, moments and learning rate"
    assert differing(before, learned(runner)) == []


def test_a_ruin_in_the_very_last_update_is_no_finished_run(tmp_path):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(3)
    before = learned(runner)
    break_learning_rate(runner)
    runner.learn(1)
    assert (runner.outcome.status, runner.outcome.exit_code) == ("stopped", GUARD_EXIT_CODE)
    kept, manifest = saved(CheckpointStore(tmp_path / "run").latest())
    assert manifest.iteration == 4 and manifest.stopped_by_guard
    assert differing(weights(before), weights(kept)) == []


def test_a_ruin_in_the_first_iteration_of_all(tmp_path):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    before = learned(runner)["model"]
    break_learning_rate(runner)
    runner.learn(2)
    assert runner.outcome.exit_code == GUARD_EXIT_CODE
    kept, _ = saved(CheckpointStore(tmp_path / "run").latest())
    parameters = [name for name in before if "normalizer" not in name]
    assert all(torch.equal(before[name], kept["model"][name]) for name in parameters)
    moments = kept["optimizer"]["state"].values()
    assert all(not bool(tensor.any()) for state in moments for tensor in state.values())


def test_keeping_the_state_changes_no_healthy_run(tmp_path, monkeypatch):
    runs = []
    for name in ("with", "without"):
        runs.append(make_runner(ensemble_cfg(rnn="lstm"), tmp_path / name))
        if name == "without":
            monkeypatch.setattr(runs[-1].alg.sound_state, "keep", lambda doubtful: None)
        runs[-1].learn(3)
    assert differing(learned(runs[0]), learned(runs[1])) == []


def test_a_single_absurd_reward_is_named_once_although_it_stops_nothing(tmp_path, capsys):
    env = make_env(InjectingEnv)
    env.where, env.value, env.at, env.env_ids, env.every_iteration = "rewards", 1.0e30, 3, (4,), True
    runner = make_runner(ensemble_cfg(quarantine_stop_fraction=0.5), tmp_path / "run", env=env)
    runner.learn(3)
    assert runner.outcome.exit_code == 0
    named = "The first absurd number was in the rewards of environment 4 at step 2 of the rollout; such steps are void"
    assert capsys.readouterr().out.count(named) == 1 and (tmp_path / "run/run.log").read_text().count(named) == 1
    assert math.isfinite(float(learned(runner)["model"]["value_normalizer.mean"]))

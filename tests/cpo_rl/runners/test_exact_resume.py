# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""k iterations, a checkpoint, and n - k more in a new process equal n iterations, bit for bit."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_rl.runners.support import (
    ForgetfulEnv,
    differing,
    ensemble_cfg,
    final_state,
    make_env,
    make_runner,
    stock_ppo_cfg,
)
from tests.envs.tracking import TrackingEnv

from cpo_rl.errors import UserError
from cpo_rl.runs.find import contents_of, resolve_checkpoint
from cpo_rl.runs.tables import read_metrics

CASES = [
    pytest.param(name, rnn, coef, id=f"{name}-{rnn}-adversarial{'+' if coef else '-'}")
    for name in ("ppo", "sapg", "cpo")
    for rnn in ("none", "lstm")
    for coef in (0.0, 0.01)
    if not (name == "ppo" and coef)  # a single policy has nothing to be told apart from
]


def table(path):
    columns = read_metrics(path / "metrics.csv")
    return {
        n: [str(v) for v in values]
        for n, values in columns.items()
        if not n.startswith(("Perf/env", "Perf/c", "Perf/up", "wall"))
    }


def scramble():
    """Leave every global generator in a state that has nothing to do with the run."""
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)


@pytest.mark.parametrize(("name", "rnn", "coef"), CASES)
def test_interrupted_equals_uninterrupted(tmp_path, name, rnn, coef):
    cfg = ensemble_cfg(name, rnn, adversarial_coef=coef)
    whole = make_runner(cfg, tmp_path / "whole")
    whole.learn(5)
    first = make_runner(cfg, tmp_path / "parts")
    first.learn(2)
    scramble()
    second = make_runner(cfg, tmp_path / "parts", env=make_env(seed=123), seed=99)
    assert second.resume() and second.completed_iterations == 2
    scramble()
    second.learn(3)
    assert differing(final_state(whole), final_state(second)) == []
    assert table(tmp_path / "whole") == table(tmp_path / "parts")
    assert (tmp_path / "whole/diagnostics.jsonl").read_text() == (tmp_path / "parts/diagnostics.jsonl").read_text()
    assert second.learn_until(5) is None and second.completed_iterations == 5


class Killed(BaseException):
    """Ends a run as a kill would, without a checkpoint."""


@pytest.mark.parametrize("iterations", [0, 1, 2])
def test_a_run_killed_before_its_first_checkpoint_goes_on_from_its_beginning(tmp_path, iterations):
    cfg = {**ensemble_cfg(), "save_interval": 3}
    whole = make_runner(cfg, tmp_path / "whole")
    whole.learn(4, init_at_random_ep_len=True)
    killed = make_runner(cfg, tmp_path / "parts")
    killed.logger._on_iteration, counted = kill_after(killed, iterations)
    with pytest.raises(Killed):
        killed.learn(4, init_at_random_ep_len=True)
    assert counted() == iterations and (tmp_path / "parts/model_0.pt").exists()
    scramble()
    second = make_runner(cfg, tmp_path / "parts", env=make_env(seed=123), seed=99)
    assert second.resume() and second.completed_iterations == 0
    second.learn(4, init_at_random_ep_len=True)
    assert differing(final_state(whole), final_state(second)) == []
    assert table(tmp_path / "whole") == table(tmp_path / "parts")
    names = sorted(path.name for path in (tmp_path / "parts").glob("model_*"))
    assert names == ["model_3.json", "model_3.pt", "model_4.json", "model_4.pt"]


def test_a_run_from_another_ones_checkpoint_is_as_safe_from_its_first_step(tmp_path):
    cfg = {**ensemble_cfg(), "save_interval": 3}
    make_runner(cfg, tmp_path / "first").learn(2)
    whole = make_runner(cfg, tmp_path / "whole")
    whole.load(str(tmp_path / "first/model_2.pt"))
    whole.learn(3)
    killed = make_runner(cfg, tmp_path / "parts")
    killed.load(str(tmp_path / "first/model_2.pt"))
    killed.logger._on_step = lambda: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        killed.learn(3)
    scramble()
    second = make_runner(cfg, tmp_path / "parts", env=make_env(seed=123), seed=99)
    assert second.resume() and second.completed_iterations == 2
    second.learn(3)
    assert differing(final_state(whole), final_state(second)) == []
    assert table(tmp_path / "whole") == table(tmp_path / "parts")


def kill_after(runner, iterations):
    """Return the runner's hook after an iteration that ends the run in iteration ``iterations + 1``, and its count."""
    after, done = runner.logger._on_iteration, []

    def hook(iteration, metrics):
        if iteration > iterations:
            raise Killed
        done.append(iteration)
        after(iteration, metrics)

    return hook, lambda: len(done)


def test_the_beginning_of_another_start_is_replaced(tmp_path, caplog):
    """A start without --resume may use a folder in which no iteration was finished."""
    first = make_runner({**ensemble_cfg(), "seed": 6}, tmp_path, seed=6)
    first.logger._on_step = lambda: (_ for _ in ()).throw(Killed)
    with pytest.raises(Killed):
        first.learn(1)
    begun = (tmp_path / "model_0.pt").read_bytes()
    assert contents_of(tmp_path).checkpoint and not contents_of(tmp_path).trained
    for wanted in ("latest", "best", str(tmp_path), str(tmp_path / "model_0.pt")):
        caplog.clear()
        assert resolve_checkpoint(wanted, tmp_path).name == "model_0.pt"
        assert "is what its run began with: no iteration is in it." in caplog.text
    second = make_runner(ensemble_cfg(), tmp_path)
    second.logger._on_step = first.logger._on_step
    with pytest.raises(Killed):
        second.learn(1)
    assert (tmp_path / "model_0.pt").read_bytes() != begun
    assert json.loads((tmp_path / "model_0.json").read_text())["config"]["seed"] == 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_interrupted_equals_uninterrupted_on_a_gpu(tmp_path, rnn):
    """The noise of a rollout comes from the device's generators there; sums of this size are reproducible."""
    cfg = ensemble_cfg("cpo", rnn)
    on_gpu = {"device": "cuda:0"}
    whole = make_runner(cfg, tmp_path / "whole", env=make_env(**on_gpu), **on_gpu)
    whole.learn(4)
    make_runner(cfg, tmp_path / "parts", env=make_env(**on_gpu), **on_gpu).learn(2)
    second = make_runner(cfg, tmp_path / "parts", env=make_env(seed=123, **on_gpu), seed=99, **on_gpu)
    assert second.resume()
    scramble()
    second.learn(2)
    assert differing(final_state(whole), final_state(second)) == []


def test_the_comparison_sees_a_resume_without_random_state(tmp_path):
    cfg = ensemble_cfg()
    whole = make_runner(cfg, tmp_path / "whole")
    whole.learn(3)
    make_runner(cfg, tmp_path / "parts").learn(2)
    second = make_runner(cfg, tmp_path / "parts", seed=99)
    second.resume()
    second._pending_random = None
    second.learn(1)
    assert differing(final_state(whole), final_state(second)) != []


def test_stock_ppo_resumes_exactly_too(tmp_path):
    whole = make_runner(stock_ppo_cfg(), tmp_path / "whole")
    whole.learn(4)
    make_runner(stock_ppo_cfg(), tmp_path / "parts").learn(3)
    second = make_runner(stock_ppo_cfg(), tmp_path / "parts", seed=99)
    second.resume()
    second.learn(1)
    assert differing(final_state(whole), final_state(second)) == []


def test_learning_twice_equals_learning_once(tmp_path):
    whole = make_runner(ensemble_cfg(), tmp_path / "whole")
    whole.learn(4)
    parts = make_runner(ensemble_cfg(), tmp_path / "parts")
    parts.learn(1)
    parts.learn(3)
    assert differing(final_state(whole), final_state(parts)) == []
    assert table(tmp_path / "whole") == table(tmp_path / "parts")


def test_resume_from_an_older_checkpoint_after_a_crash_repeats_nothing_in_the_table(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run").learn(5)
    for suffix in ("pt", "json"):
        (tmp_path / f"run/model_5.{suffix}").unlink()
    second = make_runner(ensemble_cfg(), tmp_path / "run")
    assert second.resume() and second.completed_iterations == 4
    second.learn(3)
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [1, 2, 3, 4, 5, 6, 7]
    history = json.loads((tmp_path / "run/manifest.json").read_text())["history"]
    assert [(e["event"], e["iteration"]) for e in history] == [("resumed", 4)]


def test_what_a_killed_writer_left_goes_when_the_run_continues(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run").learn(1)
    left = [tmp_path / "run" / name for name in (".model_2.pt.123.tmp", ".manifest.json.9.tmp", ".metrics.csv.1.tmp")]
    for file in left:
        file.write_bytes(b"half")
    assert make_runner(ensemble_cfg(), tmp_path / "run").resume()
    assert [file for file in left if file.exists()] == []


def test_training_from_an_earlier_state_than_the_folder_holds_is_refused(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run").learn(3)
    again = make_runner(ensemble_cfg(), tmp_path / "run")
    with pytest.raises(UserError, match=r"already holds model_3\.pt"):
        again.learn(1)


def test_a_run_of_the_stock_runner_is_continued_in_its_folder(tmp_path):
    stock = OnPolicyRunner(make_env(), ensemble_cfg(), log_dir=str(tmp_path / "run"))
    stock.learn(3)
    ours = make_runner(ensemble_cfg(), tmp_path / "run")
    assert ours.resume() and ours.completed_iterations == 3
    assert differing(stock.alg.model.state_dict(), ours.alg.model.state_dict()) == []
    ours.learn(1)
    again = make_runner(ensemble_cfg(), tmp_path / "run")
    assert again.resume() and again.completed_iterations == 4


def test_nothing_to_resume_is_no_error(tmp_path):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    assert runner.resume() is False
    assert make_runner(ensemble_cfg()).resume() is False


def test_a_simulator_keeps_its_task_state_and_says_what_is_lost(tmp_path):
    env = make_env(ForgetfulEnv)
    make_runner(ensemble_cfg(rnn="lstm"), tmp_path / "run", env=env).learn(3)
    fresh = make_env(ForgetfulEnv)
    second = make_runner(ensemble_cfg(rnn="lstm"), tmp_path / "run", env=fresh)
    second.resume()
    assert fresh.tolerance == env.tolerance and fresh.common_step_counter == 24
    assert not second.alg.episodes.running.lengths.any(), "new episodes must not continue old returns"
    assert not any(t.any() for pair in second.alg._state for t in pair), "new episodes must start from a cleared memory"
    second.learn(1)
    log = (tmp_path / "run/run.log").read_text()
    assert "tolerance" in log and "starts new episodes" in log


def test_random_episode_starts_are_left_out_only_after_an_exact_resume(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "exact").learn(2)
    exact = make_runner(ensemble_cfg(), tmp_path / "exact")
    exact.resume()
    lengths = exact.env.episode_length_buf.clone()
    exact.learn(0, init_at_random_ep_len=True)
    assert torch.equal(exact.env.episode_length_buf, lengths)
    make_runner(ensemble_cfg(), tmp_path / "sim", env=make_env(ForgetfulEnv)).learn(2)
    inexact = make_runner(ensemble_cfg(), tmp_path / "sim", env=make_env(ForgetfulEnv, stagger=False))
    inexact.resume()
    assert not inexact.env.episode_length_buf.any()
    inexact.learn(0, init_at_random_ep_len=True)
    assert inexact.env.episode_length_buf.any()


def test_another_number_of_environments_keeps_what_it_can_and_says_so(tmp_path):
    first = make_runner(ensemble_cfg(), tmp_path / "run")
    first.learn(2)
    second = make_runner(ensemble_cfg(), tmp_path / "run", env=make_env(num_envs=24))
    second.resume()
    assert differing(first.alg.model.state_dict(), second.alg.model.state_dict()) == []
    assert second.logger.tot_timesteps == first.logger.tot_timesteps == 2 * 8 * 12
    second.learn(1)
    assert second.logger.tot_timesteps == 2 * 8 * 12 + 8 * 24
    assert "12 environments per rank before, 24 now" in (tmp_path / "run/run.log").read_text()


def test_an_environment_without_state_is_said(tmp_path):
    class Plain(TrackingEnv):
        state_for_checkpoint = property()  # type: ignore[assignment]

    make_runner(ensemble_cfg(), tmp_path / "run", env=make_env(Plain)).learn(1)
    second = make_runner(ensemble_cfg(), tmp_path / "run", env=make_env(Plain))
    second.resume()
    second.learn(1)
    assert "keeps no state in checkpoints" in (tmp_path / "run/run.log").read_text()


def test_weights_only_loading_leaves_the_run_alone(tmp_path):
    first = make_runner(ensemble_cfg(), tmp_path / "run")
    first.learn(2)
    second = make_runner(ensemble_cfg(), tmp_path / "other")
    second.load(str(tmp_path / "run/model_2.pt"), load_cfg={"actor": True})
    assert (second.completed_iterations, second.logger.tot_timesteps) == (0, 0)
    assert differing(first.alg.model.state_dict(), second.alg.model.state_dict()) == []

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is asked for when a run goes on happens, also where the checkpoint holds a value of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cpo_rl.runners.support import differing, ensemble_cfg, final_state, make_env, make_runner, stock_ppo_cfg

AGENTS = {"cpo": lambda **a: ensemble_cfg(**a), "stock": lambda **a: with_algorithm(stock_ppo_cfg(), **a)}
RATE = "agent.algorithm.learning_rate"


def with_algorithm(cfg: dict[str, Any], **algorithm: Any) -> dict[str, Any]:
    cfg["algorithm"].update(algorithm)
    return cfg


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def changes(folder: Path) -> list[dict[str, Any]]:
    return [event["changes"] for event in manifest(folder)["history"] if event["event"] == "changed"]


def resumed(cfg: dict[str, Any], folder: Path, **options: Any):
    runner = make_runner(cfg, folder, env=options.pop("env", None), seed=options.pop("seed", 7))
    assert runner.resume(**options)
    return runner


def step_sizes(runner) -> set[float]:
    """Of everything that holds one."""
    optimizer = getattr(runner.alg, "optimizer", None) or runner.alg.policy_update.optimizer
    return {float(f"{float(rate):.6g}") for rate in (optimizer.param_groups[0]["lr"], runner.alg.learning_rate)}


@pytest.fixture(scope="module", params=AGENTS)
def trained(request, tmp_path_factory):
    """A run whose schedule has moved its learning rate; the agent, and a copy of its folder for every test."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    make = AGENTS[request.param]
    first = make_runner(make(learning_rate=1e-3), folder)
    first.learn(2)
    assert step_sizes(first) != {1e-3}

    def copy(place: Path) -> Path:
        return Path(shutil.copytree(folder, place / "run"))

    return make, copy, step_sizes(first)


def test_a_learning_rate_given_now_acts_and_is_told(trained, tmp_path):
    make, copy, moved = trained
    folder = copy(tmp_path)
    assert step_sizes(resumed(make(learning_rate=1e-3), folder)) == moved  # as it was started: nothing is asked for
    assert step_sizes(resumed(make(learning_rate=2e-5), folder)) == {2e-5}
    runner = resumed(make(learning_rate=2e-5), folder)  # killed before the next checkpoint: asked for again
    assert step_sizes(runner) == {2e-5}
    runner.learn(1)
    assert changes(folder) == [{RATE: [1e-3, 2e-5]}]
    assert "The learning rate is 2e-05, as asked for" in (folder / "run.log").read_text()
    again = resumed(make(learning_rate=2e-5), folder)
    assert step_sizes(again) == step_sizes(runner)  # the schedule's from now on
    again.learn(1)
    assert changes(folder) == [{RATE: [1e-3, 2e-5]}]


def test_a_learning_rate_is_set_back_if_that_is_asked_for_by_name(trained, tmp_path):
    make, copy, moved = trained
    folder = copy(tmp_path)
    assert step_sizes(resumed(make(learning_rate=1e-3), folder, asked=["gamma"])) == moved
    assert step_sizes(resumed(make(learning_rate=1e-3), folder, asked=["learning_rate"])) == {1e-3}


def test_the_discriminators_step_size_given_now_acts(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run").learn(1)
    runner = resumed(ensemble_cfg(discriminator_learning_rate=3e-6), tmp_path / "run")
    assert [group["lr"] for group in runner.alg.diversity.optimizer.param_groups] == [3e-6]


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_another_seed_is_another_course_and_the_same_one_is_not(tmp_path, rnn):
    """Two runs with the new seed agree, one with the old seed differs from them."""
    states = {}
    make_runner(ensemble_cfg(rnn=rnn), tmp_path / "base").learn(2)
    for name, seed in (("old", 5), ("new", 6), ("new again", 6)):
        folder = Path(shutil.copytree(tmp_path / "base", tmp_path / name))
        runner = resumed({**ensemble_cfg(rnn=rnn), "seed": seed}, folder, seed=seed)
        runner.learn(1)
        states[name] = final_state(runner)
        told = "The seed is another one" in (folder / "run.log").read_text()
        assert told == (seed == 6) and manifest(folder)["seed"] == seed
    assert differing(states["new"], states["new again"]) == []
    parts = {place.split(".")[1] for place in differing(states["old"], states["new"])}
    assert {"model", "generators", "runner"} <= parts


def test_the_manifest_says_what_trains_now_and_what_did_before(tmp_path):
    folder = tmp_path / "run"
    make_runner(ensemble_cfg(gamma=0.99), folder, task="T", physics="a").learn(1)
    stored = manifest(folder)
    stored["versions"]["torch"], stored["git_commit"] = "1.0", "abc"
    (folder / "manifest.json").write_text(json.dumps(stored))
    runner = make_runner(ensemble_cfg(gamma=0.9), folder, env=make_env(num_envs=24), task="T", physics="b")
    runner.resume()
    runner.changes["env.friction"] = [1.0, 2.0]  # a launcher knows the environment's settings
    runner.learn(1)
    now = manifest(folder)
    (told,) = changes(folder)
    assert (now["num_envs"], now["physics"], now["versions"]["torch"]) == (24, "b", runner._facts["versions"]["torch"])
    assert told["num_envs"] == [12, 24] and told["physics"] == ["a", "b"] and told["env.friction"] == [1.0, 2.0]
    assert told["agent.algorithm.gamma"] == [0.99, 0.9]
    assert told["versions.torch"][0] == "1.0" and told["git_commit"][0] == "abc"
    assert set(told) == {"num_envs", "physics", "env.friction", "agent.algorithm.gamma", "versions.torch", "git_commit"}
    runner.learn(1)
    assert len(changes(folder)) == 1


def test_a_run_that_nothing_changed_has_no_changes(tmp_path):
    for _ in range(2):
        runner = make_runner(ensemble_cfg(), tmp_path / "run")
        runner.resume()
        runner.learn(1)
    assert changes(tmp_path / "run") == []


def test_what_changed_against_an_ancestor_is_told_in_the_new_folder(tmp_path):
    make_runner(ensemble_cfg(gamma=0.99), tmp_path / "run").learn(1)
    ancestor = {"run": str(tmp_path / "run"), "file": "model_1.pt", "iteration": 1, "reasons": []}
    runner = make_runner(ensemble_cfg(gamma=0.9), tmp_path / "own", ancestor=ancestor)
    runner.load(str(tmp_path / "run/model_1.pt"))
    runner.learn(1)
    assert manifest(tmp_path / "own")["ancestor"] == ancestor
    assert changes(tmp_path / "own") == [{"agent.algorithm.gamma": [0.99, 0.9]}]
    assert changes(tmp_path / "run") == []

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Finding runs and checkpoints, and continuing them with the settings they were started from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from cpo_lab.cli import train
from cpo_lab.launch import configuration
from cpo_lab.launch.configuration import Request, Resolved
from cpo_lab.launch.continuation import request_of, total_iterations
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import iteration_of
from cpo_rl.runs.find import is_newest, resolve_checkpoint
from cpo_rl.runs.folder import RunFolder


def make_run(
    root: Path, experiment: str, name: str, *, day: int, task: str = "Task-A", iterations: tuple[int, ...] = (1, 10)
) -> Path:
    folder = root / experiment / name
    folder.mkdir(parents=True)
    manifest = {
        "version": 1,
        "task": task,
        "created_at": f"2026-01-{day:02d}T00:00:00+00:00",
        "metadata": {"agent": "key_of_agent"},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    for iteration in iterations:
        (folder / f"model_{iteration}.pt").write_bytes(b"")
    return folder


def test_latest_is_the_newest_run_of_any_experiment(tmp_path):
    make_run(tmp_path, "b_experiment", "old", day=1)
    newest = make_run(tmp_path, "a_experiment", "new", day=3)
    make_run(tmp_path, "c_experiment", "middle", day=2, task="Task-B")
    assert resolve_checkpoint("latest", tmp_path) == newest / "model_10.pt"


def test_latest_of_a_task(tmp_path):
    wanted = make_run(tmp_path, "x", "wanted", day=1, task="Task-B")
    make_run(tmp_path, "x", "newer", day=2)
    assert resolve_checkpoint("latest", tmp_path, task="Task-B") == wanted / "model_10.pt"
    with pytest.raises(UserError, match="Task-C"):
        resolve_checkpoint("latest", tmp_path, task="Task-C")


def test_runs_without_checkpoint_and_unreadable_ones_are_passed_over(tmp_path):
    wanted = make_run(tmp_path, "x", "wanted", day=1)
    make_run(tmp_path, "x", "empty", day=2, iterations=())
    (make_run(tmp_path, "x", "broken", day=3) / "run.json").write_text("{half")
    assert resolve_checkpoint("latest", tmp_path) == wanted / "model_10.pt"


def test_checkpoint_paths_are_absolute(tmp_path, monkeypatch):
    folder = make_run(tmp_path, "x", "run", day=1)
    monkeypatch.chdir(tmp_path)
    for selector in ("latest", "x/run", "x/run/model_10.pt", "x/run:best"):
        assert resolve_checkpoint(selector, ".") == folder / "model_10.pt"


def test_newest_checkpoint_of_a_run(tmp_path):
    folder = make_run(tmp_path, "x", "run", day=1)
    assert is_newest(folder / "model_10.pt")
    assert not is_newest(folder / "model_1.pt")
    assert [iteration_of(folder / name) for name in ("model_10.pt", "policy.pt")] == [10, 0]


def test_request_survives_the_run_folder(tmp_path):
    request = Request("Task-A", "sapg", "cpu", "ovphysx", 24, 6, 3, ["agent.algorithm.gamma=0.98"])
    folder = make_run(tmp_path, "x", "run", day=1)
    request.keep(folder, iterations=7)
    read = RunFolder.read(folder)
    assert Request.of_run(read) == request
    assert read.launch["iterations"] == 7


def test_stock_run_gives_task_and_agent(tmp_path):
    run = RunFolder.read(make_run(tmp_path, "x", "run", day=1))
    assert Request.of_run(run) == Request("Task-A", "key_of_agent")
    assert Request.of_run(run, "Task-A", "ppo") == Request("Task-A", "ppo")


def test_run_names():
    assert train._parser().parse_args(["--run_name", "lr-1e.3_b"]).run_name == "lr-1e.3_b"
    for name in ("a/b", "a b", "x" * 101):
        with pytest.raises(UserError, match="--run_name"):
            train._parser().parse_args(["--run_name", name])


# -- what ``cpo-lab train --resume`` makes of it -----------------------------------------------------------------------


def arguments(**changes) -> argparse.Namespace:
    names = (
        "task",
        "agent",
        "device",
        "physics",
        "num_envs",
        "num_policies",
        "seed",
        "resume",
        "iterations",
        "log_dir",
        "force",
        "trust",
    )
    return argparse.Namespace(**{**dict.fromkeys(names), "log_root": "logs", **changes})


def test_a_new_run_takes_the_defaults():
    request = request_of(arguments(), ["physics=ovphysx"], None)
    assert (request.task, request.agent) == (train.DEFAULT_TASK, train.DEFAULT_AGENT)
    assert request.overrides == ["physics=ovphysx"]


def test_a_continued_run_keeps_its_settings_unless_told_otherwise(tmp_path):
    folder = make_run(tmp_path, "x", "run", day=1)
    Request("Task-A", "sapg", "cpu", "ovphysx", 24, 6, 3, ["env.a=1", "env.b=5"]).keep(folder, iterations=7)
    request = request_of(arguments(num_envs=48), ["env.a=2", "physics=newton_mjwarp"], folder / "model_10.pt")
    assert request == Request("Task-A", "sapg", "cpu", None, 48, 6, 3, ["env.b=5", "env.a=2", "physics=newton_mjwarp"])


def test_total_iterations(tmp_path):
    folder = make_run(tmp_path, "x", "run", day=1)
    checkpoint = folder / "model_10.pt"
    assert total_iterations(arguments(), 1000, None) == 1000
    assert total_iterations(arguments(iterations=5), 1000, None) == 5
    assert total_iterations(arguments(resume="latest"), 1000, checkpoint) == 1000
    Request("Task-A", "cpo").keep(folder, iterations=20)
    assert total_iterations(arguments(resume="latest"), 1000, checkpoint) == 20
    with pytest.raises(UserError, match="already has 10 iterations"):
        total_iterations(arguments(resume="latest", iterations=10), 1000, checkpoint)
    assert total_iterations(arguments(resume="auto", iterations=10), 1000, checkpoint) == 10


def test_schedule_on_the_cpu():
    """A CPU saves soon and ends in a time one can wait for, unless the user said otherwise; a GPU keeps the agent's."""

    def schedule(device: str, *overrides: str) -> tuple[int, int]:
        cfg = argparse.Namespace(max_iterations=100_000, save_interval=200)
        configuration.suit_cpu(Resolved(Request("T", "cpo", device, overrides=list(overrides)), "key", None, cfg, []))
        return cfg.max_iterations, cfg.save_interval

    assert schedule("cpu") == (configuration.CPU_ITERATIONS, configuration.CPU_SAVE_INTERVAL)
    assert schedule("cpu", "agent.save_interval=200") == (configuration.CPU_ITERATIONS, 200)
    assert schedule("cuda:0") == (100_000, 200)

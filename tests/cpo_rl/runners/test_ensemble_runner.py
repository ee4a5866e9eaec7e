# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The run as a whole: folder, tables, rotation, full disks, settings."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from rsl_rl.utils.log_writer import LogWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner, stock_ppo_cfg

import cpo_rl.runs.files as atomic
from cpo_rl.config import RunnerOptions
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import CheckpointStore, read_complete
from cpo_rl.runs.files import plain_config
from cpo_rl.runs.payload import first_not_finite
from cpo_rl.runs.tables import read_metrics


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r"
    runner = make_runner(ensemble_cfg(), folder, task="T", physics="ovphysx")
    runner.learn(5)
    return folder, runner


def test_the_manifest_tells_what_ran_and_how_it_ended(finished):
    folder, runner = finished
    stored = json.loads((folder / "manifest.json").read_text())
    expected = {
        "format": 1,
        "task": "T",
        "algorithm": "cpo",
        "seed": 5,
        "num_envs": 12,
        "num_policies": 3,
        "device": "cpu",
        "physics": "ovphysx",
        "world_size": 1,
        "max_iterations": 5,
        "status": "finished",
        "iteration": 5,
        "env_steps": 5 * 8 * 12,
        "error": None,
        "pid": os.getpid(),
    }
    assert {key: stored[key] for key in expected} == expected
    assert len(stored["config_hash"]) == 16 and stored["hardware"]["cpus"] >= 1 and stored["wall_clock_s"] > 0
    assert set(stored["last"]) == {"Leader/return", "Train/mean_reward", "Perf/env_steps_per_s"}
    assert stored["best"]["metric"] == "Leader/return"
    assert (runner.outcome.status, runner.outcome.exit_code) == ("finished", 0)


def test_the_table_and_tensorboard_hold_the_same_numbers(finished):
    folder, _ = finished
    columns = read_metrics(folder / "metrics.csv")
    assert columns["iteration"] == [1, 2, 3, 4, 5] and columns["env_steps"] == [96 * i for i in range(1, 6)]
    events = EventAccumulator(str(folder)).Reload()
    for tag in (
        "Leader/return",
        "Loss/value",
        "Perf/env_steps_per_s",
        "Optimization/learning_rate",
        "Ensemble/kl_mean",
    ):
        logged = {event.step: event.value for event in events.Scalars(tag)}
        for step, value in logged.items():
            assert columns[tag][step - 1] == pytest.approx(value, rel=1e-6)
    assert not any(tag.startswith("Loss/Loss") for tag in events.Tags()["scalars"])
    missing = set(columns) - set(events.Tags()["scalars"]) - {"iteration", "env_steps", "wall_clock_s"}
    assert missing == set()


def test_diagnostics_come_at_their_interval(finished):
    lines = [json.loads(line) for line in (finished[0] / "diagnostics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 3, 5]
    assert [len(row) for row in lines[0]["kl_matrix"]] == [3, 3, 3] and len(lines[0]["ess"]) == 2


def test_checkpoints_come_at_their_interval_and_at_the_end(finished):
    folder, _ = finished
    assert list(CheckpointStore(folder).manifests()) == [2, 4, 5]
    _, sidecar = read_complete(folder / "model_4.pt")
    assert (sidecar.iteration, sidecar.env_steps, sidecar.metric, sidecar.exact) == (4, 4 * 96, "Leader/return", True)
    assert sidecar.score == pytest.approx(read_metrics(folder / "metrics.csv")["Leader/return"][3])
    assert (
        sidecar.config["algorithm"]["num_policies"] == 3
        and sidecar.versions["torch"] == torch.__version__.split("+")[0]
    )
    assert sidecar.identity["task"] == "T" and sidecar.scale == {"num_envs": 12, "world_size": 1}


def test_rotation_and_best_follow_the_settings(tmp_path):
    cfg = {**ensemble_cfg(), "save_interval": 1, "keep_last": 2, "keep_best": 1, "best_metric": "Loss/value"}
    make_runner(cfg, tmp_path / "run").learn(6)
    values = read_metrics(tmp_path / "run/metrics.csv")["Loss/value"]
    best = max(range(6), key=lambda i: values[i]) + 1
    store = CheckpointStore(tmp_path / "run")
    assert set(store.manifests()) == {5, 6, best} and store.best() == store.path(best)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["best"]["iteration"] == best


@pytest.mark.parametrize("failing", ["model_", "metrics.csv", "manifest.json", "all"])
def test_a_full_disk_loses_no_checkpoint_and_training_goes_on(tmp_path, monkeypatch, capsys, failing):
    cfg = {**ensemble_cfg(), "save_interval": 1}
    runner = make_runner(cfg, tmp_path / "run")
    runner.learn(2)
    broken = [True]

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    def hit(path):
        return broken[0] and (failing == "all" or failing in os.path.basename(os.fspath(path)))

    import cpo_rl.runs.tables as tables

    real_replace, real_append = os.replace, tables._append
    monkeypatch.setattr(atomic.os, "replace", lambda a, b: full() if hit(b) else real_replace(a, b))
    monkeypatch.setattr(tables, "_append", lambda path, line: full() if hit(path) else real_append(path, line))
    runner.learn(2)
    assert runner.completed_iterations == 4
    said = capsys.readouterr().out
    assert "could not be written (No space left on device); training goes on." in said
    latest = CheckpointStore(tmp_path / "run").latest()
    assert latest is not None and read_complete(latest)
    if failing in ("model_", "all"):
        assert latest.name == "model_2.pt" and runner.outcome.exit_code == 1
        assert "last checkpoint could not be written" in runner.outcome.message
    assert not [name for name in os.listdir(tmp_path / "run") if name.endswith(".tmp")]
    broken[0] = False
    runner.learn(1)
    assert CheckpointStore(tmp_path / "run").latest().name == "model_5.pt" and runner.outcome.exit_code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_becomes_read_only_is_said(tmp_path, capsys):
    runner = make_runner({**ensemble_cfg(), "save_interval": 1}, tmp_path / "run")
    runner.learn(1)
    (tmp_path / "run").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        runner.learn(1)
    finally:
        (tmp_path / "run").chmod(0o700)
    assert "the checkpoint could not be written" in capsys.readouterr().out
    assert CheckpointStore(tmp_path / "run").latest().name == "model_1.pt"


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = make_runner(ensemble_cfg())
    runner.learn(1)
    assert runner.save_checkpoint() and list(tmp_path.iterdir()) == []


class RememberingWriter(LogWriter):
    """An online service's writer, which refuses to work once it was stopped."""

    calls: ClassVar[list[str]] = []

    def __init__(self, log_dir: str) -> None:
        del log_dir

    def add_scalar(self, tag, scalar_value, global_step):
        assert "stop" not in self.calls

    def save_model(self, model_path, it):
        assert "stop" not in self.calls
        self.calls.append(Path(model_path).name)

    def stop(self):
        self.calls.append("stop")


def test_a_writer_of_an_online_service_gets_the_last_checkpoint_and_then_stops(tmp_path):
    cfg = {**ensemble_cfg(), "save_interval": 2, "logger": {"class_name": f"{__name__}:RememberingWriter"}}
    runner = make_runner(cfg, tmp_path / "run")
    runner.learn(3)
    assert runner.outcome.exit_code == 0
    assert RememberingWriter.calls == ["model_2.pt", "model_3.pt", "stop"]


def test_save_and_load_at_any_path(tmp_path):
    runner = make_runner(ensemble_cfg())
    runner.learn(1)
    runner.save(str(tmp_path / "mine.pt"), infos={"note": "good"})
    other = make_runner(ensemble_cfg())
    assert other.load(str(tmp_path / "mine.pt")) == {"note": "good"}
    assert other.completed_iterations == 1
    with pytest.raises(UserError, match="cannot be read"):
        other.load(str(tmp_path / "missing.pt"))


def test_zero_iterations_are_fine(tmp_path):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(0)
    assert runner.outcome.status == "finished" and CheckpointStore(tmp_path / "run").latest().name == "model_0.pt"


def test_scalars_of_the_environment_get_a_group(tmp_path):
    class Talking(NoisyTrackingEnv):
        def step(self, actions):
            obs, rewards, dones, extras = super().step(actions)
            extras["log"] = {
                "tolerance": 0.5,
                "Curriculum/level": torch.tensor([1.0, 3.0]),
                "/odd": torch.tensor(2),
                "none": torch.zeros(0),
            }
            return obs, rewards, dones, extras

    make_runner(ensemble_cfg(), tmp_path / "run", env=make_env(Talking)).learn(2)
    columns = read_metrics(tmp_path / "run/metrics.csv")
    assert (columns["Task/tolerance"], columns["Curriculum/level"], columns["Task/odd"]) == (
        [0.5] * 2,
        [2.0] * 2,
        [2.0] * 2,
    )
    assert "Task/none" not in columns


def test_mean_reward_counts_finished_episodes_only(tmp_path):
    runner = make_runner(
        stock_ppo_cfg(), tmp_path / "run", env=make_env(NoisyTrackingEnv, max_episode_length=4, stagger=False)
    )
    runner.learn(1)
    columns = read_metrics(tmp_path / "run/metrics.csv")
    assert columns["Train/mean_episode_length"] == [4.0]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("save_interval", 0, "runner field save_interval=0 must be at least 1"),
        ("save_interval", "5", "save_interval='5' must be an integer"),
        ("num_steps_per_env", True, "num_steps_per_env=True must be an integer"),
        ("keep_last", -1, "keep_last=-1 must not be negative"),
        ("keep_best", 1.5, "keep_best=1.5 must be an integer"),
        ("progress", "loud", "progress='loud' must be one of auto, plain, off"),
        ("best_metric", 3, "best_metric=3 must be text"),
        ("stop_grace_s", -1, "stop_grace_s=-1 must not be negative"),
        ("progress_interval_s", float("nan"), "progress_interval_s=nan must be a finite number"),
        ("save_interval", None, "lacks save_interval"),
    ],
)
def test_settings_are_checked_before_anything_is_allocated(tmp_path, field, value, sentence):
    with pytest.raises(UserError, match=sentence):
        make_runner({**ensemble_cfg(), field: value}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_setting_is_read():
    cfg = {
        "num_steps_per_env": 2,
        "save_interval": 3,
        "max_iterations": 10,
        "keep_last": 4,
        "keep_best": 5,
        "best_metric": "x",
        "progress": "plain",
        "progress_interval_s": 6,
        "stop_grace_s": 7.0,
        "unknown": 1,
    }
    assert RunnerOptions.from_cfg(cfg) == RunnerOptions(2, 3, 10, 4, 5, "x", "plain", 6, 7.0)


def test_configurations_become_plain():
    class Thing:
        pass

    given = {"a": (1, 2.0), "f": print, "c": Thing, 3: float("inf"), "n": None, "t": torch.float32}
    assert plain_config(given) == {
        "a": [1, 2.0],
        "f": "print",
        "c": Thing.__qualname__,
        "3": "inf",
        "n": None,
        "t": "torch.float32",
    }


def test_the_place_of_a_bad_number_is_named():
    assert first_not_finite({"a": [1.0, {"b": torch.tensor([0.0, float("inf")])}]}) == "a.1.b"
    assert first_not_finite({"a": float("nan")}) == "a"
    assert first_not_finite({"a": [1, "x", None, torch.tensor([1])], "b": {}}) is None

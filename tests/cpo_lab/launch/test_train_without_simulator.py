# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab train`` to the last file, with a small environment in the simulator's place: what its folders hold."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cpo_lab.launch.test_run_place import content
from tests.cpo_rl.runners.support import NoisyTrackingEnv, make_env

from cpo_lab.cli import main, train
from cpo_rl.runs.configs import read_yaml
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

SMALL = ["--device", "cpu", "--num_envs", "12", "--num_policies", "3", "agent.model.hidden_dims=[8]"]
STARTED = {"params/env.yaml", "params/agent.yaml", "launch.json", "run.json", "manifest.json"}


class World(NoisyTrackingEnv):
    """Tracking that calls somebody at every step."""

    on_step: Any = staticmethod(lambda: None)

    def step(self, actions):
        self.on_step()
        return super().step(actions)


@pytest.fixture(autouse=True)
def world(monkeypatch, tmp_path) -> type[World]:
    """No simulator, and an empty working folder."""

    @contextlib.contextmanager
    def env(resolved):
        yield make_env(World, num_envs=resolved.env_cfg.scene.num_envs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "simulation", lambda *args: contextlib.nullcontext())
    monkeypatch.setattr(train, "make_env", env)
    monkeypatch.setattr(World, "on_step", staticmethod(lambda: None))
    return World


def run_in(folder: str, *arguments: str) -> Path:
    assert main(["train", "--log_dir", folder, *SMALL, *arguments]) == 0
    return Path(folder).resolve()


def resume(folder: Path, *arguments: str) -> int:
    return main(["train", "--resume", str(folder), *arguments])


def changes(folder: Path) -> list[dict[str, Any]]:
    history = RunFolder.open(folder).manifest["history"]
    return [event["changes"] for event in history if event["event"] == "changed"]


def test_a_run_goes_on_with_other_settings_and_says_so_everywhere():
    folder = run_in("run", "--iterations", "2", "--run_name", "first")
    assert set(content(folder)) >= STARTED
    assert resume(folder, "--iterations", "3", "env.episode_length_s=5", "agent.algorithm.learning_rate=1e-5") == 0
    run = RunFolder.open(folder)
    assert read_metrics(run.metrics_file)["iteration"] == [1, 2, 3]
    assert read_metrics(run.metrics_file)["Optimization/learning_rate"][2] <= 1e-5 * 1.5**5 * 1.001, "from 1e-5 on"
    assert run.env_settings["episode_length_s"] == 5 and run.settings["algorithm"]["learning_rate"] == 1e-5
    assert run.settings["run_name"] == "first" and run.manifest["status"] == "finished"
    (told,) = changes(folder)
    assert told.keys() == {"env.episode_length_s", "agent.algorithm.learning_rate"}
    assert told["env.episode_length_s"][1] == 5 and told["agent.algorithm.learning_rate"][1] == 1e-5
    assert resume(folder, "--iterations", "4") == 0
    assert len(changes(folder)) == 1 and RunFolder.open(folder).iteration == 4


def test_what_becomes_another_run_leaves_the_first_as_it_was():
    folder = run_in("run", "--iterations", "2")
    before = content(folder)
    assert resume(folder, "--iterations", "3", "--seed", "7") == 0
    (own,) = Path("logs/rsl_rl").glob("*/*")
    run = RunFolder.open(own)
    assert content(folder) == before
    assert run.ancestor == {"run": str(folder), "file": "model_2.pt", "iteration": 2}
    assert (run.seed, run.iteration, run.task) == (7, 3, RunFolder.open(folder).task)
    assert run.manifest["ancestor"]["reasons"] == ["its seed is 42, not 7"]
    assert set(content(own)) >= STARTED and read_metrics(run.metrics_file)["iteration"] == [3]


def test_a_checkpoint_that_is_refused_changes_no_record(monkeypatch, capsys):
    folder = run_in("run", "--iterations", "1")
    before = content(folder)
    monkeypatch.setattr("cpo_rl.runs.checkpoint_reader.check_identity", _refuse)
    assert resume(folder, "--iterations", "3", "agent.algorithm.gamma=0.9") == 2
    assert "another robot" in capsys.readouterr().err
    changed = {name for name, data in content(folder).items() if before.get(name) != data}
    assert changed <= {"manifest.json"} and RunFolder.open(folder).manifest["history"] == []


def _refuse(*args, **kwargs):
    from cpo_rl.errors import UserError

    raise UserError("the checkpoint is of another robot.")


def test_a_checkpoint_with_its_sidecar_goes_on_in_a_new_folder(tmp_path):
    folder, place = run_in("run", "--iterations", "2"), tmp_path / "downloads"
    place.mkdir()
    for ending in ("pt", "json"):
        shutil.copy(folder / f"model_2.{ending}", place / f"policy.{ending}")
    before = content(place)
    assert main(["train", "--resume", str(place / "policy.pt"), "--device", "cpu", "--iterations", "3"]) == 0
    (own,) = Path("logs/rsl_rl").glob("*/*")
    run = RunFolder.open(own)
    assert (run.iteration, run.manifest["num_envs"], run.settings["model"]["hidden_dims"]) == (3, 12, [8])
    assert content(place) == before


def test_a_second_process_is_refused_while_the_first_one_trains(world, capfd):
    """In the middle of an iteration, with the same command, as a scheduler might start it twice."""
    codes: list[int] = []
    command = ["train", "--log_dir", "run", "--resume", "auto", *SMALL, "--iterations", "2"]

    def second() -> None:
        os._exit(main(command))

    def start_it_again() -> None:
        if not codes:
            process = multiprocessing.get_context("fork").Process(target=second)
            process.start()
            process.join(120)
            codes.append(process.exitcode)

    world.on_step = staticmethod(start_it_again)
    assert main(command) == 0
    assert codes == [2]
    assert f"is in use by process {os.getpid()} on host" in capfd.readouterr().err
    assert read_metrics("run/metrics.csv")["iteration"] == [1, 2]
    assert main(command) == 0
    assert "nothing to do" in capfd.readouterr().out


def test_records_that_cannot_go_on_are_moved_aside_by_name_and_the_new_run_says_so():
    folder = run_in("run", "--iterations", "1")
    for file in folder.glob("model_*"):
        file.unlink()
    before = content(folder)
    command = ["train", "--log_dir", "run", "--resume", "auto", *SMALL, "--iterations", "2"]
    assert main(command) == 2 and content(folder) == before
    assert main([*command, "--move_aside"]) == 0
    (aside,) = Path().glob("run.aside-*")
    run = RunFolder.open(folder)
    assert content(aside) == before and read_metrics(run.metrics_file)["iteration"] == [1, 2]
    (event,) = [event for event in run.manifest["history"] if event["event"] == "moved aside"]
    assert event["folder"] == str(aside.resolve())
    assert read_yaml(folder / "params/agent.yaml")["model"]["hidden_dims"] == [8]

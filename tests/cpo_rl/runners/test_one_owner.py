# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A runner owns its folder while it trains, and trains in none that holds what another run trained."""

from __future__ import annotations

import errno
import multiprocessing
import os

import pytest
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.errors import UserError
from cpo_rl.runs import lock
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.lock import own_folder
from cpo_rl.runs.tables import read_metrics

FORK = multiprocessing.get_context("fork")


def in_another_process(action) -> int:
    """Return 0 if an action worked, 2 if it was refused."""

    def act() -> None:
        try:
            action()
        except UserError:
            os._exit(2)
        os._exit(0)

    process = FORK.Process(target=act)
    process.start()
    process.join()
    return process.exitcode


def test_a_folder_is_owned_from_the_first_file_to_the_end_of_training(tmp_path):
    folder, seen = tmp_path / "run", []

    def look() -> None:
        seen.append(in_another_process(lambda: own_folder(folder)))

    runner = make_runner(ensemble_cfg(), folder)
    look()
    runner._between_iterations = look
    runner.learn(2)
    assert seen == [2, 2, 2]
    assert in_another_process(lambda: own_folder(folder)) == 0
    runner.learn(1)
    assert seen == [2, 2, 2, 2]


def test_a_runner_writes_nothing_into_a_folder_of_another_process(tmp_path):
    folder = tmp_path / "run"
    with own_folder(folder):
        assert in_another_process(lambda: make_runner(ensemble_cfg(), folder)) == 2
    assert os.listdir(folder) == [lock.LOCK_FILE]


def test_a_crash_gives_the_folder_back(tmp_path):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")

    def fail() -> None:
        raise RuntimeError("the motor fell off")

    runner._between_iterations = fail
    with pytest.raises(RuntimeError, match="motor"):
        runner.learn(1)
    assert in_another_process(lambda: own_folder(tmp_path / "run")) == 0


def test_a_file_system_without_locks_is_told_once_and_training_goes_on(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.learn(1)
    runner.learn(1)
    assert (tmp_path / "run/run.log").read_text().count("cannot be locked (No locks available)") == 1


RECORDS = {
    "metrics.csv": "iteration,env_steps,wall_clock_s\n1,2,3\n",
    "diagnostics.jsonl": '{"iteration": 1}\n',
    "dump_3.pt": "x",
    "model_3.pt": "x",
    "manifest.json": '{"format": 1, "iteration": 4, "history": []}',
}
"""What tells that something was trained, each by itself."""


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_another_run_are_neither_cut_nor_mixed(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).write_text(RECORDS[name])
    runner = make_runner(ensemble_cfg(), folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "manifest.json"}
    with pytest.raises(UserError, match="holds records"):
        runner.learn(1)
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "manifest.json"} == before


def test_the_state_of_another_run_does_not_go_on_in_this_folder(tmp_path):
    """Although it is later than everything the folder holds."""
    make_runner(ensemble_cfg(), tmp_path / "other").learn(3)
    make_runner(ensemble_cfg(), tmp_path / "run").learn(2)
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    runner.load(str(tmp_path / "other/model_3.pt"))
    with pytest.raises(UserError, match="holds records"):
        runner.learn(1)
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [1, 2]


def test_a_run_that_finished_no_iteration_starts_again_in_its_folder(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run")  # killed before its first iteration was over
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    assert runner.resume() is False
    runner.learn(1)
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [1]


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"\xff\0", b"[]", b'{"format": "one"}', b"[" * 100_000, None])
def test_a_damaged_manifest_costs_itself_and_not_the_run(tmp_path, content):
    folder = tmp_path / "run"
    make_runner(ensemble_cfg(), folder).learn(2)
    (folder / "manifest.json").unlink()
    if content is None:
        (folder / "manifest.json").mkdir()
    else:
        (folder / "manifest.json").write_bytes(content)
    runner = make_runner(ensemble_cfg(), folder)
    assert runner.resume()
    runner.learn(1)
    run = RunFolder.open(folder)
    assert (run.iteration, run.algorithm, run.manifest["status"]) == (3, "cpo", "finished")
    assert "kept as manifest.json.damaged" in run.noted("manifest renewed")[0]
    assert content is None or (folder / "manifest.json.damaged").read_bytes() == content


def test_a_manifest_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="update it"):
        make_runner(ensemble_cfg(), tmp_path)
    assert (tmp_path / "manifest.json").read_text() == '{"format": 99}'

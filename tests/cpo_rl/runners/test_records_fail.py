# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Records that cannot be written cost themselves: the run goes on, says so once, and ends with the right status."""

from __future__ import annotations

import errno
import io
import sys
import threading
import time

import pytest
from rsl_rl.utils.log_writer import LogWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.runners.event_log import _silence_writing_threads
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.tables import read_metrics


def steps_of(folder):
    """Iterations that TensorBoard shows."""
    return [event.step for event in EventAccumulator(str(folder)).Reload().Scalars("Loss/value")]


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that is full for TensorBoard as long as the list is not empty."""
    full, real = [], RecordWriter.write

    def write(self, data):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)
    return full


def test_tensorboard_goes_on_when_the_disk_has_room_again(tmp_path, full_disk, monkeypatch, capfd):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    real = runner.logger._on_iteration

    def between(iteration, metrics):
        real(iteration, metrics)
        if iteration == 2:
            full_disk.append(True)
        if iteration == 5:
            full_disk.clear()
        time.sleep(0.05)  # the writer's thread has to meet the disk

    monkeypatch.setattr(runner.logger, "_on_iteration", between)
    runner.learn(9)
    assert runner.outcome.exit_code == 0
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == list(range(1, 10))
    shown = steps_of(tmp_path / "run")
    assert shown == sorted(set(shown)) and {1, 2, 7, 8, 9} <= set(shown)
    said = capfd.readouterr()
    assert said.out.count("the event log could not be written (No space left on device); training goes on.") == 1
    assert said.out.count("the event log can be written again.") == 1 and "Traceback" not in said.err
    log = (tmp_path / "run/run.log").read_text()
    assert log.count("event log could not be written") == 1 and "Traceback" not in log


@pytest.mark.parametrize("when", ["at the start", "at the end"])
def test_a_full_disk_at_the_start_or_the_end_ends_no_run(tmp_path, full_disk, monkeypatch, when):
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    real = runner.logger._on_iteration

    def between(iteration, metrics):
        real(iteration, metrics)
        full_disk[:] = [] if when == "at the start" else [True]

    full_disk[:] = [True] if when == "at the start" else []
    monkeypatch.setattr(runner.logger, "_on_iteration", between)
    runner.learn(4)
    assert runner.outcome.exit_code == 0 and CheckpointStore(tmp_path / "run").latest().name == "model_4.pt"
    if when == "at the start":
        assert steps_of(tmp_path / "run")[-2:] == [3, 4]


def test_errors_of_other_threads_are_still_shown(monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    _silence_writing_threads()
    _silence_writing_threads()
    writing = type("_AsyncWriterThread", (threading.Thread,), {})()
    for thread in (threading.Thread(), writing):
        threading.excepthook(threading.ExceptHookArgs((OSError, OSError("full"), None, thread)))
    assert [type(args.thread) for args in shown] == [threading.Thread]


class FailingWriter(LogWriter):
    """An online service that fails in its own ways."""

    def __init__(self, log_dir: str) -> None:
        del log_dir

    def add_scalar(self, tag, scalar_value, global_step):
        raise RuntimeError("the service is gone")

    def save_model(self, model_path, it):
        raise ValueError("You must call init() before save()")

    def stop(self):
        raise KeyError("no run")


def test_a_service_that_fails_ends_no_run(tmp_path, capsys):
    runner = make_runner({**ensemble_cfg(), "logger": {"class_name": f"{__name__}:FailingWriter"}}, tmp_path / "run")
    runner.learn(3)
    assert runner.outcome.exit_code == 0
    said = capsys.readouterr().out
    assert said.count("the event log could not be written (the service is gone)") == 1
    assert (
        said.count("the online copy of the checkpoint could not be written (You must call init() before save())") == 1
    )
    assert "RuntimeError: the service is gone" in (tmp_path / "run/run.log").read_text()


class Refusing(io.StringIO):
    """A standard output that fails from a certain line on."""

    def __init__(self, error, lines):
        super().__init__()
        self.error, self.left = error, lines

    def write(self, text):
        self.left -= text.count("\n")
        if self.left < 0:
            raise self.error
        return super().write(text)

    def flush(self):
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("closed"),
    ],
    ids=["full", "gone", "closed"],
)
@pytest.mark.parametrize("lines", [0, 2])
def test_a_standard_output_that_fails_ends_no_run(tmp_path, monkeypatch, error, lines):
    monkeypatch.setattr(sys, "stdout", Refusing(error, lines))
    runner = make_runner({**ensemble_cfg(), "progress": "plain", "progress_interval_s": 0.0}, tmp_path / "run")
    runner.learn(4)
    assert (runner.outcome.exit_code, runner.completed_iterations) == (0, 4)
    assert (tmp_path / "run/run.log").read_text().count("standard output could not be written") == 1


def test_a_terminal_without_the_letters_ends_no_run(tmp_path, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    runner = make_runner({**ensemble_cfg(), "progress": "plain", "progress_interval_s": 0.0}, tmp_path / "run")
    runner.learn(2)
    assert runner.outcome.exit_code == 0 and raw.getvalue().startswith(b"iteration 1/2 ? ")


def test_a_folder_that_takes_nothing_but_checkpoints_is_a_run(tmp_path, monkeypatch):
    """Whatever a record raises, also a mistake of an own algorithm, it is not worth a run."""
    runner = make_runner(ensemble_cfg(), tmp_path / "run")
    monkeypatch.setattr(runner.logger, "_diagnostics", lambda: {"kl_matrix": object()})
    monkeypatch.setattr(runner.logger, "_store_code_state", lambda: (_ for _ in ()).throw(PermissionError(13, "no")))
    runner.learn(2)
    assert runner.outcome.exit_code == 0
    assert "diagnostics.jsonl could not be written" in (tmp_path / "run/run.log").read_text()

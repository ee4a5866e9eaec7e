# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Signals end a run with a checkpoint, crashes leave a readable log, and the same folder continues."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cpo_rl.runners.signals import HANDLED, RunOutcome, StopRequests, acknowledgement, signals_to_handle
from cpo_rl.runs.checkpoints import CheckpointStore, read_complete
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]


class Server:
    """The process that forks the jobs, and what it said about them."""

    def __init__(self):
        paths = [str(ROOT), str(ROOT / "source/cpo_rl"), str(ROOT / "exts/cpo_lab")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cpo_rl.runners.signal_job"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started: queue.Queue[int] = queue.Queue()
        self.ended: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            kind, pid, *code = line.split()
            if kind == "started":
                self.started.put(int(pid))
            else:
                self.ended[int(pid)] = int(code[0])


class Job:
    """One job; the same folder may have several one after the other."""

    def __init__(self, server, folder, **options):
        folder.mkdir(parents=True, exist_ok=True)
        self.server = server
        self.output = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.out")
        words = [str(self.output), str(folder), *(f"{k}={v}" for k, v in options.items())]
        server.process.stdin.write(" ".join(words) + "\n")
        server.process.stdin.flush()
        self.pid = server.started.get(timeout=120)

    def poll(self):
        return self.server.ended.get(self.pid)

    def send_signal(self, number):
        os.kill(self.pid, number)


@pytest.fixture(scope="module")
def server():
    serving = Server()
    yield serving
    serving.process.stdin.close()
    serving.process.wait(timeout=60)


@pytest.fixture
def start(server):
    """Start jobs; whatever still runs at the end of the test is killed."""
    jobs = []

    def begin(folder, **options):
        jobs.append(Job(server, folder, **options))
        return jobs[-1]

    yield begin
    for job in jobs:
        if job.poll() is None:
            job.send_signal(signal.SIGKILL)


def wait_until(condition, job, timeout=90.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "the job did not get there in time"
        assert job.poll() is None, job.output.read_text()
        time.sleep(0.02)


def manifest(folder):
    try:
        return json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return {}


def finish(job, timeout=60.0):
    end = time.monotonic() + timeout
    while job.poll() is None:
        assert time.monotonic() < end, f"the job did not end in time:\n{job.output.read_text()}"
        time.sleep(0.02)
    return job.poll(), job.output.read_text()


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGTERM, 143, "preempted"),
        (signal.SIGINT, 130, "stopped"),
        (signal.SIGUSR1, 138, "preempted"),
        (signal.SIGHUP, 129, "preempted"),
    ],
)
def test_a_signal_leads_to_a_checkpoint_and_its_exit_code(start, tmp_path, number, code, status):
    job = start(tmp_path / "run")
    wait_until(lambda: manifest(tmp_path / "run").get("iteration", 0) >= 2, job)
    job.send_signal(number)
    returned, output = finish(job)
    stored = manifest(tmp_path / "run")
    assert (returned, stored["status"]) == (code, status), output
    latest = CheckpointStore(tmp_path / "run").latest()
    _, sidecar = read_complete(latest)
    assert sidecar.iteration == stored["iteration"] == len(read_metrics(tmp_path / "run/metrics.csv")["iteration"])
    assert sidecar.exact and signal.Signals(number).name in output
    assert "finishing this iteration" in output and "finishing this iteration" in (tmp_path / "run/run.log").read_text()
    assert signal.Signals(number).name in (tmp_path / "run/run.log").read_text().splitlines()[-1]
    if number == signal.SIGTERM:  # the requeued job continues in the same folder
        goal = stored["iteration"] + 3
        assert finish(start(tmp_path / "run", iterations=goal))[0] == 0
        assert manifest(tmp_path / "run")["status"] == "finished"
        assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == list(range(1, goal + 1))
        assert [event["event"] for event in manifest(tmp_path / "run")["history"]] == ["resumed"]


def test_a_rollout_too_long_to_wait_for_is_cut_short(start, tmp_path):
    job = start(tmp_path / "run", sleep_s=0.1, steps=100_000, grace_s=0.5)
    wait_until((tmp_path / "run/stepping").exists, job)
    job.send_signal(signal.SIGTERM)
    began = time.monotonic()
    returned, output = finish(job)
    assert returned == 143 and time.monotonic() - began < 10, output
    _, sidecar = read_complete(CheckpointStore(tmp_path / "run").latest())
    assert (sidecar.iteration, sidecar.exact) == (0, True)  # what the run began with, saved before its first step
    returned, output = finish(start(tmp_path / "run", steps=8, iterations=2))
    assert returned == 0 and "Continuing after iteration 0 from model_0.pt" in output


def test_a_second_interrupt_ends_the_process_at_once(start, tmp_path):
    job = start(tmp_path / "run", sleep_s=30)
    wait_until((tmp_path / "run/stepping").exists, job)
    job.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert job.poll() is None, "one interrupt must not end it"
    job.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert finish(job)[0] == -signal.SIGINT and time.monotonic() - began < 5
    assert RunFolder.open(tmp_path / "run").health() == "lost"


def test_a_stop_is_acknowledged_at_once_also_while_a_library_computes(start, tmp_path):
    job = start(tmp_path / "run", computes=1)
    wait_until((tmp_path / "run/stepping").exists, job)
    job.send_signal(signal.SIGINT)
    wait_until(lambda: "Ctrl+C again ends the run at once" in job.output.read_text(), job, timeout=5.0)
    job.send_signal(signal.SIGINT)  # Python has not had its turn since the first one
    began = time.monotonic()
    assert finish(job)[0] == 130 and time.monotonic() - began < 5
    assert RunFolder.open(tmp_path / "run").health() == "lost"


def test_a_hangup_under_nohup_ends_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests() as requests:
            os.kill(os.getpid(), signal.SIGHUP)
            assert requests.number is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.SIGHUP not in signals_to_handle()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", HANDLED)
def test_an_acknowledgement_says_what_is_waited_for_and_what_another_signal_does(number):
    alone, among_others = acknowledgement(number, 40.0), acknowledgement(number, 40.0, cuts_rollouts=False)
    assert "40 s" in alone and "40 s" not in among_others
    for text in (alone, among_others):
        assert "checkpoint" in text and ("again" in text) == (number == signal.SIGINT)


def test_what_telling_raises_does_not_reach_the_run():
    heard = []

    def tell(number):
        heard.append(number)
        raise OSError("the terminal is gone")

    with StopRequests(tell) as requests:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        end = time.monotonic() + 5
        while not heard and time.monotonic() < end:
            time.sleep(0.01)
        assert requests.number == signal.SIGHUP
    assert heard == [signal.SIGHUP], "only the first one is told"
    assert signal.set_wakeup_fd(-1) == -1


def test_an_exception_leaves_the_last_checkpoint_and_a_readable_end_of_the_log(start, tmp_path):
    job = start(tmp_path / "run", fail_at=8 * 5 + 3, save_interval=2)
    returned, _ = finish(job, timeout=90)
    stored = manifest(tmp_path / "run")
    assert returned == 1 and stored["status"] == "crashed"
    assert stored["error"] == "RuntimeError: the motor fell off" and stored["iteration"] == 5
    assert CheckpointStore(tmp_path / "run").latest().name == "model_4.pt"
    log = (tmp_path / "run/run.log").read_text()
    assert (
        "Traceback" in log
        and log.splitlines()[-1] == "The run ended in iteration 6 by RuntimeError: the motor fell off"
    )
    assert finish(start(tmp_path / "run", iterations=6))[0] == 0
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [1, 2, 3, 4, 5, 6]
    assert manifest(tmp_path / "run")["error"] is None


def test_handlers_are_restored_and_the_first_signal_counts():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequests() as requests:
        assert requests.number is None and requests.seconds_since == 0.0
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert requests.number == signal.SIGUSR1
        time.sleep(0.01)
        assert requests.seconds_since > 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert RunOutcome.of_signal(signal.SIGUSR1).exit_code == 138


def test_outside_the_main_thread_nothing_is_handled():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with StopRequests():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]

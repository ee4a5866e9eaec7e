# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The same jobs through submitit's executor for one machine and through a Ray of one machine; both are extras."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests.cpo_lab.jobs.support import PATHS

from cpo_lab.jobs import crew, slurm
from cpo_lab.jobs.crew import Crew, View
from cpo_lab.jobs.job import Job
from cpo_lab.jobs.record import Record
from cpo_rl.errors import UserError

pytestmark = pytest.mark.long

COUNT = "n=$(cat tries 2>/dev/null || echo 0); n=$((n+1)); echo $n > tries; "


def counted(folder: Path, name: str, program: str) -> Job:
    return Job(name, ("sh", "-c", f"cd {folder / name}; {COUNT}{program}"), folder / name)


@pytest.fixture
def by_slurm(monkeypatch, tmp_path):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    return slurm.SlurmLauncher(tmp_path / "slurm", {"timeout_min": 5, "slurm_signal_delay_s": 30}, cluster="local")


@pytest.fixture(scope="module")
def ray_cluster():
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        yield ray


@pytest.fixture
def by_ray(ray_cluster):
    from cpo_lab.jobs.ray import RayLauncher

    launcher = RayLauncher("local", 1, 0)
    yield launcher
    launcher.close()


@pytest.fixture(params=["by_slurm", "by_ray"])
def launcher(request):
    return request.getfixturevalue(request.param)


def make_crew(folder: Path, launcher, jobs: list[Job], retries: int = 2) -> tuple[Crew, list[str]]:
    said: list[str] = []

    class Listening(Console):
        def print(self, *objects, **keywords):
            said.extend(map(str, objects))

    view = View(Listening(force_terminal=False), lambda turns: "", lambda turns: [])
    return Crew(jobs, launcher, Record(folder), retries=retries, view=view), said


def test_jobs_finish_are_retried_and_refused_as_on_this_machine(tmp_path, launcher):
    programs = {
        "a": "exit 0",
        "b": "[ $n = 2 ] || kill -9 $$",
        "c": "echo no such task; exit 2",
        "d": "echo bad; exit 1",
    }
    made, said = make_crew(tmp_path, launcher, [counted(tmp_path, n, p) for n, p in programs.items()], retries=1)
    assert made.run() == 1
    assert {name: turn.state for name, turn in made.turns.items()} == dict(a="done", b="done", c="failed", d="failed")
    assert [(tmp_path / n / "tries").read_text() for n in "abcd"] == ["1\n", "2\n", "1\n", "2\n"]
    assert "b was killed by SIGKILL, perhaps because memory ran out; it is started again (1 of 1)." in said
    assert f"c was refused: no such task; what it printed is in {tmp_path / 'c'}." in said
    assert any(line.startswith("d ended with status 1: bad after 2 tries") for line in said)


def test_a_worker_that_is_killed_is_replaced_and_its_job_saves_first(tmp_path, launcher):
    program = "[ $n = 2 ] && exit 0; trap 'touch saved; exit 143' TERM; kill -9 $PPID; while :; do sleep 0.05; done"
    made, said = make_crew(tmp_path, launcher, [counted(tmp_path, "a", program)])
    assert made.run() == 0, said
    assert (tmp_path / "a/saved").exists() and (tmp_path / "a/tries").read_text() == "2\n"
    assert any("it is started again (1 of 2)" in line for line in said)


def test_ray_passes_a_stop_on(tmp_path, by_ray):
    program = "trap 'touch saved; exit 130' INT; touch ready; while :; do sleep 0.05; done"
    made, _ = make_crew(tmp_path, by_ray, [counted(tmp_path, "a", program)])

    def stop() -> None:
        while not (tmp_path / "a/ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert made.run() == 130
    stopper.join()
    assert (tmp_path / "a/saved").exists()


def test_a_stop_takes_back_what_ray_has_not_placed_yet(tmp_path, by_ray):
    """More jobs than cores: those in the queue never begin, and the command tells of a stop and not of failures."""
    program = "trap 'touch saved; exit 130' INT; touch ready; while :; do sleep 0.05; done"
    jobs = [counted(tmp_path, f"job{index}", program) for index in range((os.cpu_count() or 1) + 2)]
    made, _ = make_crew(tmp_path, by_ray, jobs)

    def stop() -> None:
        while not list(tmp_path.glob("*/ready")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert made.run() == 130
    stopper.join()
    assert {turn.state for turn in made.turns.values()} == {"waiting"}
    assert sum((job.folder / "tries").exists() for job in jobs) < len(jobs)
    assert Record(tmp_path).last_reason(jobs[-1].name) == "was stopped by SIGINT in the queue"


def test_what_ray_cannot_place_is_refused(ray_cluster):
    from cpo_lab.jobs.ray import RayLauncher

    with pytest.raises(UserError, match=r"No machine of the Ray cluster has 1000 cores"):
        RayLauncher("local", 1000, 0)


def test_a_dead_address_is_refused_within_seconds():
    pytest.importorskip("ray")
    from cpo_lab.jobs.ray import RayLauncher

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"--ray_address 127.0.0.1:{port} does not answer"):
        RayLauncher(f"127.0.0.1:{port}", 1, 0)
    assert time.monotonic() - started < 6.0


def test_slurm_that_is_not_here_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"--launcher slurm cannot be used here .*srun"):
        slurm.SlurmLauncher(tmp_path, {})


@pytest.fixture
def slurm_tells(tmp_path, monkeypatch):
    """A Slurm of which there is no more than what squeue prints; returns how to change its program."""
    pytest.importorskip("submitit")
    (tools := tmp_path / "tools").mkdir()

    def tell(program: str) -> None:
        for name, lines in (("srun", "exit 1"), ("squeue", program)):
            (tools / name).write_text(f"#!/bin/sh\n{lines}\n")
            (tools / name).chmod(0o755)

    tell("exit 1")
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "QUEUE_S", 0.0)
    monkeypatch.setattr(slurm, "RESULT_S", 0.0)
    return tell


@pytest.mark.parametrize("program", ["exit 1", "kill -9 $$", "exec sleep 5"])
def test_a_slurm_that_does_not_answer_loses_no_job(tmp_path, slurm_tells, program, monkeypatch, caplog):
    run = slurm.subprocess.run
    monkeypatch.setattr(slurm.subprocess, "run", lambda *a, **k: run(*a, **{**k, "timeout": 0.5}))
    slurm_tells(program)
    launcher, job = slurm.SlurmLauncher(tmp_path / "slurm", {}), Job("a", ("true",), tmp_path / "a")
    found = launcher.find(job, "7_0")
    assert found is not None and [found.poll() for _ in range(3)] == [None] * 3
    assert caplog.text.count("Slurm does not answer") == 1, "said once"
    slurm_tells("echo 7_0 PENDING")
    assert found.poll() is None and found.waits()
    slurm_tells(program)
    assert found.poll() is None
    slurm_tells("echo 8_0 RUNNING")
    assert "is gone from Slurm without a result (job 7_0" in found.poll().reason
    assert launcher.find(job, "7_0") is None


def test_a_warning_ahead_of_the_limit_saves_and_requeues(tmp_path, by_slurm, monkeypatch):
    """submitit's USR2 makes the run save; the job is called again and goes on."""
    monkeypatch.setattr(crew, "LOOK_S", 0.1)
    program = "[ $n = 2 ] && exit 0; trap 'touch saved; exit 138' USR1; touch ready; while :; do sleep 0.05; done"
    handles = by_slurm.start([counted(tmp_path, "a", program)])
    end = time.monotonic() + 60
    while not (tmp_path / "a/ready").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    [worker] = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _parent(entry) == handles[0]._handle._process.pid
    ]
    os.kill(worker, signal.SIGUSR2)
    while (ended := handles[0].poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert ended.is_complete
    assert (tmp_path / "a/saved").exists() and (tmp_path / "a/tries").read_text() == "2\n"


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1

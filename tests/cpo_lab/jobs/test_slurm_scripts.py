# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The job scripts of docker/cluster on a real Slurm, from a fresh clone; skipped without one (``slurm_here.sh``)."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cpo_lab.jobs.support import ROOT

from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

pytestmark = pytest.mark.slow

TOY = "tests.cpo_lab.jobs.toy_run"
HERE = ("--gres=none", "--cpus-per-task=1", "--mem=500M")
"""What this machine has, in place of what the scripts ask for."""


def asked(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=cwd).stdout


@pytest.fixture(autouse=True)
def cluster():
    """Skip without Slurm; leave none of our jobs behind."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers here")
    yield
    for name in ("cpo-lab", "cpo-lab-torchrun"):
        subprocess.run(["scancel", "-u", "root", "--name", name], check=False)


@pytest.fixture
def clone(tmp_path) -> Path:
    """A fresh clone whose environment is this one, and whose training program is the toy, which continues exactly."""
    folder = tmp_path / "clone"
    asked("git", "clone", "-q", str(ROOT), str(folder))
    for file in (ROOT / "docker/cluster").iterdir():  # as they are now, committed or not
        shutil.copy(file, folder / "docker/cluster" / file.name)
    (binaries := folder / ".venv/bin").mkdir(parents=True)
    paths = os.pathsep.join(str(folder / part) for part in (".", "exts/cpo_lab", "source/cpo_rl"))
    head = f"#!/bin/bash\nexport PYTHONPATH={shlex.quote(paths)} OMP_NUM_THREADS=1\n"
    scripts = {
        "python": f'exec {sys.executable} "$@"',
        "cpo-lab": f'[ "$1" = train ] && shift\nexec {sys.executable} -m {TOY} --task Toy --agent cpo "$@"',
    }
    for name, line in scripts.items():
        (binaries / name).write_text(f"{head}{line}\n")
        (binaries / name).chmod(0o755)
    program = f"import runpy; runpy.run_module({TOY!r}, run_name='__main__')\n"
    (folder / "scripts/train.py").write_text(program)
    asked("bash", "-c", "source ./cpo_lab.sh && fingerprint >.venv/.cpo_lab_ready", cwd=folder)
    return folder


def submit(clone: Path, script: str, *arguments: str, options: tuple[str, ...] = (), **environment: str) -> str:
    """Submit a script as its head says; returns the job's number."""
    command = ["sbatch", "--parsable", *HERE, *options, f"docker/cluster/{script}", *arguments]
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def wait(condition, timeout_s: float = 300.0) -> None:
    """Wait for something; requeued jobs, which Slurm would let wait two minutes, are hurried meanwhile."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        for known_as in asked("squeue", "-h", "-r", "-t", "PD", "-o", "%i").split():
            subprocess.run(
                ["scontrol", "update", f"jobid={known_as}", "starttime=now"], capture_output=True, check=False
            )
        time.sleep(1)


def gone(job: str) -> bool:
    return not subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False).stdout.strip()


def state(job: str) -> str:
    return re.search(r"JobState=(\w+)", asked("scontrol", "show", "job", job))[1]


def log_of(clone: Path, pattern: str) -> str:
    return "".join(file.read_text() for file in sorted(clone.glob(pattern)))


def curves(run: Path) -> dict[str, list[float]]:
    """Every metric but those of the clock."""
    return {t: v for t, v in read_metrics(run / "metrics.csv").items() if not t.startswith(("Perf", "wall"))}


@pytest.fixture
def whole(tmp_path) -> Path:
    """A run that nobody disturbed: seed 1."""
    folder = tmp_path / "whole"
    command = ["-m", TOY, "--task", "Toy", "--agent", "cpo", "--seed", "1", "--iterations", "8"]
    subprocess.run([sys.executable, *command, "--log_dir", str(folder)], cwd=ROOT, check=True, timeout=300)
    return folder


def test_an_array_of_seeds_survives_its_time_limit_and_a_kill_and_equals_undisturbed_runs(clone, whole):
    """Three minutes with USR1 one to two ahead, for runs that take longer; one is killed with SIGKILL besides."""
    job = submit(
        clone, "slurm.sbatch", "--iterations", "8", "--sleep_s", "2.0",
        options=("--array=1-2", "--time=3", "--signal=B:USR1@60"),
    )  # fmt: skip
    runs = [clone / f"logs/rsl_rl/cluster/{job}_seed{seed}" for seed in (1, 2)]
    wait(lambda: RunFolder.read(runs[0]).iteration >= 2)
    os.kill(RunFolder.read(runs[0]).manifest["pid"], signal.SIGKILL)
    wait(lambda: gone(job), 500.0)
    assert [RunFolder.read(run).health() for run in runs] == ["finished"] * 2
    assert [RunFolder.read(run).iteration for run in runs] == [8, 8]
    assert curves(runs[0]) == curves(whole)
    said = log_of(clone, f"cpo-lab_{job}_*.log")
    assert "Training ended with status 137; it is started again (1 of 2)." in said
    assert "SIGUSR1: finishing this iteration" in said, "the time limit was announced"
    events = [line["event"] for run in runs for line in RunFolder.read(run).manifest["history"]]
    assert events.count("resumed") >= 2


def test_deaths_are_bounded_and_refusals_are_final(clone):
    broken = submit(clone, "slurm.sbatch", "--iterations", "8", "--seed", "x", options=("--array=1",))
    wait(lambda: gone(broken))
    assert state(broken) == "FAILED"
    assert "started again" not in log_of(clone, f"cpo-lab_{broken}_*.log")
    (clone / ".venv/bin/cpo-lab").write_text("#!/bin/bash\nkill -9 $$\n")
    dying = submit(clone, "slurm.sbatch", options=("--array=1",), CPO_LAB_RETRIES="1")
    wait(lambda: gone(dying))
    said = log_of(clone, f"cpo-lab_{dying}_*.log")
    assert said.count("it is started again (1 of 1)") == 1
    assert "Training ended with status 137 once more; it is not started again." in said
    assert state(dying) == "FAILED"


def test_a_second_submission_on_the_same_folder_is_refused_by_its_lock(clone):
    place = ("--iterations", "8", "--sleep_s", "1.0", "--log_dir", str(clone / "logs/one"))
    first = submit(clone, "slurm.sbatch", *place, options=("--array=1",))
    wait(lambda: RunFolder.read(clone / "logs/one").iteration >= 1)
    second = submit(clone, "slurm.sbatch", *place, options=("--array=1",))
    wait(lambda: gone(second))
    said = log_of(clone, f"cpo-lab_{second}_*.log")
    assert "is in use by process" in said and "started again" not in said
    assert not gone(first)
    wait(lambda: gone(first))
    assert RunFolder.read(clone / "logs/one").iteration == 8


def test_processes_under_torchrun_survive_their_time_limit_and_a_killed_one(clone):
    job = submit(
        clone, "torchrun.sbatch", "--iterations", "8", "--sleep_s", "2.0", "--seed", "1", "--task", "Toy", "--agent",
        "cpo", options=("--time=3", "--signal=B:USR1@60", "--cpus-per-task=2"), PROCESSES="2",
    )  # fmt: skip
    run = clone / f"logs/rsl_rl/cluster/{job}"
    wait(lambda: RunFolder.read(run).iteration >= 2)
    os.kill(RunFolder.read(run).manifest["pid"], signal.SIGKILL)
    wait(lambda: gone(job), 500.0)
    said = log_of(clone, f"cpo-lab-torchrun_{job}.log")
    assert RunFolder.read(run).iteration == 8, said[-3000:]
    assert RunFolder.read(run).health() == "finished"
    assert "it is started again (1 of 2)" in said

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A sweep on a real Slurm, disturbed in every way; skipped where none answers (``slurm_here.sh start`` makes one)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cpo_lab.jobs.support import scores, sweep, write_study

from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

pytestmark = pytest.mark.slow

SLURM = ("--launcher", "slurm", "--time", "10", "--mem_gb", "1", "--gpus_per_run", "0")


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(autouse=True)
def cluster():
    """Skip without Slurm; hurry requeued jobs, which it would let wait two minutes."""
    pytest.importorskip("submitit")
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"], capture_output=True, check=False).returncode:
        pytest.skip("no Slurm answers here")
    yield
    subprocess.run(["scancel", "-u", "root", "--name", "cpo-lab"], check=False)


def hurry() -> None:
    for known_as in asked("squeue", "-h", "-r", "-n", "cpo-lab", "-t", "PD", "-o", "%i").split():
        subprocess.run(["scontrol", "update", f"jobid={known_as}", "starttime=now"], capture_output=True, check=False)


def finished(process: subprocess.Popen, timeout_s: float = 400.0) -> str:
    """Wait for a sweep, with requeued jobs hurried; returns what it said."""
    end = time.monotonic() + timeout_s
    while process.poll() is None:
        assert time.monotonic() < end
        hurry()
        time.sleep(3)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def reached(folder: Path, name: str, iteration: int, process: subprocess.Popen) -> RunFolder:
    end = time.monotonic() + 200
    while (run := RunFolder.read(folder / f"Toy-Tracking_{name}")).iteration < iteration:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.2)
    return run


def curves(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Every metric of every run but those of the clock."""
    return {
        run.name: {t: v for t, v in read_metrics(run / "metrics.csv").items() if not t.startswith(("Perf", "wall"))}
        for run in sorted(folder.glob("Toy-*"))
    }


def test_a_disturbed_sweep_equals_an_undisturbed_one(tmp_path):
    whole, torn = write_study(tmp_path, "whole", seeds=2), write_study(tmp_path, "torn", sleep_s=0.4, seeds=2)
    finished(sweep(whole, "--at_once", "2"))
    first = sweep(torn, *SLURM)
    run = reached(tmp_path / "torn", "cpo_seed1", 2, first)
    reached(tmp_path / "torn", "ppo_seed1", 2, first)
    first.kill()  # the command; its jobs go on
    first.wait()
    os.kill(run.manifest["pid"], signal.SIGKILL)
    job = asked("squeue", "-h", "-r", "-n", "cpo-lab", "-o", "%i").split()[0].split("_")[0]
    subprocess.run(["scontrol", "requeue", f"{job}_1"], check=True)  # the second run: ppo, seed 1
    second = sweep(torn, *SLURM)
    time.sleep(5)
    high = ("-p", "high", "--cpus-per-task=8", "--mem=7G", "--time=2", "--output=/dev/null", "--wrap", "sleep 2")
    asked("sbatch", *high)  # preempts all that runs
    said = finished(second)
    assert "Toy-Tracking_cpo_seed1 was killed by SIGKILL, perhaps because memory ran out; it is started again" in said
    assert scores(tmp_path / "torn") == scores(tmp_path / "whole")
    assert curves(tmp_path / "torn") == curves(tmp_path / "whole")
    assert asked("squeue", "-h", "-n", "cpo-lab") == ""


def test_a_run_longer_than_the_limit_is_requeued_and_continues(tmp_path):
    """Three minutes with a warning two minutes ahead: the run is stopped after one, and goes on."""
    whole = write_study(tmp_path, "whole", seeds=1, agents=["cpo"])
    long = write_study(tmp_path, "long", sleep_s=1.6, seeds=1, agents=["cpo"])
    finished(sweep(whole))
    finished(sweep(long, *SLURM[:2], "--time", "3", *SLURM[4:]))
    assert scores(tmp_path / "long") == scores(tmp_path / "whole")
    history = RunFolder.read(tmp_path / "long/Toy-Tracking_cpo_seed1").manifest["history"]
    assert [line["event"] for line in history].count("resumed") >= 1

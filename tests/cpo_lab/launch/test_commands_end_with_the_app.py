# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Real commands on a real engine under a launcher that ends the process, as Isaac Sim's app does when it is left.

What stands in for that app is its last moment only: Isaac Lab's own launcher runs, and the process ends behind it.
The same commands without it are in ``cli/test_end_to_end.py`` and ``cli/test_evaluate_end_to_end.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpo_lab.launch.registry import DEFAULT_TASK
from cpo_rl.runs.folder import RunFolder

pytestmark = [pytest.mark.sim, pytest.mark.slow]

PROGRAM = """
import contextlib, os, sys
import isaaclab.app

original = isaaclab.app.launch_simulation

@contextlib.contextmanager
def launch(cfg, args=None):
    code = 1
    try:
        with original(cfg, args):
            yield
        code = 0
    except SystemExit as error:
        code = error.code
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)

isaaclab.app.launch_simulation = launch
from cpo_lab import cli

sys.exit(cli.main(sys.argv[1:]))
"""

SMALL = ("--device", "cpu", "--num_envs", "12")
TRAIN = ("train", *SMALL, "--log_dir", "run", "--resume", "auto", "--iterations", "2")


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(folder: Path, *arguments: str) -> tuple[int, str, str]:
    output, errors = (process := start(folder, *arguments)).communicate(timeout=400)
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the command trained for two iterations."""
    folder = tmp_path_factory.mktemp("ends")
    code, output, errors = ended(folder, *TRAIN)
    assert code == 0, output + errors
    return folder


def test_training_is_complete_and_a_finished_run_does_nothing(trained):
    run = RunFolder.read(trained / "run")
    assert (run.health(), run.iteration) == ("finished", 2) and (trained / "run/model_2.pt").is_file()
    code, output, errors = ended(trained, *TRAIN)
    assert code == 0 and "nothing to do" in output + errors, output + errors


def test_what_is_measured_is_printed_and_written(trained):
    code, output, errors = ended(trained, "evaluate", "run", *SMALL, "--episodes", "12", "--json", "scores.json")
    assert code == 0 and "Wrote" in output, output + errors
    assert json.loads((trained / "scores.json").read_text())["scores"]
    code, output, errors = ended(trained, "play", "--checkpoint", "run", *SMALL, "--steps", "4")
    assert code == 0 and "reward per step" in output, output + errors


def test_sigterm_saves_and_says_so(tmp_path):
    process = start(tmp_path, "train", *SMALL, "--log_dir", "run", "--iterations", "500")
    end = time.monotonic() + 300
    while RunFolder.read(tmp_path / "run").iteration < 1:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 143, output + errors
    run = RunFolder.read(tmp_path / "run")
    assert run.health() == "preempted" and (tmp_path / f"run/model_{run.iteration}.pt").is_file()


def test_what_a_benchmark_measures_of_a_point_is_kept(tmp_path):
    """Each point of ``benchmark env`` is measured by such a process, whose file the command reads."""
    words = ("--task", DEFAULT_TASK, *SMALL, "--steps", "4", "--warmup", "1", "--physics", "ovphysx")
    code, output, errors = ended(tmp_path, "benchmark", "env", "--point", "point.json", *words)
    assert code == 0, output + errors
    assert json.loads((tmp_path / "point.json").read_text())["env_steps_per_s"] > 0.0


def test_the_doctor_tells_and_ends_with_what_it_found(tmp_path):
    code, output, errors = ended(tmp_path, "doctor", "--task", DEFAULT_TASK, "--device", "cpu", "--num_envs", "4")
    assert "physics of" in output and "should be" in output, output + errors
    assert code == ("PROBLEM" in output)
    words = ("--stress", "60", "--num_envs", "6", "--device", "cpu", "--json", "stress.json")
    code, output, errors = ended(tmp_path, "doctor", "--task", DEFAULT_TASK, *words)
    assert code == 0 and json.loads((tmp_path / "stress.json").read_text()), output + errors


def test_a_member_of_a_population_is_complete(tmp_path):
    words = ("--pbt", "population", "--pbt_member", "1", "--pbt_members", "3", *SMALL, "--iterations", "2")
    code, output, errors = ended(tmp_path, "train", *words)
    assert code == 0, output + errors
    run = RunFolder.read(tmp_path / "population/member_01")
    assert (run.health(), run.iteration) == ("finished", 2) and (run.path / "model_2.pt").is_file()
    code, output, errors = ended(tmp_path, "train", *words)
    assert code == 0 and "nothing to do" in output + errors, output + errors

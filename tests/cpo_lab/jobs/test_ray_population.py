# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A population of toys under Ray Tune's own PopulationBasedTraining, on a Ray of this machine; Ray is an extra."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from tests.cpo_lab.jobs.support import ENVIRONMENT, PATHS
from tests.cpo_rl.pbt.pbt_job import member_cfg

from cpo_lab.cli import main, pbt_status
from cpo_lab.jobs import ray_population
from cpo_lab.jobs.job import Job
from cpo_lab.jobs.ray import Place
from cpo_lab.jobs.record import Record
from cpo_rl.errors import UserError
from cpo_rl.pbt import PbtCfg, Workspace
from cpo_rl.runs.find import checkpoint_in

MEMBERS = 3
CFG = PbtCfg(interval_steps=1536, start_after=0, initial_delay=0, mutation_rate=0.5, replace_fraction_worst=0.3)


@pytest.fixture
def with_ray(monkeypatch):
    pytest.importorskip("ray.tune", reason="the extra ray is not installed")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def train(path: Path, *, retries: int = 2, **options: object) -> tuple[int, list[str]]:
    """Train a population of toys, which need no simulator; returns the exit code and what was said."""
    said: list[str] = []

    class Listening(Console):
        def print(self, *objects, **keywords):
            said.extend(map(str, objects))

    given = [f"{name}={value}" for name, value in {"engine": "ray", **options}.items()]
    module, workspace = "tests.cpo_rl.pbt.pbt_job", Workspace(path, MEMBERS)
    jobs = [
        Job(f"member {i}", (sys.executable, "-m", module, str(path), str(i), str(MEMBERS), *given), workspace.folder(i))
        for i in range(MEMBERS)
    ]
    algorithm = member_cfg(0)["algorithm"]
    configured = {name: algorithm.get(name, value) for name, value in (("desired_kl", 0.016), ("gamma", 0.99))}
    parameters = ray_population.first_parameters(workspace, CFG, configured, 0)
    code = ray_population.train_population(
        jobs, workspace, CFG, parameters, Place("local", 1, 0.0, None), retries=retries, seed=0,
        telling=ray_population.Telling(Listening(force_terminal=False), lambda: "", list),
    )  # fmt: skip
    return code, said


def wait_for(path: Path, timeout_s: float = 240.0) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def pid_of(path: Path, member: int) -> int:
    return json.loads((path / f"member_{member:02d}/manifest.json").read_text())["pid"]


def last_iterations(path: Path) -> list[str]:
    return [checkpoint_in(Workspace(path, MEMBERS).folder(member)).name for member in range(MEMBERS)]


@pytest.mark.long
def test_a_population_under_ray_tune_survives_two_killed_members(tmp_path, with_ray):
    """One training process and one of Ray's workers are killed; both members go on, and both kinds of copies happen."""

    def kill() -> None:
        wait_for(tmp_path / "member_00/published/state_2.json")
        os.kill(pid_of(tmp_path, 0), signal.SIGKILL)
        wait_for(tmp_path / "member_02/published/state_4.json")
        worker = int((Path("/proc") / str(pid_of(tmp_path, 2)) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code, said = train(tmp_path, sleep_s=0.03, iterations=16)
    killer.join()
    assert code == 0, said
    assert last_iterations(tmp_path) == ["model_16.pt"] * MEMBERS
    assert any(
        line.startswith("member 0 was killed by SIGKILL, perhaps because memory ran out; it is") for line in said
    )
    assert any(line.startswith("member 2 lost its Ray worker; it is started again (1 of 2)") for line in said)
    workspace, common = Workspace.open(tmp_path)
    assert common["engine"] == "ray"
    rows = pbt_status.member_rows(workspace)
    assert [row["health"] for row in rows] == ["finished"] * MEMBERS
    assert rows[0]["starts"] >= 2 and rows[2]["starts"] >= 2
    history = [event for member in range(MEMBERS) for event in workspace.history(member).read()]
    copies = [event for event in history if event["event"] == "copy"]
    assert copies and all(event["donor"] in range(MEMBERS) for event in copies)
    assert any(event["changed"] for event in copies), "Tune's copies mutate"
    for member in range(MEMBERS):
        decided = [event["iteration"] for event in workspace.history(member).read() if event["event"] != "start"]
        assert decided == sorted(decided)
        assert workspace.latest(member).parameters.keys() >= {"desired_kl", "gamma"}
    assert list((tmp_path / "ray").glob("*/*/result.json")), "what Tune's own tools read"


@pytest.mark.long
def test_a_stop_saves_every_member_and_the_same_command_continues(tmp_path, with_ray):
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.cpo_lab.jobs.test_ray_population import train\n"
        "sys.exit(train(Path(sys.argv[1]), sleep_s=0.02, iterations=5000)[0])"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env=ENVIRONMENT)
    try:
        for member in range(MEMBERS):
            wait_for(tmp_path / f"member_{member:02d}/published/state_2.json")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=150) == 130
    finally:
        process.kill()
        process.wait()
    manifests = [json.loads(file.read_text()) for file in sorted(tmp_path.glob("member_*/manifest.json"))]
    assert {manifest["status"] for manifest in manifests} <= {"stopped", "preempted"}
    goal = max(manifest["iteration"] for manifest in manifests) + 2
    assert train(tmp_path, iterations=goal)[0] == 0
    assert last_iterations(tmp_path) == [f"model_{goal}.pt"] * MEMBERS
    first = [event for event in Workspace(tmp_path, MEMBERS).history(0).read() if event["event"] == "start"]
    assert len(first) == 1


@pytest.mark.long
def test_what_is_refused_is_not_tried_again_and_fails_the_command(tmp_path, with_ray):
    Workspace(tmp_path, MEMBERS).join(task="another", agent="ppo", engine="ray")
    code, said = train(tmp_path)
    assert code == 1
    assert sum("Workspace" in line and "holds a population with task 'another'" in line for line in said) == MEMBERS
    assert [Record(tmp_path).starts(f"member {member}") for member in range(MEMBERS)] == [1] * MEMBERS


def test_a_dead_address_and_a_missing_extra_are_one_sentence_within_seconds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["pbt", "--members", "3", "--workspace", "W", "--engine", "ray", "--device", "cpu"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pytest.importorskip("ray", reason="the extra ray is not installed")
    started = time.monotonic()
    assert main([*command, "--ray_address", address]) == 2
    assert f"--ray_address {address} does not answer" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(command) == 2
    assert "--engine ray needs Ray; install it with pip install 'ray[tune]'" in capsys.readouterr().err
    assert time.monotonic() - started < 30
    assert not (tmp_path / "W").exists()


def test_a_population_stays_with_its_engine(tmp_path):
    Workspace(tmp_path, MEMBERS).join(task="toy", agent="ppo")
    with pytest.raises(UserError, match="with engine 'own', not 'ray'"):
        Workspace(tmp_path, MEMBERS).join(task="toy", agent="ppo", engine="ray")

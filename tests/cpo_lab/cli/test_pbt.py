# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab pbt``: what it refuses, what it starts, how it stops, and what it shows."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest
from rich.console import Console

from cpo_lab.cli import main, pbt, pbt_status, train
from cpo_lab.cli.pbt_member import PopulationMember
from cpo_lab.jobs import options
from cpo_lab.jobs.crew import Crew, View
from cpo_lab.jobs.job import Job
from cpo_lab.jobs.local import LocalLauncher
from cpo_lab.jobs.record import Record
from cpo_lab.launch import simulation
from cpo_rl.pbt import Published, Workspace
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.find import checkpoint_in
from cpo_rl.runs.lock import own_folder

ROOT = Path(__file__).parents[3]
TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
MEMBERS = 3


# -- input -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_starts(monkeypatch, tmp_path):
    """Fail when a command gets as far as starting anything; work in an empty folder."""

    def started(*args, **kwargs):
        raise AssertionError("something was started")

    for module, name in (
        (train, "_train"),
        (simulation, "simulation"),
        (simulation, "make_env"),
        (pbt, "Crew"),
    ):
        monkeypatch.setattr(module, name, started)
    monkeypatch.chdir(tmp_path)


MEMBER = ["train", "--pbt", "W", "--pbt_member", "0", "--pbt_members", "3"]
POPULATION = ["pbt", "--workspace", "W", "--members", "3"]


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["pbt"], "--workspace"),
        (["pbt", "--workspace", "W"], "--members P"),
        (["pbt", "--workspace", "W", "--members", "2"], "use 3 or more"),
        ([*POPULATION, "--pbt_member", "1"], "--pbt_member is set by cpo-lab pbt itself"),
        ([*POPULATION, "--nmu_envs", "6"], "did you mean --num_envs"),
        ([*POPULATION, "--task", "CpoLab-X"], "Unknown task"),
        ([*POPULATION, "--agent", "stock_ppo"], "--agent stock_ppo"),
        ([*POPULATION, "--devices", "cpu,tpu"], "Unknown --device 'tpu'"),
        ([*POPULATION, "--log_dir", "x"], "leave out --log_dir"),
        ([*POPULATION, "pbt.interval_step=5"], "did you mean 'interval_steps'"),
        ([*POPULATION, "pbt.mutation_rate=2"], "mutation_rate=2.0 must lie in [0, 1]"),
        ([*POPULATION, "--json"], "belong to --status"),
        ([*POPULATION, "--engine", "tune"], "invalid choice: 'tune'"),
        ([*POPULATION, "--engine", "ray", "--launcher", "slurm"], "leave out --launcher slurm"),
        ([*POPULATION, "--engine", "ray", "--devices", "cpu"], "--devices means nothing to --launcher ray"),
        ([*POPULATION, "--engine", "ray", "pbt.start_after=5"], "pbt.start_after means nothing to --engine ray"),
        ([*POPULATION, "--engine", "ray", "pbt.replace_fraction_worst=0.6"], "must be at most 0.5 with --engine ray"),
        (["train", "--pbt_engine", "ray"], "together with --pbt"),
        (["pbt", "--workspace", "W", "--status"], "holds no population"),
        (["pbt", "--workspace", "W", "--status", "--task", TASK], "takes no --task"),
        (["train", "--pbt", "W"], "--pbt_member I and --pbt_members P"),
        (["train", "--pbt_member", "0"], "together with --pbt"),
        (["train", "pbt.interval_steps=5"], "together with --pbt"),
        (["train", "--pbt", "W", "--pbt_member", "3", "--pbt_members", "3"], "must be below"),
        (["train", "--pbt", "W", "--pbt_member", "0", "--pbt_members", "2"], "use 3 or more"),
        ([*MEMBER, "--resume", "best"], "leave out --log_dir"),
        ([*MEMBER, "pbt.parameters=gamma,alpha"], "'alpha'"),
    ],
)
def test_bad_input_is_one_sentence(nothing_starts, capsys, monkeypatch, tmp_path, argv, part):
    monkeypatch.setattr(pbt, "check_ray", lambda *_: None)  # whether there is a Ray, which comes first
    assert main(argv) == 2
    sentence = capsys.readouterr().err.strip()
    assert part in sentence
    assert "\n" not in sentence
    assert sentence.startswith("cpo-lab: ")
    assert not (tmp_path / "W" / "population.json").exists()


def test_a_member_is_one_process(nothing_starts, capsys, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert main(MEMBER) == 2
    assert "without torchrun" in capsys.readouterr().err


def _own_for_a_while(folder: Path) -> None:
    with own_folder(folder):
        time.sleep(60)


def test_a_workspace_of_another_population_and_a_busy_member_are_refused(nothing_starts, capsys, tmp_path):
    workspace = Workspace(tmp_path / "W", 3)
    busy = multiprocessing.get_context("fork").Process(target=_own_for_a_while, args=(workspace.folder(0),))
    busy.start()
    wait_for(workspace.folder(0) / ".lock")
    assert main([*MEMBER, "--device", "cpu"]) == 2
    assert f"is in use by process {busy.pid} on host" in capsys.readouterr().err
    busy.kill()
    busy.join()
    common = {"members": 3, "task": TASK, "agent": "ppo", "engine": "own"}
    assert json.loads((tmp_path / "W/population.json").read_text()) == common
    assert main(["train", "--pbt", "W", "--pbt_member", "0", "--pbt_members", "4", "--device", "cpu"]) == 2
    assert "members 3, not 4" in capsys.readouterr().err


def test_a_member_has_a_folder_and_a_seed_of_its_own(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    plans = []
    monkeypatch.setattr(train, "_train", lambda plan: plans.append(plan) or 0)
    for member in ("0", "2"):
        command = ["train", "--pbt", "W", "--pbt_member", member, "--pbt_members", "3", "--device", "cpu"]
        assert main([*command, "--seed", "7", "pbt.mutation_rate=0.3"]) == 0
    assert [plan.log_dir.name for plan in plans] == ["member_00", "member_02"]
    assert [plan.resolved.agent_cfg.seed for plan in plans] == [7, 9] == [p.resolved.env_cfg.seed for p in plans]
    assert [plan.resolved.request.seed for plan in plans] == [7, 7]  # what a continued member starts from
    assert {plan.resolved.algorithm for plan in plans} == {"ppo"}
    assert {plan.member.cfg.mutation_rate for plan in plans} == {0.3}
    shown = capsys.readouterr().out
    assert "member 2 of 0 to 2, intervals of 40,320 steps  (chosen for this machine)" in shown


def test_settings_follow_the_length_of_a_run_on_a_cpu_and_the_interval():
    def completed(device: str, **given):
        request = Namespace(device=device, num_envs=252)
        agent = Namespace(num_steps_per_env=8, max_iterations=1000, algorithm=Namespace(num_policies=1))
        resolved = Namespace(request=request, agent_cfg=agent)
        member = PopulationMember(Workspace("W", 3), 0, given)
        chosen = member.complete(resolved)
        cfg = member.cfg
        return (cfg.interval_steps, cfg.start_after, cfg.initial_delay), chosen

    assert completed("cpu") == ((40_320, 100_800, 403_200), ["interval_steps"])
    assert completed("cuda:0") == ((20_000_000, 50_000_000, 200_000_000), [])  # the reference's
    assert completed("cuda:0", interval_steps=1000) == ((1000, 2500, 10_000), [])
    assert completed("cpu", interval_steps=1000, start_after=0) == ((1000, 0, 10_000), [])


def test_every_member_gets_its_place_and_its_share_of_the_cores(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    started = []

    class Watching:
        def __init__(self, jobs, launcher, record, **options):
            started.append((jobs, launcher, options))

        def run(self):
            return 7

    monkeypatch.setattr(pbt, "Crew", Watching)
    monkeypatch.setattr(options, "usable_cores", lambda: 9)
    argv = ["pbt", "--workspace", "W", "--members", "4", "--devices", "cpu,cpu", "--iterations", "3", "--retries", "5"]
    assert main([*argv, "pbt.mutation_rate=0.3"]) == 7
    members, launcher, given = started[0]
    assert (launcher.name, launcher.at_once, launcher._threads, launcher._devices) == ("local", 4, 2, ["cpu", "cpu"])
    assert given["retries"] == 5
    assert [job.command[job.command.index("--pbt_member") + 1] for job in members] == ["0", "1", "2", "3"]
    for number, job in enumerate(members):
        assert job.folder == tmp_path / f"W/member_{number:02d}"
        assert job.command[1:4] == ("-m", "cpo_lab.cli", "train")
        assert {"--iterations", "3", "pbt.mutation_rate=0.3"} <= set(job.command)


# -- processes ---------------------------------------------------------------------------------------------------------


def jobs(path: Path, **options: object) -> list[list[str]]:
    """Return commands of a toy population, which needs no simulator."""
    given = [f"{name}={value}" for name, value in options.items()]
    module = "tests.cpo_rl.pbt.pbt_job"
    return [[sys.executable, "-m", module, str(path), str(member), str(MEMBERS), *given] for member in range(MEMBERS)]


def run_jobs(path: Path, retries: int = 0, **options: object) -> int:
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "exts/cpo_lab", "source/cpo_rl"))
    environment, workspace = {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}, Workspace(path, MEMBERS)
    members = [
        Job(f"member {member}", tuple(command), workspace.folder(member), environment)
        for member, command in enumerate(jobs(path, **options))
    ]
    view = View(Console(), lambda turns: "", lambda turns: [])
    return Crew(members, LocalLauncher(MEMBERS), Record(path), retries=retries, view=view).run()


def wait_for(path: Path, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def last_iterations(path: Path) -> list[str]:
    return [str(checkpoint_in(Workspace(path, MEMBERS).folder(member)).name) for member in range(MEMBERS)]


@pytest.mark.long
def test_a_dead_member_stops_nobody_and_the_same_command_continues_it(tmp_path):
    def kill() -> None:
        wait_for(tmp_path / "member_01/published/state_2.json")
        pid = json.loads((tmp_path / "member_01/manifest.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_jobs(tmp_path, sleep_s=0.02) == 1
    killer.join()
    workspace = Workspace(tmp_path, MEMBERS)
    assert [row["health"] for row in pbt_status.member_rows(workspace)] == ["finished", "lost", "finished"]
    assert run_jobs(tmp_path) == 0
    assert last_iterations(tmp_path) == ["model_10.pt"] * MEMBERS
    for member in range(MEMBERS):
        decided = [event["iteration"] for event in workspace.history(member).read()]
        assert decided == sorted(set(decided)), "a decision is told twice"
        assert decided[0] == 0


@pytest.mark.long
def test_a_population_survives_two_killed_members(tmp_path, capsys):
    def kill() -> None:
        for member in (0, 2):
            wait_for(tmp_path / f"member_{member:02d}/published/state_2.json")
            os.kill(json.loads((tmp_path / f"member_{member:02d}/manifest.json").read_text())["pid"], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_jobs(tmp_path, retries=2, sleep_s=0.02) == 0
    killer.join()
    said = capsys.readouterr().out
    for member in (0, 2):
        assert f"member {member} was killed by SIGKILL, perhaps because memory ran out; it is started again" in said
    assert last_iterations(tmp_path) == ["model_10.pt"] * MEMBERS


@pytest.mark.long
def test_a_stop_signal_saves_every_member_and_the_same_command_continues(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.cpo_lab.cli.test_pbt import run_jobs\n"
        "sys.exit(run_jobs(Path(sys.argv[1]), sleep_s=0.02, iterations=500))"
    )
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "exts/cpo_lab", "source/cpo_rl"))
    environment = {**os.environ, "PYTHONPATH": paths}
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment)
    try:
        for member in range(MEMBERS):
            wait_for(tmp_path / f"member_{member:02d}/published/state_2.json")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
    stopped = last_iterations(tmp_path)
    assert all(0 < int(name.removeprefix("model_").removesuffix(".pt")) < 500 for name in stopped)
    manifests = [json.loads((tmp_path / f"member_{i:02d}/manifest.json").read_text()) for i in range(MEMBERS)]
    assert [manifest["status"] for manifest in manifests] == ["stopped"] * MEMBERS
    goal = max(manifest["iteration"] for manifest in manifests) + 2
    assert run_jobs(tmp_path, iterations=goal) == 0
    assert last_iterations(tmp_path) == [f"model_{goal}.pt"] * MEMBERS


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(tmp_path) -> Path:
    """A population of three of which one copied another and one has not started."""
    workspace = Workspace(tmp_path / "W", 3)
    workspace.join(task=TASK, agent="ppo")
    for member, scores in ((0, [1.0, 2.0, 9.5]), (1, [3.0, 8.0])):
        for interval, score in enumerate(scores, 1):
            state = Published(member, 10 * interval, 1000 * interval, score, {"gamma": 0.99})
            workspace.publish(state, b"x", CheckpointManifest(10 * interval), 5)
    history = workspace.history(0)
    history.append(0, 0, {"event": "start", "changed": {"gamma": [0.99, 0.991]}, "time": "a"})
    history.append(10, 1000, {"event": "keep", "reason": "not among the worst", "time": "b"})
    copied = {"event": "copy", "donor": 1, "donor_iteration": 20, "objective": 2.0, "changed": {"gamma": [0.991, 0.99]}}
    history.append(20, 2000, {**copied, "time": "c"})
    history.append(30, 3000, {"event": "skip", "donor": 1, "reason": "it is torn", "time": "d"})
    return workspace.path


def test_status_tells_members_and_who_copied_whom(shown, capsys):
    assert main(["pbt", "--workspace", str(shown), "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert TASK in lines[0]
    assert "9.5" in lines[3] and "copied 1 at 2 k" in lines[3]
    assert lines[5].split()[0] == "2" and "not started" in lines[5]
    assert lines[-3:] == [
        "0 steps: member 0 starts, gamma 0.99 -> 0.991",
        "2 k steps: member 0 copies member 1, gamma 0.991 -> 0.99",
        "3 k steps: member 0 keeps everything, because it is torn",
    ]


def test_status_tells_what_started_again_and_why_a_member_does_not_run(shown, capsys):
    record = Record(shown)
    for code, why in ((-9, "was killed by SIGKILL"), (1, "ended with status 1: the motor fell off")):
        record.note_start("member 1", "local", "1")
        record.note_end("member 1", code, why)
    assert main(["pbt", "--workspace", str(shown), "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    column = lines[2].index("starts") + len("starts") - 1
    assert [line[column] for line in lines[3:6]] == [" ", "2", " "]
    assert "Member 1 ended with status 1: the motor fell off." in lines
    assert main(["pbt", "--workspace", str(shown), "--status", "--json"]) == 0
    assert [row["starts"] for row in json.loads(capsys.readouterr().out)["population"]] == [0, 2, 0]


def test_status_for_scripts(shown, capsys):
    assert main(["pbt", "--workspace", str(shown), "--status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["objective"] for row in told["population"]] == [9.5, 8.0, None]
    assert [row["best_objective"] for row in told["population"]] == [9.5, 8.0, None]
    assert (told["members"], told["task"]) == (3, TASK)
    assert [event["event"] for event in told["history"]] == ["start", "copy", "skip"]


def test_the_picture_shows_every_member_and_an_arrow_per_copy(shown, tmp_path, capsys):
    file = tmp_path / "copies.svg"
    assert main(["pbt", "--workspace", str(shown), "--status", "--picture", str(file)]) == 0
    text = file.read_text()
    assert all(f"member {member}" in text for member in range(3))
    assert main(["pbt", "--workspace", str(shown), "--status", "--picture", str(tmp_path / "a.nothing")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_other_commands_take_a_workspace(shown, capsys):
    """Members without a manifest are no runs; the folder of the published checkpoints is none either."""
    assert main(["runs", str(shown)]) == 0
    assert "No run" in capsys.readouterr().out

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab sweep`` on this machine: killed in the middle, continued, reported; and what it shows."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
import yaml
from tests.cpo_lab.jobs.support import ROOT, scores, sweep, write_study

from cpo_lab.cli import main
from cpo_lab.cli import sweep as sweep_command
from cpo_lab.jobs import sweep_status
from cpo_lab.jobs.job import End
from cpo_lab.jobs.record import Record
from cpo_lab.jobs.study import read_study
from cpo_rl.runs.folder import RunFolder

pytestmark = pytest.mark.long


def wait_for(condition, process, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def running_in(folder) -> list:
    return [run for run in sorted(folder.glob("Toy-*")) if RunFolder.read(run).health() == "running"]


def iterations(folder) -> list[int]:
    return [RunFolder.read(run).iteration for run in sorted(folder.glob("Toy-*"))]


def test_a_sweep_is_killed_in_the_middle_continued_and_equals_one_that_was_not(tmp_path):
    whole, torn = write_study(tmp_path, "whole"), write_study(tmp_path, "torn", sleep_s=0.1)
    output, _ = (first := sweep(whole, "--at_once", "2")).communicate(timeout=300)
    assert first.returncode == 0, output
    assert iterations(tmp_path / "whole") == [6] * 6

    for number in (signal.SIGKILL, signal.SIGINT):  # the sweep itself dies, then is stopped
        process, reached = sweep(torn, "--at_once", "2"), sum(iterations(tmp_path / "torn"))
        wait_for(lambda before=reached: sum(iterations(tmp_path / "torn")) >= before + 3, process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130), output
        while running_in(tmp_path / "torn"):  # which hear of it a little later, and count on until then
            time.sleep(0.05)
    assert 0 < sum(iterations(tmp_path / "torn")) < 36

    process = sweep(torn, "--at_once", "2")
    wait_for(
        lambda: any(RunFolder.read(run).health() == "running" for run in (tmp_path / "torn").glob("Toy-*")), process
    )
    running = next(run for run in (tmp_path / "torn").glob("Toy-*") if RunFolder.read(run).health() == "running")
    os.kill(RunFolder.read(running).manifest["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"{running.name} was killed by SIGKILL, perhaps because memory ran out; it is started again" in output
    assert iterations(tmp_path / "torn") == [6] * 6
    assert scores(tmp_path / "torn") == scores(tmp_path / "whole")

    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "torn").glob("Toy-*/metrics.csv")}
    output, _ = (again := sweep(torn)).communicate(timeout=120)
    assert again.returncode == 0 and "6 of 6 done" in output
    assert {file: file.stat().st_mtime_ns for file in before} == before, "a finished run was repeated"


def test_one_run_of_a_study_is_a_process_of_its_own(tmp_path):
    """What an indexed job does: every index trains its run, in the very process that was started."""
    study = write_study(tmp_path, seeds=1, iterations=2)
    for index, name in enumerate(("cpo", "ppo")):
        output, _ = (process := sweep(study, "--run", str(index))).communicate(timeout=300)
        assert process.returncode == 0, output
        run = RunFolder.read(tmp_path / f"toys/Toy-Tracking_{name}_seed1")
        assert (run.iteration, run.manifest["pid"]) == (2, process.pid)
    assert [row["state"] for row in sweep_status.rows(read_study(study))] == ["done", "done"]
    output, _ = (whole := sweep(study)).communicate(timeout=120)  # knows both runs as its own and compares them
    assert whole.returncode == 0 and "2 of 2 done" in output, output
    assert scores(tmp_path / "toys")
    other = write_study(tmp_path, seeds=1, iterations=2, num_envs=5)
    output, _ = (process := sweep(other, "--run", "0")).communicate(timeout=120)
    assert process.returncode == 2 and "the study is now" in output, output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--run", "2"], "--run 2 must be below 2"),
        (["--run", "0", "--dry_run"], "leave out --status, --dry_run"),
        (["--run", "0", "--launcher", "ray"], "leave out --status, --dry_run, --launcher"),
        (["--run", "0", "--devices", "cpu"], "--devices"),
        (["--run", "0", "--retries", "0"], "--retries"),
        (["--run", "-1"], "--run"),
    ],
)
def test_a_wrong_run_is_one_sentence(tmp_path, capsys, arguments, part):
    assert main(["sweep", str(write_study(tmp_path, seeds=1)), *arguments]) == 2
    sentence = capsys.readouterr().err.strip()
    assert part in sentence and "\n" not in sentence
    assert not (tmp_path / "toys").exists()


def test_a_run_whose_program_is_missing_is_one_sentence(tmp_path, capsys):
    assert main(["sweep", str(write_study(tmp_path, seeds=1, command=["no_such_program"])), "--run", "0"]) == 2
    sentence = capsys.readouterr().err.strip()
    assert "'no_such_program' cannot be started" in sentence and "\n" not in sentence


def test_the_job_of_kubernetes_starts_a_run_by_its_index():
    """Its schema is checked where the package that holds Kubernetes' is installed, its command everywhere."""
    file = ROOT / "docker/cluster/kubernetes.yaml"
    _, job = documents = list(yaml.safe_load_all(file.read_text()))
    [container] = job["spec"]["template"]["spec"]["containers"]
    words = [word.replace("$(JOB_COMPLETION_INDEX)", "3") for word in container["args"]]
    assert words[0] == "sweep" and sweep_command._parser().read(words[1:]).run == 3
    assert job["spec"]["completionMode"] == "Indexed"
    final = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert all(not End(code).can_be_tried_again for code in final)
    mounted = {volume["mountPath"] for volume in container["volumeMounts"]}
    assert "/home/lab/cpo_lab/logs" in mounted
    schemas = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for document in documents:
        schemas.validate(document, schemas.latest_version(), strict=True)


def test_status_and_dry_run_tell_every_run(tmp_path, capsys):
    file = write_study(tmp_path, seeds=1, iterations=4)
    assert main(["sweep", str(file), "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "to do  Toy-Tracking_cpo_seed1: 4 iterations" in said and "2 of 2 runs would be started" in said
    assert not (tmp_path / "toys").exists()
    run = RunFolder.create(tmp_path / "toys/Toy-Tracking_cpo_seed1", task="Toy-Tracking", seed=1)
    run.update(status="finished", iteration=4, env_steps=400, max_iterations=4, last={"Leader/return": 1.5})
    assert main(["sweep", str(file), "--status", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["agent"], row["state"], row["iteration"]) for row in rows] == [
        ("cpo", "done", 4),
        ("ppo", "waiting", 0),
    ]
    assert main(["sweep", str(file), "--status"]) == 0
    shown = capsys.readouterr().out
    assert "4/4" in shown and "1.5" in shown and "1 of 2 done, 1 waiting" in shown


def test_the_live_status_ends_when_nothing_is_left_to_happen(tmp_path, capsys):
    """A run that was refused has no folder of its own, and one that crashed for good is not waited for."""
    file = write_study(tmp_path, seeds=1, iterations=4)
    record = Record(tmp_path / "toys")
    RunFolder.create(tmp_path / "toys/Toy-Tracking_cpo_seed1", task="Toy-Tracking").update(status="crashed")
    record.note_start("Toy-Tracking_cpo_seed1", "local", "1")
    record.note_end("Toy-Tracking_cpo_seed1", 1, "ended with status 1: bad")
    record.note_start("Toy-Tracking_ppo_seed1", "local", "2")
    assert not sweep_status.all_ended(sweep_status.rows(read_study(str(file))))
    record.note_end("Toy-Tracking_ppo_seed1", 2, "was refused: no such task")
    assert main(["sweep", str(file), "--status", "--live"]) == 0
    assert "1 crashed, 1 failed" in capsys.readouterr().out
    record.note_start("Toy-Tracking_ppo_seed1", "slurm", "3_0")
    rows = sweep_status.rows(read_study(str(file)))
    assert rows[1]["state"] == "waiting" and not sweep_status.all_ended(rows), "started again and queued"
    record.note_end("Toy-Tracking_ppo_seed1", 130, "was stopped by SIGINT in the queue")
    assert sweep_status.rows(read_study(str(file)))[1]["state"] == "waiting", "it goes on with the same command"


def test_a_sweep_of_tasks_is_checked_as_training_would(tmp_path, monkeypatch, capsys):
    """Without a simulator: every agent is resolved, budgets are counted, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    study = {"tasks": ["CpoLab-Reorient-Cube-Shadow-Direct"], "agents": ["cpo", "ppo"], "seeds": 2, "device": "cpu",
             "env_steps": 100_000, "num_envs": 252}  # fmt: skip
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    assert main(["sweep", "study.yaml", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert said.count(": 50 iterations, 101 k steps") == 4  # 252 environments x 8 steps
    for wrong, part in (
        ({"agents": ["cpo", "sap"]}, "Run Reorient-Cube-Shadow_sap_seed1: Unknown agent 'sap'"),
        ({"settings": ["env.episode_length=3"]}, "did you mean"),
        ({"num_envs": 250}, "250"),
    ):
        (tmp_path / "study.yaml").write_text(json.dumps({**study, **wrong}))
        assert main(["sweep", "study.yaml", "--dry_run"]) == 2
        assert part in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["study.yaml"]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab runs`` and ``cpo-lab doctor --dump``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from cpo_lab.cli import main
from cpo_lab.cli.runs import summary
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.dump import write_dump
from cpo_rl.runs.folder import RunFolder


@pytest.fixture
def logs(tmp_path):
    def make(name, **fields):
        return RunFolder.create(tmp_path / "exp" / name, **fields)

    make(
        "a",
        task="T",
        algorithm="cpo",
        seed=3,
        created="2026-01-01",
        iteration=20,
        max_iterations=80,
        env_steps=12_300,
        wall_clock_s=100.0,
        last={"Leader/return": 4.25, "Perf/env_steps_per_s": 1500.0},
        best={"score": 5.5, "iteration": 9},
    )
    run = make(
        "b",
        task="U",
        algorithm="sapg",
        created="2026-01-02",
        status="crashed",
        error="RuntimeError: the motor fell off",
    )
    CheckpointStore(run.path).save(b"x", CheckpointManifest(4))
    make("c", task="T", created="2026-01-03", pid=2**22 + 1)
    return tmp_path


def test_the_table_shows_progress_and_health(logs, capsys):
    assert main(["runs", str(logs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["exp/a", "exp/b", "exp/c"]
    for part in ("cpo", "20/80", "12.3 k", "4.25", "5.5", "1,500", "running", "5 min 00 s left"):
        assert part in lines[1], lines[1]
    assert "crashed" in lines[2] and "lost" in lines[3]
    assert lines[4] == "b: RuntimeError: the motor fell off"


def test_filters_and_json(logs, capsys):
    assert main(["runs", str(logs), "--task", "T", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(r["seed"], r["health"], r["left_s"]) for r in rows] == [(3, "running", 300.0), (None, "lost", None)]
    assert main(["runs", str(logs), "--health", "crashed", "--json"]) == 0
    assert [row["checkpoints"] for row in json.loads(capsys.readouterr().out)] == [[4]]
    assert main(["runs", str(logs), "--health", "finished"]) == 0
    assert "No run like this" in capsys.readouterr().out


def test_the_folder_of_all_runs_can_be_named_as_everywhere(logs, capsys):
    assert main(["runs", "--log_root", str(logs), "--task", "U", "--json"]) == 0
    assert [row["algorithm"] for row in json.loads(capsys.readouterr().out)] == ["sapg"]


def test_a_silent_run_of_another_machine_is_visible(tmp_path, capsys):
    RunFolder.create(tmp_path / "a", hardware={"host": "elsewhere"}, updated="2026-01-01T00:00:00+00:00")
    assert main(["runs", str(tmp_path)]) == 0
    assert "running, silent for" in capsys.readouterr().out
    row = summary(RunFolder.open(tmp_path / "a"), datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert row["silent_s"] == 60.0


def test_bad_input_is_one_sentence(tmp_path, capsys):
    for argv in (
        ["runs", str(tmp_path / "no")],
        ["runs", str(tmp_path), "--health", "happy"],
        ["runs", "--wat"],
        ["doctor", "--dump", str(tmp_path / "no.pt")],
    ):
        assert main(argv) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_listing_imports_no_torch(tmp_path):
    code = (
        f"import sys; from cpo_lab.cli import main; main(['runs', {str(tmp_path)!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


def test_the_doctor_reads_a_dump(tmp_path, capsys):
    report = {"tensor": "rewards", "step": 3, "env_ids": [2]}
    write_dump(
        tmp_path / "dump_7.pt", report, iteration=7, task="T", states={"rewards": torch.tensor([[float("nan"), 1.0]])}
    )
    assert main(["doctor", "--dump", str(tmp_path / "dump_7.pt")]) == 0
    out = capsys.readouterr().out
    assert "in the rewards of environment 2 at step 3" in out and "[0, 0] = nan" in out


def test_what_a_run_went_on_from_is_shown(tmp_path, capsys):
    ancestor = {"run": "/logs/[bold]a[/]", "file": "model_20.pt", "iteration": 20, "reasons": ["its seed is 1, not 2"]}
    RunFolder.create(tmp_path / "own", ancestor=ancestor)
    RunFolder.create(tmp_path / "odd", ancestor={"run": 3})
    assert main(["runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "own: went on from model_20.pt of /logs/[bold]a[/]" in told and told.count("went on from") == 1
    assert main(["runs", str(tmp_path), "--json"]) == 0
    rows = {Path(row["folder"]).name: row["ancestor"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"own": {"run": "/logs/[bold]a[/]", "file": "model_20.pt", "iteration": 20}, "odd": None}


def test_the_best_run_of_each_algorithm_and_what_to_do_with_it(tmp_path, capsys):
    def make(name, algorithm, score, metric="Leader/successes", saved=True):
        run = RunFolder.create(
            tmp_path / "exp" / name, task="T", algorithm=algorithm, best={"score": score, "metric": metric}
        )
        if saved:
            CheckpointStore(run.path).save(b"x", CheckpointManifest(4))

    make("a", "cpo", 1.0)
    make("b", "cpo", 3.0)
    make("c", "ppo", 2.0)
    make("d", "ppo", 9000.0, metric="Leader/return")  # another metric is no better
    make("e", "sapg", 7.0, saved=False)  # nothing of it is left
    RunFolder.create(tmp_path / "exp" / "f", task="T", algorithm="ppo", best={"score": 5.0, "metric": ["x"]})
    assert main(["runs", str(tmp_path), "--best", "--json"]) == 0
    assert [Path(row["folder"]).name for row in json.loads(capsys.readouterr().out)] == ["b", "c"]
    assert main(["runs", str(tmp_path), "--best"]) == 0
    out = capsys.readouterr().out
    for command in ("evaluate", "play", "export"):
        assert f"cpo-lab {command} --checkpoint {tmp_path / 'exp' / 'b'}:best" in out
    assert "exp/c:best" not in out
    assert "T, Leader/successes 3" in out


def test_no_best_run_is_said(tmp_path, capsys):
    RunFolder.create(tmp_path / "a", task="T", algorithm="cpo")
    assert main(["runs", str(tmp_path), "--best"]) == 0
    assert "No run with a score" in capsys.readouterr().out

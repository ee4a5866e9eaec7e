# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``--force``: the checkpoint of another task, for the brave."""

from __future__ import annotations

import json

import pytest

from cpo_lab.cli import main, play, train
from cpo_lab.launch.configuration import Request

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
OTHER = "CpoLab-Other-Task-Direct"


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A checkpoint of another task with settings that mean nothing here; work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "logs/rsl_rl/other/run"
    folder.mkdir(parents=True)
    manifest = {
        "version": 1,
        "library": "rsl_rl",
        "task": OTHER,
        "created_at": "2026-01-01T00:00:00+00:00",
        "metadata": {},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    Request(OTHER, "cpo", "cpu", "ovphysx", 24, 6, 3, ["env.other=1"]).keep(folder, iterations=7)
    (folder / "model_3.pt").write_bytes(b"weights")
    (folder / "model_3.json").write_text(
        json.dumps({"iteration": 3, "format": 1, "size": 7, "sha256": "", "identity": {"task": OTHER}})
    )
    return folder / "model_3.pt"


def test_without_force_it_is_refused_by_name(foreign, capsys):
    for command in (["train", "--resume"], ["play", "--checkpoint"]):
        assert main([*command, str(foreign), "--task", TASK]) == 2
        assert OTHER in capsys.readouterr().err


def test_training_goes_on_in_a_run_of_its_own(foreign, monkeypatch):
    seen = []
    monkeypatch.setattr(train, "_train", lambda *args: seen.append(args) or 0)
    assert main(["train", "--resume", str(foreign), "--task", TASK, "--force", "--iterations", "9"]) == 0
    (plan,) = seen[0]
    request = plan.resolved.request
    assert (request.task, request.overrides, plan.checkpoint, plan.force) == (TASK, [], foreign, True)
    assert plan.log_dir != foreign.parent


def test_force_without_another_task_continues_the_run_itself(foreign, monkeypatch):
    run_json = json.loads((foreign.parent / "run.json").read_text())
    (foreign.parent / "run.json").write_text(json.dumps({**run_json, "task": TASK}))
    Request(TASK, "cpo", "cpu", "ovphysx", 24, 6, 3, []).keep(foreign.parent, iterations=7)
    foreign.with_suffix(".json").unlink()
    seen = []
    monkeypatch.setattr(train, "_train", lambda *args: seen.append(args) or 0)
    assert main(["train", "--resume", str(foreign), "--force"]) == 0
    (plan,) = seen[0]
    assert plan.log_dir == foreign.parent and plan.force is True


def test_playing_takes_it(foreign, monkeypatch):
    seen = []
    monkeypatch.setattr(
        play, "_play", lambda resolved, *args: seen.append(resolved) or (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert main(["play", "--checkpoint", str(foreign), "--task", TASK, "--force", "env.episode_length_s=5"]) == 130
    assert (seen[0].request.task, seen[0].request.overrides) == (TASK, ["env.episode_length_s=5"])

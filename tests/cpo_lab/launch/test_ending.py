# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The end of a run says how it ended, its result, its folder and the next command."""

from __future__ import annotations

import contextlib
import shlex

import pytest

from cpo_lab.launch.ending import ending, told_end
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RunFolder


def run_in(folder, **fields) -> RunFolder:
    run = RunFolder.create(folder, task="T", algorithm="cpo", seed=1)
    run.update(iteration=7, max_iterations=9, env_steps=12_340, wall_clock_s=75.0, **fields)
    return run


def test_a_finished_run(tmp_path):
    run = run_in(
        tmp_path / "a [run] with 'quotes'", status="finished", last={"Leader/return": 1.5, "Leader/successes": 0.25},
        best={"score": 0.5, "iteration": 6, "metric": "Leader/successes"},
    )  # fmt: skip
    lines = ending(run)
    assert lines["ended"] == "finished after 7 of 9 iterations, 12.3 k steps, 1 min 15 s of training"
    assert lines["result"] == "return 1.5, successes 0.25, best 0.5 in iteration 6"
    assert lines["run folder"] == str(run.path)
    assert shlex.split(lines["next"].split(",")[0])[-2:] == ["--checkpoint", str(run.path)]


@pytest.mark.parametrize(
    ("fields", "files", "command"),
    [
        ({"status": "preempted"}, ["model_5.pt"], "cpo-lab train --resume"),
        ({"status": "stopped"}, ["model_5.pt", "dump_3.pt"], "cpo-lab train --resume"),
        ({"status": "stopped", "error": "a NaN"}, ["model_5.pt", "dump_3.pt"], "cpo-lab doctor --dump"),
        ({"status": "stopped", "error": "a NaN"}, ["model_5.pt"], "cpo-lab train --resume"),
        ({"status": "crashed", "error": "the motor"}, ["model_5.pt"], "cpo-lab train --resume"),
        ({"status": "crashed", "error": "the motor"}, [], "no checkpoint was written"),
    ],
)
def test_the_next_command_suits_the_end(tmp_path, fields, files, command):
    run = run_in(tmp_path / "run", **fields)
    for name in files:
        (run.path / name).touch()
    assert ending(run)["next"].startswith(command)


def test_a_folder_of_which_nothing_can_be_read(tmp_path):
    assert ending(RunFolder.read(tmp_path))["ended"].startswith("unknown after 0 iterations")


@pytest.mark.parametrize(("raised", "told"), [(None, True), (RuntimeError("x"), True), (UserError("x."), False)])
def test_the_end_is_told_also_when_training_fails(tmp_path, capsys, raised, told):
    run = run_in(tmp_path / "[red]run[/]", status="finished")
    with pytest.raises(type(raised)) if raised else contextlib.nullcontext(), told_end(run.path):
        if raised:
            raise raised
    out = capsys.readouterr().out
    assert (str(run.path) in out) == told


def test_other_ranks_and_members_are_silent(capsys):
    with told_end(None):
        pass
    assert capsys.readouterr().out == ""

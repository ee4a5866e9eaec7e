# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab train --init_from``: a new run begins with another one's weights, and every record tells."""

from __future__ import annotations

from pathlib import Path

from tests.cpo_lab.launch.test_run_place import content
from tests.cpo_lab.launch.test_train_without_simulator import SMALL, run_in, world

from cpo_lab.cli import main
from cpo_lab.report.grouping import group_runs
from cpo_lab.report.reading import read_runs
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

__all__ = ["world"]  # a fixture: no simulator, and an empty working folder


def test_a_new_run_begins_with_the_weights_and_says_so(capsys):
    first = run_in("first", "--iterations", "2")
    before = content(first)
    second = run_in("second", "--iterations", "1", "--init_from", str(first))
    out = capsys.readouterr().out
    assert content(first) == before
    run = RunFolder.open(second)
    assert run.initialized_from["run"] == str(first) and run.initialized_from["file"] == "model_2.pt"
    assert run.ancestor is None and read_metrics(run.metrics_file)["iteration"] == [1]
    assert f"begins with {first / 'model_2.pt'}" in out and "Begins with weights of" in out
    assert main(["runs", "second"]) == 0
    assert "second: began with weights of model_2.pt of" in capsys.readouterr().out


def test_the_report_makes_no_seed_of_it():
    first = run_in("first", "--iterations", "2")
    other = run_in("other", "--iterations", "2", "--seed", "7")
    second = run_in("second", "--iterations", "2", "--seed", "8", "--init_from", str(first))
    groups = group_runs(read_runs([first, other, second]))
    assert sorted(len(group.runs) for group in groups) == [1, 2]
    assert any("initialized_from=" in group.label for group in groups), [group.label for group in groups]


def test_a_job_given_again_goes_on_instead():
    first = run_in("first", "--iterations", "1")
    job = ["job", "--resume", "auto", "--init_from", str(first)]
    run_in(*job, "--iterations", "1")
    told = RunFolder.open("job").manifest["initialized_from"]
    run_in(*job, "--iterations", "2")
    run = RunFolder.open("job")
    assert run.manifest["initialized_from"] == told and run.iteration == 2


def test_a_setting_of_the_noise_wins():
    first = run_in("first", "--iterations", "1")
    second = run_in("second", "--iterations", "1", "--init_from", str(first), "agent.model.init_log_std=-1.5")
    assert RunFolder.open(second).manifest["initialized_from"]["left"] == {"log_std": "a setting says how it begins"}


def refused(capsys, *arguments: str) -> str:
    assert main(["train", *SMALL, *arguments]) == 2
    assert not Path("logs").exists()
    return capsys.readouterr().err


def test_bad_input_is_one_sentence(capsys):
    first = run_in("first", "--iterations", "1")
    Path("model_9.pt").write_bytes(b"no checkpoint")
    assert "--init_from nowhere: no such file" in refused(capsys, "--init_from", "nowhere")
    assert "--init_from latest found no run" in refused(capsys, "--init_from", "latest")
    both = refused(capsys, "--init_from", str(first), "--resume", str(first))
    assert "--init_from begins a new run, and --resume goes on with one; give one of them." in both
    assert "was refused: it is damaged" in refused(capsys, "--init_from", "model_9.pt")


def test_sizes_that_fit_nowhere_are_one_sentence(capsys):
    """They are known with the environment only."""
    first = run_in("first", "--iterations", "1")
    assert main(["train", *SMALL, "--init_from", str(first), "agent.model.hidden_dims=[9]"]) == 2
    assert "holds no weights that fit this agent: trunk.layers.0 weight [8, " in capsys.readouterr().err

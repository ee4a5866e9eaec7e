# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run folders that version 0.1.0 wrote: they are listed, found, reported, exported, continued and played.

``fixtures/runs_0_1_0.tar.gz`` holds two iterations each of ``cpo-lab train`` on the Shadow Hand (cpo), the Allegro Hand
(ppo) and the arm (sapg with an LSTM), and of ``isaaclab train`` on the Shadow Hand, with networks of eight units; event
files and git diffs are left out, names of the machine replaced.
"""

from __future__ import annotations

import importlib
import json
import re
import tarfile
from pathlib import Path

import pytest

from cpo_lab.cli import main, train
from cpo_lab.launch.configuration import Request
from cpo_lab.launch.policies import Changes, resolve_trained
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.find import find_runs, resolve_checkpoint
from cpo_rl.runs.folder import RunFolder

SHADOW, ALLEGRO, ARM = (
    f"CpoLab-{name}-Direct" for name in ("Reorient-Cube-Shadow", "Reorient-Cube-Allegro", "Regrasp-KukaAllegro")
)
RUNS = {
    "shadow_hand_reorient_cube/2026-11-25_21-32-46_v010": (SHADOW, "cpo", 7, "finished", 2),
    "allegro_kuka_regrasp/2026-11-25_21-32-56_v010": (ARM, "sapg", 7, "finished", 2),
    "allegro_hand_reorient_cube/2026-11-25_21-33-07_v010": (ALLEGRO, "ppo", 7, "finished", 2),
    "shadow_hand_reorient_cube/2026-11-25_21-33-19": (SHADOW, "cpo", 42, "unknown", 2),
}
"""Folder to task, algorithm, seed, health and finished iterations, oldest first; the last one is the stock one."""

STOCK = list(RUNS)[-1]
OURS = list(RUNS)[:-1]


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("logs")
    with tarfile.open(Path(__file__).parent / "fixtures/runs_0_1_0.tar.gz") as archive:
        archive.extractall(root, filter="data")
    return root


def test_they_are_listed(logs, capsys):
    assert main(["runs", str(logs), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["problems"] for row in rows] == [[]] * 4
    told = {
        Path(row["folder"]).relative_to(logs).as_posix(): tuple(
            row[name] for name in ("task", "algorithm", "seed", "health", "iteration")
        )
        for row in rows
    }
    assert told == RUNS and list(told) == list(RUNS)


def test_the_newest_is_found(logs):
    assert resolve_checkpoint("latest", logs) == logs / STOCK / "model_1.pt"
    for folder in OURS[1:]:
        task = RUNS[folder][0]
        for selector in ("latest", "best"):
            assert resolve_checkpoint(selector, logs, task=task) == logs / folder / "model_2.pt"
    assert resolve_checkpoint(str(logs / OURS[0]), logs) == logs / OURS[0] / "model_2.pt"


def test_they_are_reported(logs, tmp_path, capsys):
    assert main(["report", str(logs), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report/report.html").read_text()
    assert all(run.task in page for run in find_runs(logs))
    told = capsys.readouterr()
    assert "4 runs" in told.err and "1 runs have missing or damaged files" in told.err  # the stock launcher's


@pytest.mark.parametrize("folder", RUNS)
def test_their_configuration_is_read(logs, folder):
    run = RunFolder.read(logs / folder)
    assert run.settings["model"]["hidden_dims"] == [8]
    assert run.settings["algorithm"]["algorithm"] == RUNS[folder][1]
    assert run.env_settings["scene"]["num_envs"] == 12
    assert run.problems == []


@pytest.mark.parametrize("folder", RUNS)
def test_their_checkpoints_are_read(logs, folder):
    checkpoint = read_checkpoint(resolve_checkpoint(str(logs / folder), logs))
    assert checkpoint.payload["iter"] == 2
    assert (checkpoint.manifest is None) == (folder == STOCK)
    if folder != STOCK:
        assert checkpoint.runner["identity"]["task"] == RUNS[folder][0]


@pytest.mark.parametrize("folder", RUNS)
def test_classes_named_in_them_still_exist(logs, folder):
    """The resolver imports what a configuration names; Isaac Lab's own names are Isaac Lab's business."""
    text = "".join(path.read_text() for path in (logs / folder / "params").glob("*.yaml"))
    names = set(re.findall(r"\bcpo_(?:lab|rl)[\w.]*:\w+", text))
    assert "cpo_rl.algorithms:EnsemblePPO" in names
    for name in names:
        module, _, attribute = name.partition(":")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("folder", RUNS)
def test_the_request_to_play_them_restores_their_network(logs, folder):
    checkpoint = resolve_checkpoint(str(logs / folder), logs)
    resolved = resolve_trained(checkpoint, Changes(device="cpu"), play_mode=True)
    task, algorithm, _, _, _ = RUNS[folder]
    assert (resolved.request.task, resolved.algorithm) == (task, algorithm)
    assert resolved.agent_cfg.model.hidden_dims == [8]
    stored = RunFolder.read(checkpoint.parent).settings
    for part in ("model", "algorithm"):
        cfg = getattr(resolved.agent_cfg, part)
        acting = {"num_mini_batches", "discriminator_mini_batches"}  # shrunk, because nothing is learned
        known = {name: value for name, value in stored[part].items() if hasattr(cfg, name) and name not in acting}
        assert {name: getattr(cfg, name) for name in known} == known
        assert len(known) >= len(stored[part]) - len(acting) - 1  # class_name


@pytest.mark.parametrize("folder", OURS)
def test_they_are_continued_with_their_settings(logs, folder, monkeypatch):
    plan = train.make_plan(["--resume", str(logs / folder), "--iterations", "3", "--device", "cpu"])
    assert plan is not None
    assert (plan.log_dir, plan.checkpoint) == (logs / folder, logs / folder / "model_2.pt")
    launched = Request.of_run(RunFolder.read(logs / folder))
    for name in ("task", "agent", "num_envs", "num_policies", "seed", "physics"):
        assert getattr(plan.resolved.request, name) == getattr(launched, name)
    algorithm, stored = plan.resolved.agent_cfg.algorithm, RunFolder.read(logs / folder).settings["algorithm"]
    assert algorithm.adversarial_coef == stored["adversarial_coef"]
    assert algorithm.adversarial_centered is (stored["adversarial_coef"] == 0.0), "as it was paid then"


@pytest.mark.parametrize("folder", RUNS)
def test_they_are_exported(logs, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("cpo_rl.export.CHECK_STEPS", 20)
    place = ["--checkpoint", str(logs / folder), "--output", str(tmp_path)]
    assert main(["export", *place, "--formats", "jit"]) == 0
    told = json.loads((tmp_path / "policy.json").read_text())
    assert (told["task"], told["algorithm"], told["iteration"]) == (*RUNS[folder][:2], 2)
    assert told["observation"]["layout"] is not None and told["control_period_s"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("folder", RUNS)
def test_they_are_played(logs, folder, capsys):
    """Task, robot and layout are those of the checkpoint, or it would be refused."""
    assert main(["play", "--checkpoint", str(logs / folder), "--steps", "5", "--device", "cpu"]) == 0
    assert "leader" in capsys.readouterr().out


@pytest.mark.slow
def test_one_is_measured(logs, tmp_path):
    arguments = ["--checkpoint", str(logs / OURS[0]), "--episodes", "6", "--device", "cpu", "env.episode_length_s=1"]
    assert main(["evaluate", *arguments, "--json", str(tmp_path / "scores.json")]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["task"] == SHADOW

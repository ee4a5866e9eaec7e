# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluation of real checkpoints in a real physics engine, in a process of its own, as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.processes import run_python

from cpo_lab.cli import main

pytestmark = [pytest.mark.sim, pytest.mark.slow]


def command(folder: Path, *arguments: str) -> str:
    return run_python("-m", "cpo_lab.cli", *arguments, "--device", "cpu", cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a run of six policies and one of a single policy."""
    folder = tmp_path_factory.mktemp("trained")
    for agent in ("cpo", "ppo"):
        command(folder, "train", "--agent", agent, "--num_envs", "12", "--iterations", "2", "--run_name", agent)
    return folder


def test_two_checkpoints_side_by_side(folder):
    runs = sorted((folder / "logs/rsl_rl").glob("*/*"))
    short = "env.episode_length_s=0.5"
    output = command(
        folder, "evaluate", *map(str, runs), "--episodes", "8", "--json", "s.json", "--csv", "s.csv", short
    )
    assert "probability of improvement" in output
    result = json.loads((folder / "s.json").read_text())
    assert [c["quantity"] for c in result["comparisons"]] == ["return", "successes"]
    assert {s["policy"] for s in result["scores"]} == {"leader"}
    assert len(result["episodes"]) == 2
    for entry in result["episodes"]:
        # 12 environments, the least multiple of both ensembles that covers 8 episodes; one episode each
        assert len(entry["return"]) == 12
        assert max(entry["length"]) <= 30
    rows = list(csv.DictReader((folder / "s.csv").open()))
    assert {row["quantity"] for row in rows} >= {"return", "successes", "time_to_success", "fall", "length"}


def test_every_policy_of_one_checkpoint(folder):
    (run,) = (folder / "logs/rsl_rl").glob("*/*_cpo")
    output = command(
        folder, "evaluate", str(run), "--policy", "all", "--episodes", "2", "--stochastic", "env.episode_length_s=0.3"
    )
    for name in ("follower 0", "follower 4", "leader", " all "):
        assert name in output


def test_bad_input_is_one_sentence(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (run,) = (folder / "logs/rsl_rl").glob("*/*_cpo")
    for arguments, named in (
        (["nowhere"], "nowhere"),
        ([str(run), "--policy", "7"], "--policy '7'"),
        ([str(run), "--num_envs", "7"], "--num_envs 7"),
        ([str(run), "--episodes", "0"], "--episodes"),
        ([str(run), "--json", str(folder)], "--json"),
        ([str(run), "env.episode_lenght_s=1"], "episode_length_s"),
    ):
        assert main(["evaluate", *arguments]) == 2
        message = capsys.readouterr().err.strip()
        assert named in message
        assert message.count("\n") == 0

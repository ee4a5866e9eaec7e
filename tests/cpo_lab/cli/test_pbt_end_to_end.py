# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A population with a real physics engine, as a user starts, stops and continues it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.sim, pytest.mark.slow]

MEMBERS = 3
COMMAND = [
    "pbt", "--workspace", "W", "--members", str(MEMBERS), "--device", "cpu", "--num_envs", "24", "--seed", "1",
    "--iterations", "12", "env.episode_length_s=0.2", "env.success_tolerance=0.8",
    "pbt.interval_steps=576", "pbt.start_after=0", "pbt.initial_delay=0", "pbt.mutation_rate=0.5",
]  # fmt: skip


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "cpo_lab.cli", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def manifests(folder: Path) -> list[dict]:
    return [json.loads((folder / f"W/member_{i:02d}/manifest.json").read_text()) for i in range(MEMBERS)]


def test_a_population_is_stopped_continued_and_shown(tmp_path):
    first = start(tmp_path, *COMMAND)
    states = [tmp_path / f"W/member_{i:02d}/published/state_3.json" for i in range(MEMBERS)]
    end = time.monotonic() + 300
    while not all(state.exists() for state in states):
        assert first.poll() is None, first.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=120)
    assert first.returncode in (130, 0), output  # 0 if all had finished by then
    before = [manifest["iteration"] for manifest in manifests(tmp_path)]
    second = start(tmp_path, *COMMAND)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    assert [manifest["iteration"] for manifest in manifests(tmp_path)] == [12] * MEMBERS
    assert {manifest["algorithm"] for manifest in manifests(tmp_path)} == {"pbt"}
    assert len({manifest["seed"] for manifest in manifests(tmp_path)}) == MEMBERS
    assert all(3 <= iteration <= 12 for iteration in before)
    shown = start(tmp_path, "pbt", "--workspace", "W", "--status", "--json")
    told = json.loads(shown.communicate(timeout=60)[0])
    for row in told["population"]:
        assert row["health"] == "finished"
        assert row["objective"] is not None
    for i in range(MEMBERS):
        lines = (tmp_path / f"W/member_{i:02d}/pbt_history.jsonl").read_text().splitlines()
        assert [json.loads(line)["iteration"] for line in lines] == [0, 3, 6, 9, 12]  # of 192 steps
    report = start(tmp_path, "report", "W", "--out", "report")
    output, _ = report.communicate(timeout=120)
    assert report.returncode == 0, output
    assert (tmp_path / "report/report.html").stat().st_size > 0

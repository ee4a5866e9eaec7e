# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Whatever moment a process is killed at, the newest complete checkpoint loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.payload import from_bytes, to_bytes

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).with_name("kill_trials.py")
ROOT = SCRIPT.parents[3]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Real checkpoint files of 20 to 400 kB."""
    folder = tmp_path_factory.mktemp("templates")
    for i, size in enumerate((5_000, 20_000, 100_000)):
        data = to_bytes({"model": {"weight": torch.randn(size)}, "iter": i, "infos": None})
        assert from_bytes(data)["iter"] == i
        (folder / f"{i}.pt").write_bytes(data)
    return folder


@pytest.fixture
def memory_folder(tmp_path):
    """A folder in memory where there is one: a kill does not care, and a disk's flushes take the most time by far."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def trials(mode, folder, templates, *options):
    paths = os.pathsep.join([str(ROOT / "source/cpo_rl"), str(ROOT / "exts/cpo_lab")])
    run = subprocess.run(
        [sys.executable, str(SCRIPT), mode, str(folder), str(templates), *options],
        capture_output=True,
        text=True,
        timeout=550,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def check_random(tmp_path, templates, number):
    result = trials("random", tmp_path / "run", templates, "--trials", str(number))
    assert result["trials"] == number and result["bad"] == 0, result
    assert result["saves"] > number / 4, f"the process must get to save between kills: {result}"
    assert result["leftovers"] + result["unfinished"] > number / 20, f"the kills must hit saves in progress: {result}"
    latest = CheckpointStore(tmp_path / "run").latest()
    assert latest is not None and "model" in from_bytes(latest.read_bytes())


def test_200_kills(memory_folder, templates):
    check_random(memory_folder, templates, 200)


@pytest.mark.slow
def test_1000_kills_on_disk(tmp_path, templates):
    check_random(tmp_path, templates, 1000)


def test_an_end_at_every_system_call_of_a_save(memory_folder, templates):
    result = trials("calls", memory_folder / "run", templates)
    assert result["bad"] == 0 and result["trials"] >= 10, result


def test_the_trials_see_the_damage_of_plain_writes(tmp_path, templates):
    assert trials("direct", tmp_path / "run", templates, "--trials", "60")["bad"] > 0

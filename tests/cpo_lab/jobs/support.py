# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A study of toys, and commands in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATHS = os.pathsep.join(str(ROOT / part) for part in (".", "exts/cpo_lab", "source/cpo_rl"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}


def write_study(folder: Path, name: str = "toys", sleep_s: float = 0.0, **fields) -> Path:
    """Write a study of two algorithms and some seeds of the toy run, which needs no simulator."""
    command = [sys.executable, "-m", "tests.cpo_lab.jobs.toy_run", "--sleep_s", str(sleep_s)]
    study = {
        "tasks": ["Toy-Tracking"], "agents": ["cpo", "ppo"], "seeds": 3, "iterations": 6, "command": command,
        "folder": str(folder / name), "name": "toys", **fields,
    }  # fmt: skip
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(study))  # every JSON is YAML
    return file


def sweep(file: Path, *arguments: str, python: str = sys.executable) -> subprocess.Popen:
    """Start ``cpo-lab sweep`` in a process of its own."""
    return subprocess.Popen(
        [python, "-m", "cpo_lab.cli", "sweep", str(file), *arguments], env=ENVIRONMENT, cwd=file.parent,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def scores(folder: Path) -> str:
    """What a study's report measured; two reports of the same runs agree in it."""
    return (folder / "report/data/final_scores.csv").read_text()

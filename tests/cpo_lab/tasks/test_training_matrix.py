# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every task trains with every algorithm, through both launchers, on both engines that a CPU runs.

``./cpo_lab.sh test tests/cpo_lab/tasks/test_training_matrix.py -m slow`` is the command; each case is a process of its
own, as a user starts it. With ``CPO_LAB_MATRIX=FILE`` one line of JSON per case is appended there.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from pathlib import Path

import pytest
from tests.processes import run_python

TASKS = (
    "Reorient-Cube-Shadow",
    "Reorient-Cube-Allegro",
    "Regrasp-KukaAllegro",
    "Reorient-KukaAllegro",
    "Throw-KukaAllegro",
    "Regrasp-DualKukaAllegro",
    "Reorient-DualKukaAllegro",
    "Anymal",
    "Humanoid",
    "Push-Franka",
    "Stack-Franka",
)
AGENTS = {"cpo": 6, "sapg": 6, "ppo": 1}
"""Algorithms and their policies."""
NUM_ENVS = 12
ITERATIONS = 3

pytestmark = [pytest.mark.sim, pytest.mark.slow]


def checkpoint_numbers(file: Path) -> tuple[int, bool]:
    """Return the iteration a checkpoint holds and whether all its weights are finite."""
    import torch

    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    assert len(checkpoint["model"]) > 5
    return checkpoint["iter"], all(bool(weights.isfinite().all()) for weights in checkpoint["model"].values())


def record(**case: object) -> None:
    """Append a line to the file that ``CPO_LAB_MATRIX`` names."""
    if file := os.environ.get("CPO_LAB_MATRIX"):
        with open(file, "a") as stream:
            stream.write(json.dumps(case) + "\n")


@pytest.mark.parametrize("physics", ["ovphysx", "newton_mjwarp"])
@pytest.mark.parametrize("launcher", ["cpo-lab", "isaaclab"])
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("task", TASKS)
def test_trains(tmp_path, task, agent, launcher, physics):
    began = time.monotonic()
    arm = "Kuka" in task
    settings = [f"physics={physics}", *(["env.num_objects=2"] if arm else [])]
    common = ["--task", f"CpoLab-{task}-Direct", "--num_envs", str(NUM_ENVS), "--device", "cpu"]
    if launcher == "cpo-lab":
        arguments = ["cpo_lab.cli", "train", *common, "--agent", agent, "--iterations", str(ITERATIONS)]
    else:
        arguments = [
            "isaaclab", "train", "--rl_library", "rsl_rl", *common, "--agent", f"rsl_rl_{agent}_cfg_entry_point",
            "--max_iterations", str(ITERATIONS), "agent.device=cpu",
        ]  # fmt: skip
    output = run_python("-m", *arguments, *settings, cwd=tmp_path)
    (run,) = (tmp_path / "logs/rsl_rl").glob("*/*")
    last = max(run.glob("model_*.pt"), key=lambda file: int(file.stem.removeprefix("model_")))
    iteration, finite = checkpoint_numbers(last)
    assert iteration == (ITERATIONS if launcher == "cpo-lab" else ITERATIONS - 1)  # rsl_rl counts from 0
    assert finite
    # two environments per policy hold two of an arm's 16-step sequences, which is said, not silently done
    lowered = {"cpo": "mini-batches: 2 instead of 8", "sapg": "mini-batches: 2 instead of 4"}
    assert ("instead of" in output) == (arm and agent in lowered)
    assert not arm or lowered.get(agent, "") in output
    if launcher == "cpo-lab":
        with (run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == ITERATIONS
        losses = [float(row[name]) for row in rows for name in row if name.startswith("Loss/") and row[name]]
        assert losses and all(math.isfinite(loss) for loss in losses)
        assert all(float(row["Optimization/skipped_updates"]) == 0.0 for row in rows)
    record(task=task, agent=agent, launcher=launcher, physics=physics, seconds=round(time.monotonic() - began, 1))

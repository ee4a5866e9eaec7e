# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands with a real physics engine, each in a process of its own, as a user runs them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.processes import run_python

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
NUM_ENVS = 12

pytestmark = pytest.mark.sim


def command(folder: Path, module: str, *arguments: str) -> str:
    """Run ``python -m module`` in a folder; returns its output."""
    return run_python("-m", module, *arguments, cwd=folder)


def train(folder: Path, *arguments: str) -> str:
    return command(folder, "cpo_lab.cli", "train", "--device", "cpu", *arguments)


def only_run(folder: Path) -> Path:
    (run,) = (folder / "logs/rsl_rl").glob("*/*")
    return run


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder in which CPO trained for five iterations."""
    folder = tmp_path_factory.mktemp("trained")
    output = train(folder, "--num_envs", str(NUM_ENVS), "--iterations", "5", "--seed", "5")
    assert "chosen for this machine" in output  # the physics engine
    return folder


def test_run_folder(trained):
    run = only_run(trained)
    launch = json.loads((run / "launch.json").read_text())
    assert (launch["task"], launch["agent"], launch["physics"], launch["num_envs"]) == (
        TASK,
        "cpo",
        "ovphysx",
        NUM_ENVS,
    )
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["status"], manifest["iteration"], manifest["algorithm"]) == ("finished", 5, "cpo")
    assert [row["iteration"] for row in rows(run)] == ["1", "2", "3", "4", "5"]
    assert all(
        (run / name).stat().st_size for name in ("model_5.pt", "model_5.json", "params/env.yaml", "params/agent.yaml")
    )
    assert list(run.glob("events.out.tfevents.*"))


def test_same_seed_gives_identical_numbers(trained, tmp_path):
    train(tmp_path, "--num_envs", str(NUM_ENVS), "--iterations", "5", "--seed", "5")
    first, second = rows(only_run(trained)), rows(only_run(tmp_path))
    learned = [
        name for name in first[0] if name.startswith(("Loss/", "Optimization/", "Ensemble/", "Value/", "Leader/"))
    ]
    assert "Loss/value" in learned
    assert any(float(row["Loss/value"]) != 0.0 for row in first)
    assert [[row[name] for name in learned] for row in first] == [[row[name] for name in learned] for row in second]


def test_play_writes_a_picture_of_the_latest_policies(trained):
    from PIL import Image

    output = command(
        trained,
        "cpo_lab.cli",
        "play",
        "--device",
        "cpu",
        "--steps",
        "10",
        "--picture",
        "hand.png",
        "--size",
        "384x256",
        "--light",
        "2",
    )
    assert "5 leader" in output
    with Image.open(trained / "hand.png") as image:
        assert image.size == (384, 256)
        tiles = [image.crop((x, y, x + 120, y + 120)) for y in (0, 128) for x in (0, 128, 256)]
    assert all(len(tile.getcolors(maxcolors=2**16)) > 20 for tile in tiles), "a tile shows nothing"


def test_stock_launcher_trains_the_task_and_our_runner_continues_its_run(tmp_path):
    command(
        tmp_path, "isaaclab", "train", "--rl_library", "rsl_rl", "--task", TASK, "--num_envs", str(NUM_ENVS),
        "--max_iterations", "2", "--device", "cpu", "agent.device=cpu", "physics=ovphysx",
    )  # fmt: skip
    run = only_run(tmp_path)
    assert sorted(file.name for file in run.glob("model_*.pt")) == ["model_0.pt", "model_1.pt"]
    train(tmp_path, "--resume", "latest", "--iterations", "4", "--num_envs", str(NUM_ENVS))
    assert (run / "model_4.pt").exists()


@pytest.mark.slow
def test_newton_on_the_cpu(tmp_path):
    train(tmp_path, "--num_envs", str(NUM_ENVS), "--iterations", "3", "physics=newton_mjwarp")
    assert len(rows(only_run(tmp_path))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["sapg", "ppo"])
def test_baselines(tmp_path, agent):
    train(tmp_path, "--num_envs", str(NUM_ENVS), "--iterations", "2", "--agent", agent)
    assert json.loads((only_run(tmp_path) / "manifest.json").read_text())["algorithm"] == agent


@pytest.mark.slow
def test_video(trained):
    import imageio_ffmpeg

    command(
        trained, "cpo_lab.cli", "play", "--device", "cpu", "--policy", "leader", "--steps", "20", "--video", "hand.mp4"
    )
    assert imageio_ffmpeg.count_frames_and_secs(str(trained / "hand.mp4"))[0] == 10

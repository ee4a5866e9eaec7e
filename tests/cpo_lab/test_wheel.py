# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The wheel, built from the tracked files, installed into another environment, and every command run from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_lab.cli import COMMANDS

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TRAIN = ("--num_envs", "12", "--num_policies", "3", "--iterations", "1", "--device", "cpu")


class Elsewhere:
    """An environment that holds the wheel, and of everything else what this one has.

    The other packages are found through a path file: those of them that are installed editable, such as this project,
    are not, because path files there are not read.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv/bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
        (site,) = (folder / "venv/lib").glob("python*/site-packages")
        (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install"]
        subprocess.run([*pip, "--no-deps", "--no-index", "--quiet", str(wheel)], check=True, timeout=300)
        (folder / "work").mkdir()

    def run(self, *arguments: str | Path, timeout: float = 500.0) -> str:
        """Run ``cpo-lab arguments...`` in a folder of its own, without this checkout on the path."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.bin / "cpo-lab"), *map(str, arguments)], cwd=self.folder / "work", capture_output=True,
            text=True, timeout=timeout, check=False, env={**environment, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, f"cpo-lab {arguments}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def say(self, program: str) -> str:
        """Return what a program in this environment prints."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.bin / "python"), "-c", program], cwd=self.folder, capture_output=True, text=True, check=True,
            timeout=100, env=environment,
        ).stdout.strip()  # fmt: skip


def copy_tracked(target: Path) -> Path:
    """Copy what is tracked and no file that an earlier build left."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_tracked(folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True, timeout=300)
    (built,) = folder.glob("cpo_lab-*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, wheel):
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"), wheel)


def test_the_wheel_holds_every_file_of_both_packages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package, folder in (("cpo_lab", ROOT / "exts/cpo_lab"), ("cpo_rl", ROOT / "source/cpo_rl")):
        listed = subprocess.run(
            ["git", "-C", str(folder), "ls-files", package], capture_output=True, text=True, check=True
        ).stdout.split()
        missing = [name for name in listed if name not in names and (folder / name).is_file()]
        assert missing == []
    assert not [name for name in names if name.startswith(("tests", "experiments", "scripts"))]


def test_what_runs_is_the_wheel(elsewhere):
    where = elsewhere.say("import cpo_lab, cpo_rl; print(cpo_lab.__file__); print(cpo_rl.__file__)")
    assert all(line.startswith(str(elsewhere.folder)) for line in where.splitlines())
    assert elsewhere.run("--version").startswith("cpo-lab ")
    assert "unknown" not in elsewhere.run("--version")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_there(elsewhere, command):
    assert f"cpo-lab {command}" in elsewhere.run(command, "--help")


def test_commands_without_a_simulator(elsewhere):
    runs = elsewhere.folder / "work/logs/rsl_rl"
    for seed in (1, 2):
        write_run(runs, "cpo", seed, iterations=6)
    assert "2026-01-01" in elsewhere.run("runs")
    assert "CpoLab-Reorient-Cube-Shadow-Direct" in elsewhere.run("list")
    elsewhere.run("report", "logs/rsl_rl", "--out", "out")
    page = (elsewhere.folder / "work/out/report.html").read_text()
    assert "</html>" in page and "addEventListener" in page, "style and script come with the wheel"
    shutil.rmtree(runs)


@pytest.mark.slow
@pytest.mark.sim
def test_every_command_runs(elsewhere):
    work = elsewhere.folder / "work"
    elsewhere.run("train", *TRAIN, "--run_name", "first")
    (run,) = (work / "logs/rsl_rl").glob("*/*_first")
    elsewhere.run("train", "--resume", "latest", "--iterations", "2")
    assert (run / "model_2.pt").exists()
    assert "model_2.pt" in elsewhere.run("play", "--num_envs", "3", "--picture", "hand.png")
    assert (work / "hand.png").stat().st_size > 1000
    elsewhere.run("evaluate", "--episodes", "3", "--num_envs", "3", "--csv", "scores.csv")
    assert (work / "scores.csv").read_text().startswith("checkpoint,")
    elsewhere.run("export", "--output", "deploy")
    assert list((work / "deploy").iterdir())
    elsewhere.run("report", "logs/rsl_rl", "--out", "out")
    elsewhere.run("benchmark", "update", "--help")
    elsewhere.run("pbt", "--workspace", "population", "--members", "3", "--num_envs", "4", "--iterations", "1",
                  "--device", "cpu")  # fmt: skip
    elsewhere.run("pbt", "--workspace", "population", "--status")
    elsewhere.run("doctor")

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The scripts in examples/ are short, run, learn what they are for, and leave run folders like any other."""

from __future__ import annotations

import inspect
import math
import re
import runpy
import sys
from pathlib import Path

import pytest

from cpo_rl import contracts, step_extras
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import read_metrics

EXAMPLES = Path(__file__).parents[3] / "examples"
MOST_LINES = 40


def run(name: str, folder: Path, *arguments: str) -> RunFolder:
    """Run a script in this process, as ``python examples/<name>`` would."""
    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path[:0] = [name, *arguments], [str(EXAMPLES)]
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        sys.argv, sys.path[:] = argv, path
    return RunFolder.read(folder)


def curve(folder: RunFolder, tag: str) -> list[float]:
    return [value for value in read_metrics(folder.metrics_file)[tag] if math.isfinite(value)]


def test_examples_are_short():
    found = {file.name: len(file.read_text().splitlines()) for file in EXAMPLES.glob("*.py")}
    assert sorted(found) == ["gymnasium_ant.py", "own_algorithm.py", "own_environment.py"]
    assert max(found.values()) <= MOST_LINES, found


def test_the_points_are_pushed_to_zero(tmp_path):
    returns = curve(run("own_environment.py", tmp_path / "run", "30", str(tmp_path / "run")), "Leader/return")
    assert min(returns) < -40.0 and returns[-1] > -20.0, returns  # episodes of iteration 1 began before they were seen


def test_an_own_algorithm_reports_its_term(tmp_path):
    folder = run("own_algorithm.py", tmp_path / "run", "2", str(tmp_path / "run"))
    assert folder.algorithm == "EffortCPO" and folder.task == "Pendulum-v1"
    assert all(value > 0.0 for value in curve(folder, "Loss/effort"))


def test_the_ant_trains_and_goes_on(tmp_path):
    pytest.importorskip("mujoco")
    small = ["--num_envs", "8", "--log_dir", str(tmp_path / "run")]
    assert run("gymnasium_ant.py", tmp_path / "run", *small, "--iterations", "1").iteration == 1
    folder = run("gymnasium_ant.py", tmp_path / "run", *small, "--iterations", "2")
    assert (folder.iteration, folder.task, folder.manifest["num_policies"]) == (2, "Ant-v5", 4)


# -- the page that explains them ---------------------------------------------------------------------------------------

PAGE = (EXAMPLES.parent / "docs" / "any_environment.md").read_text(encoding="utf-8")


def test_the_page_lists_every_entry_and_offer():
    """What the code reads of a step, and every method of the protocols that an environment may fulfil."""
    source = Path(inspect.getfile(step_extras)).read_text(encoding="utf-8")
    entries = set(re.findall(r'extras\.get\("(\w+)"\)', source)) | {"time_outs", "episode_metrics", "log", "episode"}
    protocols = [
        kind for name, kind in vars(contracts).items() if name.endswith("Environment") and name != "Environment"
    ]
    methods = {name for kind in protocols for name in vars(kind) if not name.startswith("_")}
    assert len(entries) == 8 and len(methods) == 6
    assert {name for name in entries if f"`{name}`" not in PAGE} == set()
    assert {name for name in methods if not re.search(rf"`{name}\(", PAGE)} == set()
    for script in EXAMPLES.glob("*.py"):
        assert f"](../examples/{script.name})" in PAGE


def test_the_links_exist():
    for target in re.findall(r"\]\(([^)#]+?)[#)]", PAGE):
        assert (EXAMPLES.parent / "docs" / target).exists(), target

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""docs/add_a_task.md is followed to the letter: its files are written, and its task is trained."""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

import pytest
from tests.processes import run_python

PAGE = Path(__file__).parents[3] / "docs" / "add_a_task.md"
PROGRAM = "import sys, my_tasks; from cpo_lab.cli import main; sys.exit(main(sys.argv[1:]))"


def files() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL))


def test_the_page_has_three_files_that_compile():
    assert sorted(files()) == ["my_tasks/__init__.py", "my_tasks/agents.py", "my_tasks/toss.py"]
    for name, text in files().items():
        compile(text, name, "exec")
    assert PROGRAM in PAGE.read_text(encoding="utf-8")


def test_the_links_exist():
    for target in re.findall(r"\]\(([^)#]+?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).exists(), target


@pytest.fixture
def command(tmp_path):
    """Runs a command on the page's task, as the page says."""
    for name, text in files().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    common = ("--task", "My-Toss-Cube-Direct", "--device", "cpu", "physics=ovphysx")
    return lambda name, *more: run_python("-c", PROGRAM, name, *common, *more, cwd=tmp_path, PYTHONPATH=path)


@pytest.mark.sim
@pytest.mark.timeout(600)
def test_the_task_trains(tmp_path, command):
    command("train", "--num_envs", "24", "--max_iterations", "2")
    (metrics,) = (tmp_path / "logs" / "rsl_rl" / "toss").glob("*/metrics.csv")
    rows = list(csv.DictReader(metrics.open()))
    assert [row["iteration"] for row in rows] == ["1", "2"]
    assert "Task/highest" in rows[0]


@pytest.mark.sim
@pytest.mark.timeout(600)
def test_its_physics_is_checked(command):
    told = command("doctor", "--num_envs", "2")
    assert "pose held for 2 s" in told
    assert "finger step response" in told
    assert "in the hand" not in told  # it does not say that anything must rest there

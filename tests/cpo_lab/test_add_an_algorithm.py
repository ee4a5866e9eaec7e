# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""docs/add_an_algorithm.md is followed to the letter: its files are written, tested, trained and reported."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from tests.envs.gate_runs import ALGORITHMS, TASKS
from tests.processes import run_python

PAGE = Path(__file__).parents[2] / "docs" / "add_an_algorithm.md"
CLASS_NAME = "my_cpo.effort:EffortCPO"
TINY = [
    "--num_envs",
    "12",
    "--max_iterations",
    "2",
    "--device",
    "cpu",
    "agent.device=cpu",
    "agent.model.hidden_dims=[8]",
]


def files() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL))


def command(start: str) -> list[str]:
    """The page's command that starts so, without the program's name."""
    (line,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(start)]
    return shlex.split(line)[1:]


@pytest.fixture
def folder(tmp_path):
    """The empty folder, with the page's files in it."""
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def path_to(folder: Path) -> str:
    return os.pathsep.join([str(folder), *sys.path])


def test_the_page_takes_at_most_60_lines():
    assert sorted(files()) == ["my_cpo/effort.py", "my_cpo/test_effort.py"]
    assert sum(len(text.splitlines()) for text in files().values()) <= 60


def test_the_links_exist():
    for target in re.findall(r"\]\(([^)#]+?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / target).exists(), target


def test_its_own_tests_pass(folder):
    assert "2 passed" in run_python(*command("python -m pytest"), cwd=folder, PYTHONPATH=path_to(folder))


def test_it_trains_on_a_toy_task_and_its_metric_is_in_the_report(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    from cpo_lab.cli import main
    from cpo_rl.runners import EnsembleRunner

    task = TASKS["deceptive"]
    cfg = ALGORITHMS["cpo"](task)
    (setting,) = [token for token in command("cpo-lab train") if "effort_coef" in token]
    name, _, value = setting.removeprefix("agent.algorithm.").partition("=")
    cfg["algorithm"] |= {"class_name": CLASS_NAME, name: float(value)}
    cfg |= {"num_steps_per_env": task.horizon, "save_interval": 50, "seed": 0, "obs_groups": {"actor": ["policy"]}}
    run = folder / "runs" / "one"
    runner = EnsembleRunner(task.make_env(task.num_envs, 0, True), cfg, str(run), "cpu", task="Toy", physics="none")
    runner.learn(2)
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert all(float(row["Loss/effort"]) > 0.0 for row in rows)
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["algorithm"], manifest["algorithm_class"]) == ("EffortCPO", CLASS_NAME)
    assert main(["report", str(folder / "runs"), "--out", str(folder / "report")]) == 0
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "EffortCPO" in page and "Loss: effort" in page


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_launchers_train_it_and_its_checkpoint_is_used(folder):
    """The page's commands at a small size; then the run is continued, evaluated and exported by what it says itself."""
    ours = "import sys; from cpo_lab.cli import main; sys.exit(main(sys.argv[1:]))"
    stock = "import sys; from isaaclab.__main__ import main; sys.exit(main())"

    def call(program: str, *arguments: str) -> None:
        run_python("-c", program, *arguments, cwd=folder, PYTHONPATH=path_to(folder))

    call(ours, *command("cpo-lab train"), *TINY)
    call(stock, *command("isaaclab train"), *TINY)
    call(ours, "report", "logs/rsl_rl/shadow_hand_reorient_cube", "--out", "report")
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "EffortCPO" in page and "Loss: effort" in page
    runs = sorted((folder / "logs" / "rsl_rl" / "shadow_hand_reorient_cube").iterdir())
    assert len(runs) == 2
    for run in runs:
        call(
            ours,
            "evaluate",
            str(run),
            "--trust",
            "--episodes",
            "6",
            "--num_envs",
            "6",
            "--device",
            "cpu",
            "env.episode_length_s=0.2",
        )
        call(ours, "export", "--checkpoint", str(run), "--formats", "jit")
        call(ours, "train", "--resume", str(run), "--trust", "--iterations", "3", "--num_envs", "12", "--device", "cpu")
        manifest = json.loads((run / "manifest.json").read_text())
        assert (manifest["algorithm"], manifest["algorithm_class"]) == ("EffortCPO", CLASS_NAME)
        assert (run / "exported" / "policy.pt").exists()

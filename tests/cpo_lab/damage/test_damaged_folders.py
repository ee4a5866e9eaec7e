# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Randomly damaged run folders: every command ends with a result or a sentence, never with a traceback or a wait.

Everything is real but the simulator: a small environment stands in for the task's. Figures, which take most of the
time, are drawn only where what they show was damaged. A folder takes about a second of an idle core.
"""

from __future__ import annotations

import contextlib
import random
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from tests.cpo_lab.damage.folder_damage import damage
from tests.envs.tracking import TrackingEnv, TrackingEnvCfg

from cpo_lab.cli import evaluate, main, train
from cpo_lab.report import sections, style

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
SMALL = [
    "--num_envs", "6", "--num_policies", "3", "--device", "cpu", "agent.model.hidden_dims=[8]",
    "agent.num_steps_per_env=2", "agent.save_interval=1", "agent.progress=off",
    "agent.algorithm.diagnostics_interval=1",
]  # fmt: skip
LIMIT_S = 60
"""Longest that a command may take [s]."""
LIMIT_GB = 1.5
"""Most memory that a damaged file may cost; the first command of all loads libraries."""


DRAWN = ("metrics.csv", "diagnostics.jsonl", "manifest.json")
"""Files that figures are made of."""


@contextlib.contextmanager
def no_figures() -> Iterator[None]:
    """Reports without figures; everything else of them is made."""
    with contextlib.ExitStack() as stack:
        for name in ("curve_plates", "score_plates", "policy_plates"):
            stack.enter_context(patch.object(sections, name, lambda *args: []))
        yield


class StandIn(TrackingEnv):
    """An environment as Isaac Lab's wrapper offers it."""

    def reset(self) -> Any:
        self.restart()
        return self.get_observations(), {}


@pytest.fixture
def no_simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    @contextlib.contextmanager
    def make_env(resolved: Any):
        yield StandIn(TrackingEnvCfg(num_envs=resolved.env_cfg.scene.num_envs, max_episode_length=4))

    for module in (train, evaluate):
        monkeypatch.setattr(module, "simulation", lambda *args, **kwargs: contextlib.nullcontext())
        monkeypatch.setattr(module, "make_env", make_env)
    monkeypatch.setattr(style, "png_of", lambda fig: b"")  # the same figure as the SVG beside it; takes a second
    monkeypatch.chdir(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (14 * 10**9, limits[1]))  # or what reads for ever takes the machine with it
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@contextlib.contextmanager
def limited(seconds: int):
    """End what waits for ever."""

    def ring(*args: Any) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def commands(run: Path, rng: random.Random) -> dict[str, list[str]]:
    """What is tried on a folder; training last, because it changes it."""
    checkpoint = str(run) if rng.random() < 0.5 else "latest"
    logs = ["--log_root", str(run.parents[1])]
    resume = rng.choice([["--resume", checkpoint, *logs], ["--log_dir", str(run), "--resume", "auto"]])
    return {
        "runs": ["runs", *logs],
        "report": ["report", str(run), "--out", str(run.parents[2] / "report")],
        "evaluate": ["evaluate", checkpoint, "--episodes", "2", *logs],
        "train": ["train", *resume, "--iterations", "4"],
    }


def trial(base: Path, where: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Damage a copy of a run one to three times and try all commands; returns what went wrong."""
    rng = random.Random(seed)
    run = where / "logs" / "experiment" / base.name
    shutil.copytree(base, run)
    done = [damage(run, rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    shown = any(each.split()[0] in DRAWN for each in done)
    wrong = []
    for name, argv in commands(run, rng).items():
        capsys.readouterr()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with limited(LIMIT_S), contextlib.nullcontext() if shown else no_figures():
                status: Any = main(argv)
        except SystemExit as error:
            status = error.code
        except Exception as error:
            status = f"{type(error).__name__}: {error}"[:300]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
        if grown > LIMIT_GB:
            status = f"{grown:.1f} GB more than before"
        said = capsys.readouterr()
        text = said.out + said.err
        if status not in (0, 2) or "Traceback" in text or (status == 2 and "cpo-lab" not in said.err):
            wrong.append(f"seed {seed}: {' and '.join(done)}: {name}: {status}: {said.err[-400:]}")
    shutil.rmtree(where)
    return wrong


def run_trials(seeds: range, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    logs = tmp_path / "base"
    assert main(["train", "--task", TASK, "--log_root", str(logs), "--iterations", "3", *SMALL]) == 0
    (base,) = (path.parent for path in logs.rglob("model_3.pt"))
    return [line for seed in seeds for line in trial(base, tmp_path / f"t{seed}", seed, capsys)]


@pytest.mark.long
@pytest.mark.usefixtures("no_simulator")
def test_15_damaged_folders(tmp_path, capsys):
    assert run_trials(range(15), tmp_path, capsys) == []


@pytest.mark.slow
@pytest.mark.timeout(10_000)
@pytest.mark.usefixtures("no_simulator")
def test_1000_damaged_folders(tmp_path, capsys):
    assert run_trials(range(1000, 2000), tmp_path, capsys) == []

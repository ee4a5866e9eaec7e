# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every command that README and docs show is executed, small, in a folder with runs, or stands in a table of reasons.

Everything is real but the simulator: trainings and evaluations go through a small environment in its place, and
commands that show or measure the simulator itself are followed until they would start it.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cpo_lab.jobs.support import ENVIRONMENT
from tests.envs.tracking import TrackingEnv, TrackingEnvCfg
from tests.project.command_docs import help_of
from tests.project.documented_commands import NOT_RUN, ROOT, Shown, mentioned_commands, shown_commands

from cpo_lab.cli import COMMANDS as VERBS
from cpo_lab.cli import evaluate, main, pbt, play, sweep, tensorboard, train
from cpo_lab.launch import simulation
from cpo_lab.report import style
from cpo_lab.ui import web

COMMANDS = list(shown_commands())
OWN = [command for command in COMMANDS if command.own and not command.not_run]
LAUNCHER = ("setup", "test", "check", "docs", "help")
"""What ``cpo_lab.sh`` does itself: tests/project/test_launcher.py."""

SMALL = ["--device", "cpu", "--num_envs", "12", "--num_policies", "3", "--iterations", "1"]
TINY = ["agent.model.hidden_dims=[8]", "agent.progress=off", "agent.num_steps_per_env=16"]

REFUSED = {
    "physics=isaacsim_physx": "Isaac Sim",
    "--viz kit": "isaacsim",
    "--viz viser": "viser",
    "sweep study.yaml --status": "nothing was started yet",
    "--launcher slurm": "no GPU",
    "--launcher ray": "no GPU",
    "--engine ray": "Ray",
    "study.yaml --launcher ray": "Ray",
    "Isaac-Cartpole-Direct --video": "no run of task",
    "Isaac-": "cannot be had",
    "my_cpo": "my_cpo",
    "--logger wandb": "wandb",
    "--logger neptune": "neptune",
    "presets=nucleus_assets": "cannot be had",
    "report logs/gymnasium": "matches no folder",
    "class_name=": "class_name",
}
"""What there may not be here, by a part of the command, with words of the sentence that must say so then."""


class Reached(BaseException):
    """A command would start the simulator now."""


class StandIn(TrackingEnv):
    """An environment as Isaac Lab's wrapper offers it."""

    def reset(self) -> Any:
        self.restart()
        return self.get_observations(), {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of each kind, where the pages expect them."""
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, folder)
        for agent in ("ppo", "sapg", "cpo"):
            size = [word for word in SMALL if agent != "ppo" or word not in ("--num_policies", "3")]
            assert main(["train", "--agent", agent, "--run_name", agent, *size, *TINY]) == 0
        single = [word for word in SMALL if word not in ("--num_policies", "3")]
        for member in "012":
            population = ["--pbt", "logs/rsl_rl/pbt_hand", "--pbt_member", member, "--pbt_members", "3"]
            assert main(["train", "--agent", "ppo", *population, *single, *TINY]) == 0
    (study,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/cluster.md").read_text(encoding="utf-8"), re.M | re.S)
    (folder / "study.yaml").write_text(study)
    return folder


def stand_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    @contextlib.contextmanager
    def make_env(resolved: Any) -> Any:
        yield StandIn(TrackingEnvCfg(num_envs=resolved.env_cfg.scene.num_envs, max_episode_length=4))

    def reached(*args: Any, **kwargs: Any) -> None:
        raise Reached

    for module in (train, evaluate):
        patch.setattr(module, "simulation", lambda *args, **kwargs: contextlib.nullcontext())
        patch.setattr(module, "make_env", make_env)
    for module in (play, simulation):  # the other commands import it when they need it
        patch.setattr(module, "simulation", reached)
    for module in (pbt, sweep):  # processes of their own would start the simulator
        patch.setattr(module, "make_launcher", reached)
    for module in (web, tensorboard):  # they serve until interrupted
        patch.setattr(module, "serve", reached)
    patch.setattr(style, "png_of", lambda fig: b"")
    patch.setenv("HOME", str(folder))
    patch.chdir(folder)


def made_small(argv: list[str]) -> list[str]:
    """Return a training's arguments with its sizes replaced by small ones; what it is about stays."""
    sizes = ("--device", "--num_envs", "--num_policies", "--iterations")
    kept = [word for i, word in enumerate(argv) if word not in sizes and (i == 0 or argv[i - 1] not in sizes)]
    single = any(name in kept for name in ("ppo", "stock_ppo"))
    resumed = "--resume" in kept and "auto" not in kept
    size = SMALL if not resumed else ["--iterations", "2"]
    size = [word for word in size if not single or word not in ("--num_policies", "3")]
    return [*kept, *size, *([] if resumed or "stock_ppo" in kept else TINY)]


@pytest.mark.parametrize("command", OWN, ids=lambda c: f"{c.page}:{c.line}"[:110])
def test_a_shown_command_runs(command: Shown, runs: Path, tmp_path: Path, monkeypatch, capsys):
    argv = list(command.own or [])
    if argv[0] in LAUNCHER:
        assert re.search(rf"^        {argv[0]}[ )|]", (ROOT / "cpo_lab.sh").read_text(), re.M), "no such verb"
        return
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    stand_in(monkeypatch, tmp_path)
    in_runs = command.page == "docs/worked_example.md" and any(word.startswith("*") for word in argv)
    if in_runs:
        monkeypatch.chdir(tmp_path / "logs/rsl_rl/shadow_hand_reorient_cube")
    argv = [re.sub(r"2026-01-31_[\d*-]+", "2*", word) for word in argv]  # a run's date, as pages show it
    argv = [found for word in argv for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    argv = [next(str(f) for f in Path("logs").rglob("model_1.pt")) if w == "model_499.pt" else w for w in argv]
    if any(word in command.line for word in ("RUN_A", "RUN_B")):
        names = iter(sorted(str(path) for path in Path("logs/rsl_rl").glob("shadow*/*")))
        argv = [next(names) if word in ("RUN_A", "RUN_B") else word for word in argv]
    if argv[0] == "train":
        argv = made_small(argv)
    if argv[0] == "pbt" and "--members" in argv:
        shutil.rmtree("logs/rsl_rl/pbt_hand")
    status = said = None
    with contextlib.suppress(Reached):
        try:
            status = main(argv)
        except SystemExit as error:
            status = error.code
    captured = capsys.readouterr()
    said = captured.out + captured.err
    lacking = [word for part, word in REFUSED.items() if part in command.line]
    allowed = status == 2 and any(word in said for word in lacking)
    assert status in (None, 0) or allowed, said[-1500:]
    assert "Traceback" not in said


@pytest.mark.long
@pytest.mark.parametrize("name", sorted({c.module[0] for c in COMMANDS if c.module and not c.not_run}))
def test_a_shown_module_has_the_options_that_are_shown(name: str):
    used = {
        word.partition("=")[0]
        for command in COMMANDS
        if command.module and command.module[0] == name
        for word in command.module
        if word.startswith("--")
    }
    program = [name] if name.endswith(".py") else ["-m", name]
    assert name.endswith(".py") or importlib.util.find_spec(name)
    done = subprocess.run(
        [sys.executable, *program, "--help"], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert {option for option in used if option not in done.stdout} == set()


def test_a_command_in_a_sentence_has_the_options_that_it_names():
    helps = {verb: help_of(verb) for verb in VERBS}
    helps["benchmark"] += help_of("benchmark", "env") + help_of("benchmark", "update")
    helps["pbt"] += helps["train"]  # its members take those
    mentioned = [
        (page, words) for page, words in mentioned_commands() if words[0] not in (*LAUNCHER, "COMMAND", "<command>")
    ]
    assert [(page, words) for page, words in mentioned if words[0] not in helps] == []
    named = [(page, words[0], word) for page, words in mentioned for word in words if word.startswith("--")]
    wrong = [each for each in named if not re.search(rf"{each[2].strip('[],.')}\b", helps[each[1]])]
    assert wrong == [] and len(named) > 60


def test_every_shown_command_is_known():
    unknown = [c for c in COMMANDS if not (c.not_run or c.own or c.module)]
    assert unknown == [], "run it, or give it a line with a reason in tests/project/documented_commands.py"
    unused = [pattern for pattern in NOT_RUN if not any(re.match(pattern, c.line) for c in COMMANDS)]
    unused += [part for part in REFUSED if not any(part in c.line for c in OWN)]
    assert unused == [], "no page shows it any longer"
    assert len(OWN) > 60

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A study as a file: tasks x agents x variants x seeds, and the runs that it consists of."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cpo_lab.launch.settings import check_written
from cpo_rl.errors import UserError, suggestion
from cpo_rl.runs.configs import read_yaml
from cpo_rl.runs.files import expanded, reason, shown
from cpo_rl.runs.find import LOG_ROOT

MOST_RUNS = 10_000
"""Runs that no study has more of."""


@dataclass(frozen=True)
class StudyRun:
    """One run of a study."""

    name: str
    """Its name, which is that of its folder."""

    task: str
    """Gym id of the task."""

    agent: str
    """Agent."""

    variant: str
    """Name of the variant; empty without."""

    seed: int
    """Seed."""

    arguments: tuple[str, ...]
    """What the training command gets besides the number of iterations and the folder."""

    iterations: int | None
    """Iterations in all; None where ``env_steps`` says it."""

    env_steps: int | None
    """Environment steps in all; None where ``iterations`` says it."""

    @property
    def cell(self) -> tuple[str, str, str]:
        """What it shares with the runs that differ in the seed only."""
        return self.task, self.agent, self.variant


@dataclass(frozen=True)
class Study:
    """A study as its file says."""

    name: str
    """Name, the heading of its report."""

    folder: Path
    """Folder of its runs, absolute."""

    runs: tuple[StudyRun, ...]
    """Its runs, seeds last, so that every comparison has its first seeds early."""

    device: str | None
    """Device of the runs; None leaves it to them."""

    retries: int | None
    """How often a run that died is started again; None leaves it to the command."""

    command: tuple[str, ...] = ()
    """Program that trains one run in place of ``cpo-lab train``, whose options it takes; empty for that."""

    unequal_budgets: bool = False
    """Whether agents on one task may get different numbers of environment steps."""


# -- reading -----------------------------------------------------------------------------------------------------------


def read_study(path: str) -> Study:
    """Read a study; nothing is made, and neither tasks nor settings are looked up.

    Args:
        path: The file.

    Raises:
        UserError: Naming the first field that is missing, unknown or wrong.
    """
    file = expanded(path).absolute()
    try:
        content = read_yaml(file)
    except (OSError, ValueError) as error:
        raise UserError(f"Study {shown(file)!r} cannot be read ({reason(error)}).") from None
    fields = _fields(content, _STUDY, "")
    name = fields.get("name", re.sub(r"[^\w.-]", "_", file.stem))
    tasks = _named(fields["tasks"], "tasks")
    agents = _named(fields["agents"], "agents")
    variants = _named(fields.get("variants", {"": []}), "variants")
    shared: dict[str, int] = {name: fields[name] for name in ("iterations", "env_steps", "num_envs") if name in fields}
    options = {task: _task_options(task, value, shared) for task, value in tasks.items()}
    seeds = _seeds(fields["seeds"])
    if len(seeds) * len(tasks) * len(agents) * len(variants) > MOST_RUNS:
        raise UserError(f"Study field seeds makes more than {MOST_RUNS} runs; ask for fewer.")
    general = [f"--{option}={fields[option]}" for option in ("device", "physics") if option in fields]
    runs = [
        _run(task, agent, variant, seed, options[task], [*general, *settings])
        for seed, task, (agent, own), (variant, changed) in itertools.product(
            seeds, tasks, agents.items(), variants.items()
        )
        for settings in [[
            *fields.get("settings", []), *options[task].settings, *_settings(own, f"agents.{agent}"),
            *_settings(changed, f"variants.{variant}"),
        ]]
    ]  # fmt: skip
    _refuse_equal_names(runs)
    return Study(
        name=name,
        folder=expanded(fields.get("folder", Path(LOG_ROOT, name))).absolute(),
        runs=tuple(runs),
        device=fields.get("device"),
        retries=fields.get("retries"),
        command=tuple(fields.get("command", ())),
        unequal_budgets=fields.get("unequal_budgets", False),
    )


@dataclass(frozen=True)
class _OfTask:
    """What a task says for its own runs."""

    iterations: int | None = None
    env_steps: int | None = None
    num_envs: int | None = None
    settings: list[str] = field(default_factory=list)


def _run(task: str, agent: str, variant: str, seed: int, options: _OfTask, tail: list[str]) -> StudyRun:
    sizes = [f"--num_envs={options.num_envs}"] if options.num_envs is not None else []
    plain = re.sub(r"[^\w.-]", "-", re.sub(r"^(CpoLab|Isaac)-", "", task.split(":")[-1]).removesuffix("-Direct"))
    name = "_".join(part for part in (plain, agent, variant, f"seed{seed}") if part)
    arguments = ("--task", task, "--agent", agent, f"--seed={seed}", *sizes, *tail)
    return StudyRun(name, task, agent, variant, seed, arguments, options.iterations, options.env_steps)


def _task_options(task: str, value: Any, shared: Mapping[str, int]) -> _OfTask:
    """Return what holds for a task: its own fields, else the study's."""
    own = _fields(value or {}, _TASK, f"tasks.{task}.")
    length = {name: own[name] for name in ("iterations", "env_steps") if name in own}
    length = length or {name: shared[name] for name in ("iterations", "env_steps") if name in shared}
    if len(length) != 1:
        raise UserError(
            f"Study field tasks.{task} needs a length: give iterations or env_steps, one of them, there or for all."
        )
    return _OfTask(**length, num_envs=own.get("num_envs", shared.get("num_envs")), settings=own.get("settings", []))


def _refuse_equal_names(runs: list[StudyRun]) -> None:
    seen: dict[str, StudyRun] = {}
    for run in runs:
        other = seen.setdefault(run.name, run)
        if other is not run:
            raise UserError(
                f"Study fields make two runs called {run.name!r} ({other.task} {other.agent} {other.variant} and "
                f"{run.task} {run.agent} {run.variant}); give a variant another name."
            )


# -- fields ------------------------------------------------------------------------------------------------------------


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value < 2**63


def _is_steps(value: Any) -> bool:
    """Whether a value is a number of steps; YAML reads 1e6 as text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return False
    return 1 <= number < 2**63 and number.is_integer()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


_NAME = re.compile(r"[\w.\-]{1,100}")
_Check = tuple[Callable[[Any], bool], str]
_COUNT: _Check = (_is_count, "a positive integer")
_STEPS: _Check = (_is_steps, "a positive number of steps")
_TEXT: _Check = (lambda v: isinstance(v, str) and bool(v), "text")
_WORD: _Check = (lambda v: isinstance(v, str) and bool(_NAME.fullmatch(v)), "letters, digits, '.', '-' and '_'")
_LIST: _Check = (_are_texts, "a list of settings such as env.episode_length_s=5")
_NAMES: _Check = (
    lambda v: isinstance(v, list | dict) and bool(v),
    "a list of names, or names with what holds for each",
)

_LENGTH: dict[str, _Check] = {"iterations": _COUNT, "env_steps": _STEPS, "num_envs": _COUNT}
_TASK: dict[str, _Check] = {**_LENGTH, "settings": _LIST}
_STUDY: dict[str, _Check] = {
    "tasks": _NAMES,
    "agents": _NAMES,
    "seeds": (lambda v: True, ""),
    **_LENGTH,
    "variants": (lambda v: isinstance(v, dict) and bool(v), "names with a list of settings each"),
    "settings": _LIST,
    "name": _WORD,
    "folder": _TEXT,
    "device": _TEXT,
    "physics": _TEXT,
    "retries": (lambda v: type(v) is int and 0 <= v <= 1000, "an integer from 0 to 1000"),
    "command": (lambda v: _are_texts(v) and bool(v), "a program and its first arguments, as a list"),
    "unequal_budgets": (lambda v: isinstance(v, bool), "true or false"),
}
"""Fields by name: whether a value is one, and in words."""

_NEEDED = ("tasks", "agents", "seeds")


def _fields(content: Any, known: Mapping[str, _Check], place: str) -> dict[str, Any]:
    """Return the fields of a mapping after a check.

    Raises:
        UserError: Naming the first one that is unknown, wrong or missing.
    """
    if not isinstance(content, dict):
        raise UserError(f"Study field {place.rstrip('.')} must be fields with values, such as num_envs: 252.")
    for name, value in content.items():
        if name not in known:
            raise UserError(f"Study field {place}{name} is unknown; {suggestion(str(name), known, limit=20)}")
        fits, words = known[name]
        if not fits(value):
            raise UserError(f"Study field {place}{name} must be {words}, not {value!r}.")
        if known[name] is _LIST:
            _settings(value, f"{place}{name}")
        if known[name] is _STEPS:
            content[name] = value if isinstance(value, int) else int(float(value))
    missing = next((name for name in _NEEDED if known is _STUDY and name not in content), None)
    if missing:
        raise UserError(f"Study field {missing} is missing; a study needs {', '.join(_NEEDED)}.")
    return content


def _named(value: Any, place: str) -> dict[str, Any]:
    """Return names with what holds for each; a list of names has nothing."""
    names = value if isinstance(value, dict) else dict.fromkeys(map(str, value))
    twice = len(names) < len(value)
    if twice or not all(isinstance(name, str) for name in names):
        raise UserError(f"Study field {place} must name each one once, as text, not {value!r}.")
    wrong = next((name for name in names if place != "tasks" and name and not _NAME.fullmatch(name)), None)
    if wrong:
        raise UserError(f"Study field {place} has {wrong!r}; a name has letters, digits, '.', '-' and '_' only.")
    return names


def _settings(value: Any, place: str) -> list[str]:
    if value is not None and not _are_texts(value):
        raise UserError(f"Study field {place} must be a list of settings such as env.episode_length_s=5.")
    try:
        return check_written(value or [])
    except UserError as error:
        raise UserError(f"Study field {place}: {error}") from None


def _seeds(value: Any) -> list[int]:
    """Return seeds, all different: those listed, or from 1 on as many as a number says."""
    if type(value) is int:
        if not 1 <= value <= MOST_RUNS:
            raise UserError(
                f"Study field seeds must be a list, or a number of seeds from 1 to {MOST_RUNS}, not {value}."
            )
        return list(range(1, value + 1))
    if not isinstance(value, list) or not value or not all(type(s) is int and 0 <= s < 2**31 for s in value):
        raise UserError(f"Study field seeds must be a number of seeds or a list of integers from 0, not {value!r}.")
    twice = next((seed for seed in value if value.count(seed) > 1), None)
    if twice is not None:
        raise UserError(f"Study field seeds names {twice} twice; the same seed again is no further evidence.")
    return value

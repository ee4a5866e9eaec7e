# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Makes the tables of docs/hyperparameters.md; ``python -m tests.project.hyperparameter_docs`` writes them."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import gymnasium
from isaaclab.utils.string import string_to_callable

from cpo_lab.tasks import AGENTS
from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.fields import Limits, limits_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "hyperparameters.md"
RUNNER = ("num_steps_per_env", "max_iterations", "save_interval")
SECTIONS = (("model", ModelCfg), ("algorithm", EnsembleCfg))
MACHINE = ("fit_mini_batches", "algorithm", "class_name")
"""Fields that say how a run is started, not how it learns."""


def task_ids() -> list[str]:
    """Our tasks, in the order of their registration."""
    return [name for name in gymnasium.registry if name.startswith("CpoLab-") and name.endswith("-Direct")]


def settings_of(task: str, agent: str) -> dict[str, Any]:
    """Values by name such as ``algorithm.learning_rate``."""
    entry = gymnasium.spec(task).kwargs[f"rsl_rl_{agent}_cfg_entry_point"]
    cfg = string_to_callable(entry)()
    values = {name: getattr(cfg, name) for name in RUNNER}
    for section, _ in SECTIONS:
        values |= {f"{section}.{name}": value for name, value in vars(getattr(cfg, section)).items()}
    return {name: value for name, value in values.items() if name.split(".")[-1] not in MACHINE}


def defaults() -> dict[str, Any]:
    """The library's defaults by the same names."""
    return {f"{part}.{name}": value for part, cls in SECTIONS for name, value in vars(cls()).items()}


def task_table() -> str:
    """What the tasks set for ``cpo``, where it is not the library's default."""
    tasks = task_ids()
    values = {task: settings_of(task, "cpo") for task in tasks}
    usual = defaults()
    names = [n for n in values[tasks[0]] if any(values[t][n] != usual.get(n) for t in tasks)]
    short = [t.removeprefix("CpoLab-").removesuffix("-Direct") for t in tasks]
    lines = [[f"`{name}`", *(_shown(values[task][name]) for task in tasks)] for name in names]
    return _table(["field of `agent`", *short], lines)


def agent_table(task: str) -> str:
    """What the agents of a task set otherwise than its ``cpo``."""
    agents = [agent for agent in AGENTS if agent != "stock_ppo"]
    values = {agent: settings_of(task, agent) for agent in agents}
    names = [n for n in values["cpo"] if any(values[agent][n] != values["cpo"][n] for agent in agents)]
    lines = []
    for agent in agents:
        same = [values[agent][n] == values["cpo"][n] for n in names]
        cells = ["" if s and agent != "cpo" else _shown(values[agent][n]) for n, s in zip(names, same, strict=True)]
        lines.append([f"`{agent}`", *cells])
    return _table(["agent", *(f"`{n.split('.')[-1]}`" for n in names)], lines)


def field_table(cls: type) -> str:
    """Every field: default, what it accepts, meaning."""
    meanings, limits = _docstrings(cls), limits_of(cls)
    lines = [
        [f"`{name}`", _shown(value), _rule(limits.get(name, Limits())), meanings[name]]
        for name, value in vars(cls()).items()
    ]
    return _table(["field", "default", "must", "meaning"], lines)


def _rule(limits: Limits) -> str:
    """What a field accepts, in few words; nothing where its kind is all."""
    bounds = (limits.at_least, limits.above, limits.at_most, limits.below)
    if not limits.choices and all(bound is None for bound in bounds):
        return ""
    return limits.rule.replace("be one of ", "").replace("lie in ", "in ").replace("be ", "")


def _docstrings(cls: type) -> dict[str, str]:
    """What stands below the fields of a class and its bases, as one line each."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        body = ast.parse(inspect.getsource(base)).body[0].body  # type: ignore[attr-defined]
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                words = " ".join(str(text.value.value).split())
                found[field.target.id] = re.sub(r"``|:\w+:`~?[\w.]*?(\w+)`", r"\1", words)  # type: ignore[union-attr]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value) or '""'


def _table(header: list[str], lines: list[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in rows)


def with_tables(text: str) -> str:
    """The document with its tables as they should be."""
    tables = {
        "tasks": task_table(),
        "hands": agent_table("CpoLab-Reorient-Cube-Shadow-Direct"),
        "arms": agent_table("CpoLab-Reorient-KukaAllegro-Direct"),
        "algorithm": field_table(EnsembleCfg),
        "model": field_table(ModelCfg),
        "runner": field_table(RunnerOptions),
    }
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)
        assert marks.search(text), f"docs/hyperparameters.md lacks the marks of {name}."
        text = marks.sub(lambda found, table=table: f"{found[1]}{table}{found[3]}", text, count=1)
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")

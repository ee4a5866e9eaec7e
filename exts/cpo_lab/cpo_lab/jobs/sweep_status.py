# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The runs of a study for people and scripts: a line per run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cpo_lab.jobs.crew import Turn
from cpo_lab.jobs.record import Record
from cpo_lab.jobs.study import Study
from cpo_rl.formatting import format_count, format_or_blank
from cpo_rl.runs.files import printable
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import MEAN_RETURN, RETURN, STEPS_PER_S, SUCCESSES

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

COLORS = {
    "done": "bold", "running": "green", "failed": "red", "lost": "red", "crashed": "red", "stopped": "yellow",
    "preempted": "yellow",
}  # fmt: skip
"""Colours of states."""


def rows(study: Study) -> list[dict[str, Any]]:
    """Return what is known about every run of a study, as plain values."""
    record = Record(study.folder)
    made: list[dict[str, Any]] = [
        {
            "name": run.name, "task": run.task, "agent": run.agent, "variant": run.variant, "seed": run.seed,
            **_progress(study.folder / run.name, run.iterations), "starts": record.starts(run.name),
            "ended": record.has_ended(run.name), "reason": record.last_reason(run.name),
        }
        for run in study.runs
    ]  # fmt: skip
    for row in made:
        if row["state"] == "waiting" and row["ended"] and record.has_failed(row["name"]):
            row["state"] = "failed"  # what was refused has no folder that tells of it
    return made


def all_ended(known: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether nothing more happens to any run unless the study is started again."""
    return all(row["state"] == "done" or (row["ended"] and row["state"] not in ("running", "waiting")) for row in known)


def _progress(folder: Path, iterations: int | None) -> dict[str, Any]:
    run = RunFolder.read(folder)
    state = run.health() if run.is_known else "waiting"
    goal = iterations or run.max_iterations
    if state == "finished":
        state = "done" if goal is None or run.iteration >= goal else "waiting"
    return {
        "state": state, "iteration": run.iteration, "iterations": goal, "env_steps": run.manifest.get("env_steps") or 0,
        "return": run.number("last", RETURN, MEAN_RETURN), "successes": run.number("last", SUCCESSES),
        "env_steps_per_s": run.number("last", STEPS_PER_S), "folder": str(run.path),
    }  # fmt: skip


def table(known: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a line per run, and how many are in which state."""
    from rich.table import Table
    from rich.text import Text

    counts = Counter(row["state"] for row in known)
    made = Table(box=None, padding=(0, 2, 0, 0), caption=_summary(counts, len(known)), caption_justify="left")
    for name in ("run", "progress", "steps", "return", "successes", "steps/s", "starts", "state"):
        made.add_column(name, justify="left" if name in ("run", "state") else "right", no_wrap=name != "run")
    for row in known:
        goal = row["iterations"]
        made.add_row(
            Text(row["name"]),
            f"{row['iteration']}/{goal}" if goal else str(row["iteration"]),
            format_count(row["env_steps"]),
            format_or_blank(row["return"]),
            format_or_blank(row["successes"]),
            format_or_blank(row["env_steps_per_s"], ",.0f"),
            str(row["starts"]),
            f"[{COLORS.get(row['state'], 'dim')}]{row['state']}[/]",
        )
    return made


def notes(known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why runs that are not done ended last, a sentence each."""
    return [f"{r['name']} {printable(r['reason'])}." for r in known if r["reason"] and r["state"] != "done"]


def live_table(turns: Mapping[str, Turn]) -> Table:
    """Return a table of the runs that are neither done nor waiting, which fits a screen, and the counts of all."""
    shown = [turn for turn in turns.values() if turn.state not in ("done", "waiting")]
    made = table([_turn_row(turn) for turn in shown])
    made.caption = _summary(Counter(turn.state for turn in turns.values()), len(turns))
    return made


def lines(turns: Mapping[str, Turn]) -> list[str]:
    """Return the same for a log."""
    told = []
    for turn in turns.values():
        if turn.state == "running":
            row = _turn_row(turn)
            value = "" if row["return"] is None else f", return {row['return']:.4g}"
            told.append(f"{turn.job.name}: iteration {row['iteration']}/{row['iterations'] or '?'}{value}")
    return [*told, _summary(Counter(turn.state for turn in turns.values()), len(turns))]


def _turn_row(turn: Turn) -> dict[str, Any]:
    return {"name": turn.job.name, **_progress(turn.job.folder, None), "state": turn.state, "starts": turn.tries}


def _summary(counts: Counter[str], total: int) -> str:
    others = [f"{number} {state}" for state, number in sorted(counts.items()) if state != "done"]
    return ", ".join([f"{counts['done']} of {total} done", *others])


def unequal_steps(study: Study) -> list[str]:
    """Return a sentence for every task whose finished runs had different numbers of environment steps.

    Differences below two percent are rounding to whole iterations.
    """
    steps: dict[str, dict[str, int]] = {}
    for run in study.runs:
        folder = RunFolder.read(study.folder / run.name)
        if folder.health() == "finished":
            steps.setdefault(run.task, {})[run.name] = int(folder.manifest.get("env_steps") or 0)
    told = []
    for task, known in steps.items():
        least, most = min(known, key=lambda n: known[n]), max(known, key=lambda n: known[n])
        if known[most] - known[least] > 0.02 * known[most]:
            told.append(f"Budgets on {task} differ: {least} had {known[least]:,} steps and {most} {known[most]:,}.")
    return told

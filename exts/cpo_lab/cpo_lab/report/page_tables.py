# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tables of the report's page: results at a glance, settings that differ, runs, and what is missing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape

from cpo_lab.report.comparison import comparison_budget
from cpo_lab.report.content import Report, TaskReport
from cpo_lab.report.curves import group_styles
from cpo_lab.report.grouping import Group
from cpo_lab.report.plates import inside_title
from cpo_lab.report.reading import Run
from cpo_lab.report.statistics import Interval, interval_text
from cpo_rl.formatting import format_count, format_duration, format_number
from cpo_rl.runs.configs import differing_keys
from cpo_rl.runs.files import printable
from cpo_rl.runs.metric_names import STEPS_PER_S

NONE = "\N{EN DASH}"
"""What a table shows where there is no value."""
FEW_SEEDS = 5
"""Below this many seeds an interval is called indicative."""
MAX_SETTINGS = 60
"""Longest table of differing settings; the rest is counted."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", kind: str = "") -> str:
    """A table that scrolls sideways on a narrow screen; cells are HTML, numbers are expected to be escaped already."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    title = f"<caption><span>{caption}</span></caption>" if caption else ""
    return (
        f'<div class="scroll {kind}" tabindex="0"><table>{title}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def counted(value: int, noun: str) -> str:
    """A number with its noun."""
    return f"{value} {noun}" if value == 1 else f"{value} {noun}s"


def glance(report: Report) -> str:
    """The final scores of every group, and what to know before believing a difference."""
    parts = ["<section id='glance'><h2>At a glance</h2>"]
    for task in report.tasks:
        budget = comparison_budget(task.groups, task.scores[0].tag)
        rows = []
        for group in task.groups:
            scores = [_interval(group.final(spec.tag, budget)) for spec in task.scores]
            used = len(group.final_scores(task.scores[0].tag, budget))
            seeds = str(used) if used == len(group.runs) else f"{used} of {len(group.runs)}"
            rows.append([_swatch(task, group), seeds, *scores, *_speed(group)])
        head = ["Algorithm", "Seeds", *[escape(f"Final {inside_title(s.title)}") for s in task.scores]]
        head += ["Steps / s", "Time per run"]
        at = f", compared at {format_count(budget)} environment steps" if math.isfinite(budget) else ""
        parts.append(table(head, rows, f"{escape(task.task)}{at}"))
    parts.append(_cautions(report) + "</section>")
    return "".join(parts)


def _interval(interval: Interval) -> str:
    """'point [low, high]' with the bounds in a softer colour."""
    point, _, bounds = interval_text(interval, format_number, NONE).partition(" ")
    return f'{point} <span class="ci">{bounds}</span>' if bounds else point


def _swatch(task: TaskReport, group: Group) -> str:
    color, _ = group_styles(task.groups)[group.label]
    return f'<span class="swatch" style="background:{color}"></span>{escape(group.label)}'


def _speed(group: Group) -> list[str]:
    rates = [run.median(STEPS_PER_S) for run in group.runs]
    times = [run.end.get("wall_clock_s", float("nan")) for run in group.runs]
    rate = max((r for r in rates if math.isfinite(r)), default=float("nan"))
    longest = max((t for t in times if math.isfinite(t)), default=float("nan"))
    return [format_number(rate, unknown=NONE), format_duration(longest, unknown=NONE)]


def _cautions(report: Report) -> str:
    """What a reader must know before believing a difference, found in the runs themselves."""
    notes = _seed_notes([group for task in report.tasks for group in task.groups])
    notes += [note for task in report.tasks for note in _configuration_notes(task)]
    alarms = {run.name: [printable(said) for said in run.folder.noted("ensemble alarm")] for run in report.runs}
    notes += [f"Alarm in {name}: {said[-1]}" for name, said in alarms.items() if said]
    for field, text in (("hardware", "hardware"), ("physics", "physics engines"), ("git_commit", "commits")):
        for task in report.tasks:
            values = {
                json.dumps(_machine(run.manifest.get(field)), sort_keys=True) for g in task.groups for run in g.runs
            }
            if len(values) > 1:
                notes.append(f"Different {text} within {task.task}: see the table of runs.")
    unfinished = [run.name for run in report.runs if run.status not in ("finished", "unknown")]
    if unfinished:
        listed = ", ".join(unfinished[:5]) + (f" and {len(unfinished) - 5} more" if len(unfinished) > 5 else "")
        notes.append(f"Not finished: {listed}.")
    if any("+changes" in str(run.manifest.get("git_commit")) for run in report.runs):
        notes.append("Some runs come from a checkout with uncommitted changes.")
    broken = sum(bool(run.problems) for run in report.runs)
    if broken:
        notes.append(f'<a href="#missing">{counted(broken, "run")} with missing or damaged files</a>.')
    if not notes:
        return ""
    items = "".join(f"<li>{note if note.startswith('<a') else escape(note)}</li>" for note in notes)
    return f"<div class='caution'><h3>Before drawing conclusions</h3><ul>{items}</ul></div>"


def _seed_notes(groups: Sequence[Group]) -> list[str]:
    """What the numbers of seeds allow to say."""
    notes = []
    single = [f"{g.label} on {g.task}" for g in groups if len(g.runs) == 1]
    few = [f"{g.label} on {g.task}" for g in groups if 1 < len(g.runs) < FEW_SEEDS]
    repeated = [f"seed {run.seed} of {g.label} on {g.task}" for g in groups for run in g.repeats]
    unknown = [f"{g.label} on {g.task}" for g in groups if len(g.runs) > 1 and any(r.seed is None for r in g.runs)]
    if single:
        notes.append(f"One seed only, so no interval: {', '.join(single)}. A difference to it may be luck.")
    if few:
        notes.append(f"Fewer than {FEW_SEEDS} seeds, so intervals are too narrow: {', '.join(few)}.")
    if repeated:
        listed = ", ".join(dict.fromkeys(repeated))
        notes.append(f"Run more than once: {listed}. Of each seed the run that got furthest counts.")
    if unknown:
        notes.append(f"Seed unknown, so that runs may repeat each other: {', '.join(unknown)}.")
    return notes


def _configuration_notes(task: TaskReport) -> list[str]:
    """Which groups are configurations of one algorithm, and in how much they differ."""
    notes = []
    for algorithm in dict.fromkeys(group.algorithm for group in task.groups):
        family = [group for group in task.groups if group.algorithm == algorithm]
        if len(family) > 1:
            keys = differing_keys([group.runs[0].config for group in family])
            labels = ", ".join(group.label for group in family)
            differ = f" They differ in {counted(len(keys), 'setting')}, listed below." if keys else ""
            notes.append(f"One algorithm in several configurations on {task.task}: {labels}.{differ}")
    return notes


def _machine(value: object) -> object:
    """Hardware without the host's name: two equal machines are the same hardware."""
    return {k: v for k, v in value.items() if k != "host"} if isinstance(value, dict) else value


def settings(report: Report) -> str:
    """The settings in which the groups of each task differ."""
    parts = ["<section id='settings'><h2>Settings that differ</h2>"]
    for task in report.tasks:
        configs = [group.runs[0].config for group in task.groups]
        keys = differing_keys(configs)
        unknown = [group.label for group in task.groups if group.runs[0].config is None]
        parts.append(f"<h3>{escape(task.task)}</h3>")
        if unknown:
            parts.append(f"<p>Configuration unknown: {escape(', '.join(unknown))}.</p>")
        if not keys:
            parts.append("<p>None: all known configurations agree, apart from seeds.</p>")
            continue
        rows = [
            [f"<code>{escape(key)}</code>", *[_setting(config, key) for config in configs]]
            for key in keys[:MAX_SETTINGS]
        ]
        parts.append(table(["Setting", *[escape(g.label) for g in task.groups]], rows, kind="settings"))
        if len(keys) > MAX_SETTINGS:
            parts.append(f"<p>And {len(keys) - MAX_SETTINGS} more; compare the files in <code>params/</code>.</p>")
    return "".join(parts) + "</section>"


def _setting(config: dict[str, str] | None, key: str) -> str:
    if config is None:
        return "?"
    return escape(config[key]) if key in config else NONE


def runs(report: Report) -> str:
    """What ran, how far and where."""
    head = [
        "Run",
        "Algorithm",
        "Seed",
        "Status",
        "Iterations",
        "Steps",
        "Time",
        "Envs",
        "Physics",
        "Hardware",
        "Commit",
    ]
    rows = [
        [escape(run.name), escape(group.label), *_run_cells(run, is_repeat)]
        for task in report.tasks
        for group in task.groups
        for is_repeat, listed in ((False, group.runs), (True, group.repeats))
        for run in listed
    ]
    return f"<section id='runs'><h2>Runs</h2>{table(head, rows, kind='runs')}{_versions(report.runs)}</section>"


def _run_cells(run: Run, is_repeat: bool) -> list[str]:
    manifest = run.manifest
    steps, iterations = (run.end.get(axis, float("nan")) for axis in ("env_steps", "iteration"))
    commit = str(manifest.get("git_commit") or NONE)
    shown = commit[:10] + ("+changes" if "+changes" in commit else "")
    cells = [
        NONE if run.seed is None else f"{run.seed} (repeated)" if is_repeat else str(run.seed),
        run.status,
        f"{iterations:,.0f}" if math.isfinite(iterations) else NONE,
        format_count(steps) if math.isfinite(steps) else NONE,
        format_duration(run.end.get("wall_clock_s", float("nan")), unknown=NONE),
        str(manifest.get("num_envs") or NONE),
        f"{manifest.get('physics') or NONE}, {manifest.get('device') or NONE}",
        hardware_text(manifest.get("hardware")),
        shown,
    ]
    return [escape(printable(cell, 200)) for cell in cells]


def hardware_text(hardware: object) -> str:
    """Machine, cores and GPU in a few words; the host's name stays out of a file meant to be passed on."""
    if not isinstance(hardware, dict):
        return NONE
    parts = [
        str(value) if key != "cpus" else f"{value} CPUs" for key, value in hardware.items() if key != "host" and value
    ]
    return ", ".join(parts) or NONE


def _versions(runs: Sequence[Run]) -> str:
    used: dict[str, set[str]] = {}
    for run in runs:
        versions = run.manifest.get("versions")
        for name, version in versions.items() if isinstance(versions, dict) else []:
            used.setdefault(str(name), set()).add(str(version))
    if not used:
        return ""
    listed = "; ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in sorted(used.items()))
    return f"<p>Versions: {escape(printable(listed, 2000))}.</p>"


def problems(report: Report) -> str:
    """Files that are missing or damaged."""
    broken = [run for run in report.runs if run.problems]
    body = "<p>Nothing: every run had all its files, and all of them could be read.</p>"
    if broken:
        rows = [
            [escape(run.name), "<br>".join(escape(printable(problem)) for problem in run.problems)] for run in broken
        ]
        body = table(["Run", "What is missing or damaged"], rows, kind="problems")
    return f"<section id='missing'><h2>Missing data</h2>{body}</section>"

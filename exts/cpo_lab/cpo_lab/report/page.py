# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The report as one HTML file: figures, styles and script inside, nothing fetched."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from cpo_lab import __version__
from cpo_lab.report import curves, style
from cpo_lab.report.content import Report, TaskReport
from cpo_lab.report.curves import Plate
from cpo_lab.report.ensemble import KlMaps, policy_name
from cpo_lab.report.grouping import Group
from cpo_lab.report.reading import Run
from cpo_lab.report.statistics import Interval
from cpo_rl.runs.configs import differing_keys

NONE = "\N{EN DASH}"
"""What a table shows where there is no value."""
FEW_SEEDS = 5
"""Below this many seeds an interval is called indicative."""
MAX_SETTINGS = 60
"""Longest table of differing settings; the rest is counted."""


def render_page(report: Report) -> str:
    """Puts a report together.

    Args:
        report: A drawn report.

    Returns:
        A complete HTML document.
    """
    body = [
        _header(report),
        _glance(report),
        *(_task(task) for task in report.tasks),
        _settings(report),
        _runs(report),
        _problems(report),
        _methods(),
    ]
    return _resource("report.html").format(
        title=escape(report.title), css=_resource("report.css"), script=_resource("report.js"), body="\n".join(body)
    )


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


def number(value: float, digits: int = 3) -> str:
    """A number with a few significant digits and no exponent for everyday sizes; a dash if there is none."""
    if not math.isfinite(value):
        return NONE
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def interval_text(interval: Interval) -> str:
    """'point [low, high]', or the point alone where there is no interval."""
    if not interval.has_bounds:
        return number(interval.point)
    return f'{number(interval.point)} <span class="ci">[{number(interval.low)}, {number(interval.high)}]</span>'


def _resource(name: str) -> str:
    return (files("cpo_lab.report") / name).read_text(encoding="utf-8")


def _header(report: Report) -> str:
    groups = [group for task in report.tasks for group in task.groups]
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    counts = f"{_count(len(report.runs), 'run')} in {_count(len(groups), 'group')}, {_count(len(report.tasks), 'task')}"
    links = [(f"#{task.slug}", task.task) for task in report.tasks]
    links += [("#settings", "Settings"), ("#runs", "Runs"), ("#missing", "Missing data"), ("#methods", "Methods")]
    nav = "".join(f'<a href="{escape(target)}">{escape(text)}</a>' for target, text in links)
    return (
        f"<header><h1>{escape(report.title)}</h1><p class='sub'>{counts}. Made {made} with cpo_lab "
        f"{escape(__version__)}.</p><nav>{nav}</nav></header>"
    )


def _count(value: int, noun: str) -> str:
    return f"{value} {noun}" if value == 1 else f"{value} {noun}s"


def _glance(report: Report) -> str:
    parts = ["<section id='glance'><h2>At a glance</h2>"]
    for task in report.tasks:
        budget = curves.comparison_budget(task.groups, task.scores[0].tag)
        rows = []
        for group in task.groups:
            scores = [interval_text(group.final(spec.tag, budget)) for spec in task.scores]
            used = len(group.final_scores(task.scores[0].tag, budget))
            seeds = str(used) if used == len(group.runs) else f"{used} of {len(group.runs)}"
            rows.append([_swatch(task, group), seeds, *scores, *_speed(group)])
        head = ["Algorithm", "Seeds", *[f"Final {s.title[0].lower()}{s.title[1:]}" for s in task.scores]]
        head += ["Steps / s", "Time per run"]
        at = f", compared at {style.engineering(budget)} environment steps" if math.isfinite(budget) else ""
        parts.append(table(head, rows, f"{escape(task.task)}{at}"))
    parts.append(_cautions(report) + "</section>")
    return "".join(parts)


def _swatch(task: TaskReport, group: Group) -> str:
    color, _ = curves.group_styles(task.groups)[group.label]
    return f'<span class="swatch" style="background:{color}"></span>{escape(group.label)}'


def _speed(group: Group) -> list[str]:
    rates = [run.median("Perf/env_steps_per_s") for run in group.runs]
    times = [run.end.get("wall_clock_s", float("nan")) for run in group.runs]
    rate = max((r for r in rates if math.isfinite(r)), default=float("nan"))
    longest = max((t for t in times if math.isfinite(t)), default=float("nan"))
    return [number(rate), duration(longest)]


def duration(seconds: float) -> str:
    """Seconds as '12 s', '3.4 min' or '5.6 h'."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cautions(report: Report) -> str:
    """What a reader must know before believing a difference, found in the runs themselves."""
    notes = []
    groups = [group for task in report.tasks for group in task.groups]
    single = [f"{g.label} on {g.task}" for g in groups if len(g.runs) == 1]
    few = [f"{g.label} on {g.task}" for g in groups if 1 < len(g.runs) < FEW_SEEDS]
    if single:
        notes.append(f"One seed only, so no interval: {', '.join(single)}. A difference to it may be luck.")
    if few:
        notes.append(f"Fewer than {FEW_SEEDS} seeds, so intervals are too narrow: {', '.join(few)}.")
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
        notes.append(f'<a href="#missing">{_count(broken, "run")} with missing or damaged files</a>.')
    if not notes:
        return ""
    items = "".join(f"<li>{note if note.startswith('<a') else escape(note)}</li>" for note in notes)
    return f"<div class='caution'><h3>Before drawing conclusions</h3><ul>{items}</ul></div>"


def _machine(value: object) -> object:
    """Hardware without the host's name: two equal machines are the same hardware."""
    return {k: v for k, v in value.items() if k != "host"} if isinstance(value, dict) else value


def _task(task: TaskReport) -> str:
    parts = [f"<section id='{task.slug}'><h2>{escape(task.task)}</h2>"]
    for title, plates in task.sections:
        maps = [(g, m) for g, m in task.maps if title == f"{g.label}: its policies"]
        if plates:
            parts.append(f"<h3>{escape(title)}</h3><div class='plates'>")
            parts += [_kl_slider(group, entry, f"{task.slug}-{i}") for i, (group, entry) in enumerate(maps)]
            parts += [_plate(plate) for plate in plates]
            parts.append("</div>")
    return "".join(parts) + "</section>"


def _plate(plate: Plate) -> str:
    caption = f"<figcaption>{escape(plate.caption)}</figcaption>"
    if plate.is_empty:
        return (
            f"<figure class='missing' data-plate='{escape(plate.key)}'><div><strong>{escape(plate.title)}</strong>"
            f"<br>No data in these runs.</div>{caption}</figure>"
        )
    label = escape(f"{plate.title}. {plate.caption}", quote=True)
    svg = plate.svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return f"<figure data-plate='{escape(plate.key)}'>{svg}{caption}</figure>"


def _kl_slider(group: Group, maps: KlMaps, key: str) -> str:
    payload = maps.payload(group.label)
    size = maps.matrices.shape[1]
    payload["names"] = [policy_name(i, size) for i in range(size)]
    # "</" would end the script element early.
    data = json.dumps(payload).replace("</", "<\\/")
    last, shown = len(maps.steps) - 1, style.engineering(maps.steps[-1])
    return (
        f"<figure class='klmap' data-plate='{escape(key)}-kl_slider'>"
        f"<p class='plate-title'>{escape(group.label)}: KL map at <output>{shown}</output> steps</p>"
        f"<div class='map' role='img' aria-label='Inter-policy KL of {escape(group.label, quote=True)}'></div>"
        f"<input type='range' min='0' max='{last}' value='{last}' aria-label='Point in training'>"
        f"<script type='application/json'>{data}</script>"
        "<figcaption>Drag to move through training. Cells: KL(row || column) in nats; colours are logarithmic and "
        "the same at every step.</figcaption></figure>"
    )


def _settings(report: Report) -> str:
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


def _runs(report: Report) -> str:
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
        [escape(run.name), escape(group.label), *_run_cells(run)]
        for task in report.tasks
        for group in task.groups
        for run in group.runs
    ]
    return f"<section id='runs'><h2>Runs</h2>{table(head, rows, kind='runs')}{_versions(report.runs)}</section>"


def _run_cells(run: Run) -> list[str]:
    manifest = run.manifest
    steps, iterations = (run.end.get(axis, float("nan")) for axis in ("env_steps", "iteration"))
    commit = str(manifest.get("git_commit") or NONE)
    shown = commit[:10] + ("+changes" if "+changes" in commit else "")
    cells = [
        NONE if run.seed is None else str(run.seed),
        run.status,
        f"{iterations:,.0f}" if math.isfinite(iterations) else NONE,
        style.engineering(steps) if math.isfinite(steps) else NONE,
        duration(run.end.get("wall_clock_s", float("nan"))),
        str(manifest.get("num_envs") or NONE),
        f"{manifest.get('physics') or NONE}, {manifest.get('device') or NONE}",
        hardware_text(manifest.get("hardware")),
        shown,
    ]
    return [escape(cell) for cell in cells]


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
    return f"<p>Versions: {escape(listed)}.</p>"


def _problems(report: Report) -> str:
    broken = [run for run in report.runs if run.problems]
    body = "<p>Nothing: every run had all its files, and all of them could be read.</p>"
    if broken:
        rows = [[escape(run.name), "<br>".join(escape(problem) for problem in run.problems)] for run in broken]
        body = table(["Run", "What is missing or damaged"], rows, kind="problems")
    return f"<section id='missing'><h2>Missing data</h2>{body}</section>"


def _methods() -> str:
    return (
        "<section id='methods'><h2>Methods</h2><dl>"
        "<dt>Grouping</dt><dd>Runs with the same task, algorithm and configuration form a group; only the seed and "
        "bookkeeping settings such as the length of the run may differ.</dd>"
        "<dt>Curves</dt><dd>Thick: interquartile mean over seeds (the mean of the middle half; with fewer than four "
        "seeds the mean). Shaded: 95 % bootstrap interval over seeds, pointwise. Thin: single seeds. Long runs are "
        "averaged over short stretches of iterations.</dd>"
        "<dt>Final scores</dt><dd>Each seed's mean over the last tenth of the compared environment steps; all "
        "algorithms are compared at the same number of steps. Runs that ended earlier have no score and are counted; "
        "if they ended because they failed, the scores of the others look better than the algorithm is.</dd>"
        "<dt>Intervals</dt><dd>Percentile bootstrap, 2000 resamples of whole runs (500 for curves). They speak about "
        "seeds of this configuration on this machine, not about other settings. With few seeds they are too "
        "narrow.</dd>"
        "<dt>Probability of improvement</dt><dd>Share of run pairs in which the first scores higher, ties counting "
        "half.</dd>"
        "<dt>Policies</dt><dd>The leader is the last policy of the ensemble; its score is the algorithm's score. "
        "Followers are numbered from 0.</dd></dl></section>"
    )

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The report as one HTML file: figures, styles and script inside, nothing fetched."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from cpo_lab import __version__
from cpo_lab.report.content import Report, Section, TaskReport
from cpo_lab.report.grouping import Group
from cpo_lab.report.kl_maps import KlMaps
from cpo_lab.report.page_tables import counted, glance, problems, runs, settings
from cpo_lab.report.plates import Plate
from cpo_rl.formatting import format_count, policy_name


def render_page(report: Report) -> str:
    """Puts a report together.

    Args:
        report: A drawn report.

    Returns:
        A complete HTML document.
    """
    body = [
        _header(report),
        glance(report),
        *(_task(task) for task in report.tasks),
        settings(report),
        runs(report),
        problems(report),
        _methods(),
    ]
    return _resource("report.html").format(
        title=escape(report.title), css=_resource("report.css"), script=_resource("report.js"), body="\n".join(body)
    )


def _resource(name: str) -> str:
    return (files("cpo_lab.report") / name).read_text(encoding="utf-8")


def _header(report: Report) -> str:
    groups = [group for task in report.tasks for group in task.groups]
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    amounts = ((len(report.runs), "run"), (len(groups), "group"), (len(report.tasks), "task"))
    num_runs, num_groups, num_tasks = (counted(amount, noun) for amount, noun in amounts)
    links = [(f"#{task.slug}", task.task) for task in report.tasks]
    links += [("#settings", "Settings"), ("#runs", "Runs"), ("#missing", "Missing data"), ("#methods", "Methods")]
    nav = "".join(f'<a href="{escape(target)}">{escape(text)}</a>' for target, text in links)
    return (
        f"<header><h1>{escape(report.title)}</h1><p class='sub'>{num_runs} in {num_groups}, {num_tasks}. Made {made} "
        f"with cpo_lab {escape(__version__)}.</p><nav>{nav}</nav></header>"
    )


def _task(task: TaskReport) -> str:
    parts = [_section(section, f"{task.slug}-{number}") for number, section in enumerate(task.sections)]
    return f"<section id='{task.slug}'><h2>{escape(task.task)}</h2>{''.join(parts)}</section>"


def _section(section: Section, key: str) -> str:
    figures = [_plate(plate) for plate in section.plates]
    if section.group and section.maps:
        figures.insert(0, _kl_slider(section.group, section.maps, key))
    plates = f"<div class='plates'>{''.join(figures)}</div>" if figures else ""
    notes = "".join(f"<p class='note'>{escape(note)}</p>" for note in section.notes)
    return f"<h3>{escape(section.title)}</h3>{plates}{notes}"


def _plate(plate: Plate) -> str:
    caption = f"<figcaption>{escape(plate.caption)}</figcaption>"
    if plate.is_empty:
        return (
            f"<figure class='missing' data-plate='{escape(plate.key)}'><div><strong>{escape(plate.title)}</strong>"
            f"<br>No data in these runs.</div>{caption}</figure>"
        )
    label = escape(f"{plate.title}. {plate.caption}", quote=True)
    svg = plate.svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    advice = "".join(f"<p class='advice'>{escape(sentence)}</p>" for sentence in plate.advice)
    return f"<figure data-plate='{escape(plate.key)}'>{svg}{caption}{advice}</figure>"


def _kl_slider(group: Group, maps: KlMaps, key: str) -> str:
    payload = maps.payload(group.label)
    size = maps.matrices.shape[1]
    payload["names"] = [policy_name(i, size) for i in range(size)]
    # "</" would end the script element early, "<!--" would change how its end is found.
    data = json.dumps(payload).replace("<", "\\u003c")
    last, shown = len(maps.steps) - 1, format_count(maps.steps[-1])
    return (
        f"<figure class='klmap' data-plate='{escape(key)}-kl_slider'>"
        f"<p class='plate-title'>{escape(group.label)}: KL map at <output>{shown}</output> steps</p>"
        f"<div class='map' role='img' aria-label='Inter-policy KL of {escape(group.label, quote=True)}'></div>"
        f"<input type='range' min='0' max='{last}' value='{last}' aria-label='Point in training'>"
        f"<script type='application/json'>{data}</script>"
        "<figcaption>Drag to move through training. Cells: KL(row || column) in nats; colours are logarithmic and "
        "the same at every step.</figcaption></figure>"
    )


def _methods() -> str:
    return (
        "<section id='methods'><h2>Methods</h2><dl>"
        "<dt>Grouping</dt><dd>Runs with the same task, algorithm and configuration form a group; only the seed and "
        "bookkeeping settings such as the length of the run may differ. Of several runs of one seed the one that got "
        "furthest counts: repeating a seed is no further evidence.</dd>"
        "<dt>Curves</dt><dd>Thick: interquartile mean over seeds (the mean of the middle half; with fewer than four "
        "seeds the mean). Shaded: 95 % bootstrap interval over seeds, pointwise; losses and metrics of the task have "
        "none. Thin: single seeds. Long runs are averaged over short stretches of iterations.</dd>"
        "<dt>Final scores</dt><dd>Each seed's mean over the last tenth of the compared environment steps; all "
        "algorithms are compared at the same number of steps. Runs that ended earlier have no score and are counted; "
        "if they ended because they failed, the scores of the others look better than the algorithm is.</dd>"
        "<dt>Intervals</dt><dd>Percentile bootstrap, 2000 resamples of whole runs (500 for curves). They speak about "
        "seeds of this configuration on this machine, not about other settings. With few seeds they are too "
        "narrow.</dd>"
        "<dt>Probability of improvement</dt><dd>Share of run pairs in which the first scores higher, ties counting "
        "half.</dd>"
        "<dt>Good values and advice</dt><dd>Rules of thumb: of the KL an effective sample size follows, for Gaussians; "
        "the rest comes from small tasks. Advice stands below a figure where at least half of a group's seeds look "
        "wrong over the last tenth of the run; whether it helps, only a run can say.</dd>"
        "<dt>Policies</dt><dd>The leader is the last policy of the ensemble; its score is the algorithm's score. "
        "Followers are numbered from 0.</dd></dl></section>"
    )

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From run folders to a report: reads, groups, draws, and writes the page, the figures and the numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cpo_lab.report import style
from cpo_lab.report.comparison import comparison_budget
from cpo_lab.report.content import Report, TaskReport
from cpo_lab.report.curves import band_of
from cpo_lab.report.grouping import Group, group_runs
from cpo_lab.report.page import render_page
from cpo_lab.report.plates import file_name
from cpo_lab.report.reading import read_runs
from cpo_lab.report.sections import draw_task
from cpo_lab.report.spreadsheet import csv_text
from cpo_rl.runs.files import TEMPORARY_SUFFIX, write_text
from cpo_rl.threads import usable_cores, worker_processes

GROUPS_PER_POOL = 6
"""From this many groups of several tasks on, tasks are drawn in processes of their own."""


def build_report(
    folders: Sequence[Path], title: str = "Training report", progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Reads run folders and draws everything.

    Args:
        folders: Run folders, see `cpo_rl.runs.find.named_runs`.
        title: Heading of the page.
        progress: Told in a few words what is being done.

    Returns:
        The report, to be written with `write_report`.
    """
    progress(f"reading {len(folders)} runs")
    runs = read_runs(folders)
    groups = group_runs(runs)
    jobs: dict[str, tuple[str, list[Group]]] = {}
    for name in sorted({group.task for group in groups}):
        slug = file_name(name)
        slug = slug if slug not in jobs else f"{slug}-{len(jobs)}"
        jobs[slug] = (name, [group for group in groups if group.task == name])
    progress(f"drawing {len(groups)} groups")
    workers = min(len(jobs), usable_cores(), 8) if len(groups) >= GROUPS_PER_POOL else 1
    arguments = ([name for name, _ in jobs.values()], list(jobs), [members for _, members in jobs.values()])
    if workers < 2:
        return Report(title, runs, list(map(_task_report, *arguments)))
    with worker_processes(workers) as pool:
        return Report(title, runs, list(pool.map(_task_report, *arguments)))


def write_report(report: Report, out: Path) -> Path:
    """Writes report.html, figures/*.svg, figures/*.png and data/*.csv.

    Args:
        report: A drawn report.
        out: Folder, created if missing; files of an earlier report of the same runs are replaced.

    Returns:
        Path of the page, which needs none of the other files.
    """
    figures, data = out / "figures", out / "data"
    figures.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True)
    for plate in report.plates:
        if not plate.is_empty:
            _replace(figures / f"{plate.key}.svg", (style.SVG_PROLOG + plate.svg).encode())
            _replace(figures / f"{plate.key}.png", plate.png)
    write_text(data / "final_scores.csv", _final_scores_csv(report))
    write_text(data / "curves.csv", _curves_csv(report))
    page = out / "report.html"
    write_text(page, render_page(report))
    return page


def _replace(file: Path, content: bytes) -> None:
    """Writes a figure whole or not at all; unlike the page it is not synced, which takes longer than drawing."""
    temporary = file.with_name(f".{file.name}{TEMPORARY_SUFFIX}")
    temporary.write_bytes(content)
    temporary.replace(file)


def _task_report(name: str, slug: str, groups: list[Group]) -> TaskReport:
    """Draws and renders everything about one task."""
    with style.styled():
        task = draw_task(name, slug, groups)
        for section in task.sections:
            for plate in section.plates:
                plate.render()
    return task


def _final_scores_csv(report: Report) -> str:
    rows = [["task", "group", "metric", "env_steps_compared", "seeds", "iqm", "low_95", "high_95", "scores"]]
    for task in report.tasks:
        for metric in task.scores:
            budget = comparison_budget(task.groups, metric.tag)
            for group in task.groups if np.isfinite(budget) else []:
                scores = group.final_scores(metric.tag, budget)
                interval = group.final(metric.tag, budget)
                numbers = [_cell(v) for v in (interval.point, interval.low, interval.high)]
                listed = " ".join(_cell(score) for score in scores)
                rows.append([task.task, group.label, metric.tag, _cell(budget), str(len(scores)), *numbers, listed])
    return csv_text(rows)


def _curves_csv(report: Report) -> str:
    rows = [["task", "group", "metric", "axis", "x", "iqm", "low_95", "high_95"]]
    for task in report.tasks:
        for group in task.groups:
            for metric in task.curves:
                for axis in ("env_steps", "wall_clock_s") if metric.compared else ("env_steps",):
                    band = band_of(group, metric, axis)
                    if band is not None:
                        points = zip(band.x, band.center, band.low, band.high, strict=True)
                        rows.extend([task.task, group.label, metric.tag, axis, *map(_cell, p)] for p in points)
    return csv_text(rows)


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""

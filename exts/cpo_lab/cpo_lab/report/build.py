# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From run folders to a report: reads, groups, draws, and writes the page, the figures and the numbers behind them."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from cpo_lab.report import curves, style
from cpo_lab.report.content import Report, TaskReport
from cpo_lab.report.curves import CurveSpec, Plate
from cpo_lab.report.ensemble import ensemble_plates, kl_maps
from cpo_lab.report.grouping import Group, group_runs
from cpo_lab.report.page import render_page
from cpo_lab.report.reading import read_runs
from cpo_rl.runs.files import TEMPORARY_SUFFIX, write_text

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
        slug = _slug(name)
        slug = slug if slug not in jobs else f"{slug}-{len(jobs)}"
        jobs[slug] = (name, [group for group in groups if group.task == name])
    progress(f"drawing {len(groups)} groups")
    workers = min(len(jobs), os.cpu_count() or 1, 8) if len(groups) >= GROUPS_PER_POOL else 1
    arguments = ([name for name, _ in jobs.values()], list(jobs), [members for _, members in jobs.values()])
    if workers < 2:
        return Report(title, runs, list(map(_task_report, *arguments)))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
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
        task = _draw(name, slug, groups)
        for _, plates in task.sections:
            for plate in plates:
                plate.render()
    return task


def _draw(name: str, slug: str, groups: list[Group]) -> TaskReport:
    extras = curves.leader_extras(groups)
    scores = [*curves.LEARNING, *[spec for spec in extras if "success" in spec.tag]]
    task = TaskReport(name, slug, groups, scores)
    both = ("env_steps", "wall_clock_s")
    learning = [plate for spec in scores for plate in curves.curve_plates(groups, spec, slug, both)]
    compared = [plate for spec in scores for plate in curves.compare(groups, spec.tag, spec.title, slug)]
    rest = [spec for spec in extras if spec not in scores]
    ensembles = [group for group in groups if group.num_policies > 1]
    task.maps = [(group, maps) for group in ensembles if (maps := kl_maps(group)) is not None]

    def steps(specs: Sequence[CurveSpec]) -> list[Plate]:
        return [plate for spec in specs for plate in curves.curve_plates(groups, spec, slug, ("env_steps",))]

    task.sections = [
        ("Learning", learning + compared + steps(rest)),
        ("Coupling of the policies", steps(curves.COUPLING) if ensembles else []),
        *(
            (f"{group.label}: its policies", ensemble_plates(group, f"{slug}-{_slug(group.label)}"))
            for group in ensembles
        ),
        ("Optimization", steps(curves.OPTIMIZATION)),
        ("Throughput", steps(curves.THROUGHPUT)),
    ]
    return task


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text).strip("-").lower()


def _final_scores_csv(report: Report) -> str:
    rows = [["task", "group", "metric", "env_steps_compared", "seeds", "iqm", "low_95", "high_95", "scores"]]
    for task in report.tasks:
        for spec in task.scores:
            budget = curves.comparison_budget(task.groups, spec.tag)
            for group in task.groups if np.isfinite(budget) else []:
                scores = group.final_scores(spec.tag, budget)
                interval = group.final(spec.tag, budget)
                numbers = [_cell(v) for v in (interval.point, interval.low, interval.high)]
                listed = " ".join(_cell(score) for score in scores)
                rows.append([task.task, group.label, spec.tag, _cell(budget), str(len(scores)), *numbers, listed])
    return _csv(rows)


def _curves_csv(report: Report) -> str:
    rows = [["task", "group", "metric", "axis", "x", "iqm", "low_95", "high_95"]]
    for task in report.tasks:
        for group in task.groups:
            for spec in (*task.scores, *curves.COUPLING, *curves.OPTIMIZATION, *curves.THROUGHPUT):
                for axis in ("env_steps", "wall_clock_s") if spec in task.scores else ("env_steps",):
                    band = group.band(spec.tag, axis)
                    if band is not None:
                        points = zip(band.x, band.center, band.low, band.high, strict=True)
                        rows.extend([task.task, group.label, spec.tag, axis, *map(_cell, p)] for p in points)
    return _csv(rows)


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def _csv(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()

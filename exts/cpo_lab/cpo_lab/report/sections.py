# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which figure stands under which heading: the table of metrics decides, for tags that it does not know as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cpo_lab.report.comparison import score_plates
from cpo_lab.report.content import Section, TaskReport
from cpo_lab.report.curves import curve_plates
from cpo_lab.report.ensemble import policy_plates
from cpo_lab.report.grouping import Group
from cpo_lab.report.kl_maps import kl_maps, kl_plate
from cpo_lab.report.plates import file_name, tag_name
from cpo_rl.runs.metric_names import (
    COUPLING,
    ESS_POOLED,
    METRICS,
    POLICIES,
    RETURN,
    SCORES,
    SECTIONS,
    Metric,
    in_order,
)
from cpo_rl.runs.tables import AXES

OPENING = "Who learns, how far apart the policies are, and what followers' data are worth"
"""Heading of a task's first figures."""
MOST_OWN = 12
"""Figures per section of metrics that a task or an own algorithm named; the rest is listed, so that hundreds of them
cost neither minutes nor the overview."""
_NAMES_LISTED = 60


def draw_task(name: str, slug: str, groups: list[Group]) -> TaskReport:
    """Draws everything about one task.

    Args:
        name: Task id.
        slug: Task id in characters that suit file names.
        groups: Groups of runs of this task.

    Returns:
        The sections with their figures, not rendered yet.
    """
    metrics = _shown(groups)
    compared = [metric for metric in metrics if not metric.per_policy]
    task = TaskReport(name, slug, groups, [metric for metric in compared if metric.compared])
    for title in SECTIONS:
        if title != POLICIES:
            section, drawn = _compared_section(title, [m for m in compared if m.section == title], groups, slug)
            task.sections.append(section)
            task.curves += drawn
        if title == COUPLING:
            each = [metric for metric in metrics if metric.per_policy]
            task.sections += [_policies_section(group, each, slug) for group in groups if group.num_policies > 1]
    _open_with(task)
    task.sections = [section for section in task.sections if section.plates or section.notes]
    _make_keys_unique(task.sections)
    return task


def _open_with(task: TaskReport) -> None:
    """Put the three kinds of figures first that the paper argues with, taken from where they stand otherwise."""
    scores = [metric.tag for metric in task.scores]
    first = next((tag for tag in SCORES if tag in scores), scores[0] if scores else RETURN)
    wanted = [f"{task.slug}-{tag_name(first)}", f"{task.slug}-{tag_name(ESS_POOLED)}"]
    wanted[1:1] = [plate.key for each in task.sections for plate in each.plates if plate.key.endswith("-kl_maps")][:2]
    found = {p.key: (section, p) for section in task.sections for p in section.plates if p.key in wanted}
    chosen = [found[key] for key in wanted if key in found and not found[key][1].is_empty]
    if len(chosen) < 2:
        return  # no ensemble: one curve is no overview
    for section, plate in chosen:
        section.plates.remove(plate)
    task.sections.insert(0, Section(OPENING, [plate for _, plate in chosen]))


def _shown(groups: Sequence[Group]) -> list[Metric]:
    """Metrics that any run has, and those whose absence must be told, in reading order."""
    tags = {tag for group in groups for run in group.runs for tag in run.metrics if run.curve(tag) is not None}
    ensemble = any(group.num_policies > 1 for group in groups)
    tags |= {metric.tag for metric in METRICS if metric.expected and (ensemble or not metric.needs_ensemble)}
    return [metric for metric in in_order(tags - set(AXES)) if not metric.instead_of and not metric.shown_with]


def _compared_section(
    title: str, metrics: list[Metric], groups: list[Group], slug: str
) -> tuple[Section, list[Metric]]:
    """Figures that show the groups side by side, and the metrics in them."""
    drawn, notes = _worth_drawing(metrics, groups)
    scores = [metric for metric in drawn if metric.compared]
    plates = [p for m in scores for p in curve_plates(groups, m, slug, ("env_steps", "wall_clock_s"))]
    plates += [p for m in scores for p in score_plates(groups, m, slug)]
    plates += [p for m in drawn if not m.compared for p in curve_plates(groups, m, slug, ("env_steps",))]
    return Section(title, plates, notes), drawn


def _policies_section(group: Group, metrics: list[Metric], slug: str) -> Section:
    """Figures of one ensemble, with a line per policy each, and its KL maps."""
    tags = {tag for run in group.runs for tag in run.metrics}
    own = [m for m in metrics if m.expected or any(m.of_policy(i) in tags for i in range(group.num_policies))]
    drawn, notes = _worth_drawing(own, [group])
    key = f"{slug}-{file_name(group.label)}"
    maps = kl_maps(group)
    plates = policy_plates(group, drawn, key)
    plates.insert(1, kl_plate(group, maps, f"{key}-kl_maps"))
    return Section(f"{group.label}: its policies", plates, notes, group, maps)


def _worth_drawing(metrics: list[Metric], groups: Sequence[Group]) -> tuple[list[Metric], list[str]]:
    """The metrics that get a figure, and sentences about the others."""
    notes = []
    constant = {m.tag: value for m in metrics if (value := _constant(groups, m)) is not None}
    if constant:
        listed = ", ".join(f"{m.title} {m.text(constant[m.tag])}" for m in metrics if m.tag in constant)
        notes.append(f"Constant throughout: {listed}.")
    drawn = [metric for metric in metrics if metric.tag not in constant]
    left = [metric for metric in drawn if metric.is_own and not metric.compared][MOST_OWN:]
    if left:
        names = ", ".join(m.tag for m in left[:_NAMES_LISTED]) + (", ..." if len(left) > _NAMES_LISTED else "")
        notes.append(f"{len(left)} more are in metrics.csv, without a figure: {names}.")
    return [metric for metric in drawn if metric not in left], notes


def _constant(groups: Sequence[Group], metric: Metric) -> float | None:
    """The value of a metric that never changed in any run; None where a figure has something to show."""
    if metric.compared or metric.expected:
        return None
    most = max(group.num_policies for group in groups)
    tags = [metric.of_policy(i) for i in range(most)] if metric.per_policy else [metric.tag]
    found = [run.curve(tag) for group in groups for run in group.runs for tag in tags]
    curves = [curve[np.isfinite(curve)] for curve in found if curve is not None]
    if max(map(len, curves), default=0) < 2:
        return None
    values = np.concatenate(curves)
    return float(values[0]) if np.allclose(values, values[0], rtol=1e-9, atol=0.0) else None


def _make_keys_unique(sections: Sequence[Section]) -> None:
    """Numbers figures whose names differ in nothing that a file name can hold."""
    seen: Counter[str] = Counter()
    for plate in (plate for section in sections for plate in section.plates):
        seen[plate.key] += 1
        if seen[plate.key] > 1:
            plate.key = f"{plate.key}-{seen[plate.key]}"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Final scores of the groups of a task at equal environment steps, and how sure it is that one beats another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cpo_lab.report import style
from cpo_lab.report.curves import group_styles
from cpo_lab.report.grouping import Group
from cpo_lab.report.plates import Plate, inside_title, tag_name
from cpo_lab.report.statistics import Interval, probability_of_improvement_interval
from cpo_rl.formatting import format_count
from cpo_rl.runs.metric_names import Metric


def comparison_budget(groups: Sequence[Group], tag: str) -> float:
    """Environment steps that the longest run of every group with the metric has reached; NaN without any."""
    steps = [last for group in groups if np.isfinite(last := group.last_step(tag))]
    return min(steps, default=float("nan"))


def score_plates(groups: Sequence[Group], metric: Metric, key: str) -> list[Plate]:
    """Final scores of all groups at equal environment steps, and the probability that one beats another.

    Args:
        groups: Groups of one task.
        metric: What to compare.
        key: Prefix of the file names.

    Returns:
        The final-score plate and, for two or more groups of several seeds, the improvement plate.
    """
    budget = comparison_budget(groups, metric.tag)
    scored = [(group, group.final_scores(metric.tag, budget)) for group in groups] if np.isfinite(budget) else []
    scored = [(group, scores) for group, scores in scored if scores]
    if not scored:
        return []
    name = f"{key}-{tag_name(metric.tag)}"
    early = [
        f"{group.label}: {len(group.runs) - len(scores)} of {len(group.runs)}"
        for group, scores in scored
        if len(scores) < len(group.runs)
    ]
    caption = (
        f"Mean of the last tenth before {format_count(budget)} environment steps, the most that every algorithm "
        "reached. Small dots: seeds; large dot: interquartile mean; bar: 95 % interval over seeds."
    )
    if early:
        caption += f" Runs without a score there (stopped early or not recorded): {'; '.join(early)}."
    plates = [Plate(f"{name}-final", _final_title(metric), caption, _final_figure(groups, scored, metric, budget))]
    repeated = [(group, scores) for group, scores in scored if len(scores) > 1]
    if len(repeated) > 1:
        text = (
            "Chance that a random run of the first beats a random run of the second. The dashed line is a coin toss; "
            "an interval that crosses it means the runs cannot tell."
        )
        if len(repeated) < len(scored):
            text += " Left out: algorithms with one seed."
        figure = _improvement_figure(groups, repeated, metric)
        plates.append(Plate(f"{name}-improvement", "Probability of improvement", text, figure))
    return plates


def _final_title(metric: Metric) -> str:
    return f"Final {inside_title(metric.title)}"


def improvement_pairs(
    scored: Sequence[tuple[Group, list[float]]], metric: Metric
) -> list[tuple[Group, Group, Interval]]:
    """Probability of improvement of every group over every later one."""
    sign = -1.0 if metric.better == "lower" else 1.0
    return [
        (first, second, probability_of_improvement_interval(sign * np.array(a), sign * np.array(b)))
        for k, (first, a) in enumerate(scored)
        for second, b in scored[k + 1 :]
    ]


def _final_figure(
    groups: Sequence[Group], scored: Sequence[tuple[Group, list[float]]], metric: Metric, budget: float
) -> Figure:
    styles = group_styles(groups)
    fig, axes = style.rows_figure([group.label for group, _ in scored])
    for row, (group, scores) in enumerate(scored):
        color, _ = styles[group.label]
        interval = group.final(metric.tag, budget)
        axes.plot(scores, [row] * len(scores), "o", color=color, markersize=3, alpha=0.5)
        if interval.has_bounds:
            axes.plot([interval.low, interval.high], [row, row], color=color, linewidth=2.4)
        axes.plot([interval.point], [row], "o", color=color, markersize=7)
    axes.set_xlabel(metric.axis_label, parse_math=False)
    axes.set_title(_final_title(metric), parse_math=False)
    style.format_number_axis(axes.xaxis, axes.get_xlim())
    return fig


def _improvement_figure(groups: Sequence[Group], scored: Sequence[tuple[Group, list[float]]], metric: Metric) -> Figure:
    styles = group_styles(groups)
    pairs = improvement_pairs(scored, metric)
    fig, axes = style.rows_figure([f"{first.label} > {second.label}" for first, second, _ in pairs])
    axes.axvline(0.5, color="#666666", linestyle="--", linewidth=0.9)
    for row, (first, _, interval) in enumerate(pairs):
        color, _ = styles[first.label]
        if interval.has_bounds:
            axes.plot([interval.low, interval.high], [row, row], color=color, linewidth=2.4)
        axes.plot([interval.point], [row], "o", color=color, markersize=7)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("probability")
    axes.set_title("Probability of improvement")
    return fig

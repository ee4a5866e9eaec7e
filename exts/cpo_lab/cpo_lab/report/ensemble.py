# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Curves of every policy of one ensemble: their returns, and how much each follower's data is worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cpo_lab.report import style
from cpo_lab.report.grouping import Group
from cpo_lab.report.plates import Plate, draw_band, inside_title, is_drawn_logarithmic, tag_name
from cpo_rl.formatting import policy_name
from cpo_rl.runs.metric_names import POLICIES, Metric


def policy_plates(group: Group, metrics: Sequence[Metric], key: str) -> list[Plate]:
    """Figures of one group with two or more policies, one line per policy.

    Args:
        group: Runs of one configuration.
        metrics: Rows of metrics that every policy, or every follower, has.
        key: Prefix of the file names.

    Returns:
        A plate per metric; an empty one if no run recorded it.
    """
    return [_policies_plate(group, metric, f"{key}-{tag_name(metric.tag)}") for metric in metrics]


def _policies_plate(group: Group, metric: Metric, key: str) -> Plate:
    """One line per policy, with direct labels."""
    size = group.num_policies
    seeds = "One seed" if len(group.runs) == 1 else f"Interquartile mean of {len(group.runs)} seeds"
    title, caption = f"{group.label}: {inside_title(metric.title)}", f"{metric.meaning} {seeds}."
    policies = range(size if metric.section == POLICIES else size - 1)
    bands = [(index, group.band(metric.of_policy(index), bounds=False)) for index in policies]
    drawn = [(index, band) for index, band in bands if band is not None]
    if not drawn:
        return Plate(key, title, f"{caption} No data: {group.label}.", None)
    missing = [policy_name(index, size) for index, band in bands if band is None]
    if missing:
        caption += f" No data: {', '.join(missing)}."
    if any(band.complete < band.x.size for _, band in drawn):
        caption += " Dotted: a seed ended before the others."
    fig, axes = style.figure(right=0.77)
    labels = []
    for index, band in drawn:
        color = style.follower_color(index, size)
        leader = index == size - 1
        draw_band(axes, band, color, width=2.2 if leader else 1.3, zorder=3 if leader else 2)
        finite = np.isfinite(band.center)
        if finite.any():
            labels.append((band.x[finite][-1], band.center[finite][-1], policy_name(index, size), color))
    log = metric.log and is_drawn_logarithmic([band for _, band in drawn])
    if log:
        axes.set_yscale("log")
    elif metric.share:
        axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0.0)
    style.set_heading(axes, title, metric.axis_label)
    style.format_steps_axis(axes, "env_steps")
    style.format_value_axis(axes, log=log)
    style.direct_labels(axes, labels)
    return Plate(key, title, caption, fig)

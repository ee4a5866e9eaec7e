# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Curves of one metric for all groups of a task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from cpo_lab.report import style
from cpo_lab.report.advice import advice
from cpo_lab.report.grouping import Band, Group
from cpo_lab.report.plates import Plate, draw_band, is_drawn_logarithmic, tag_name
from cpo_rl.runs.metric_names import LOSSES, METRICS, MORE, TASK, Metric

SEED_POINTS = 120
"""Points of a single seed's thin line; more cannot be told apart at figure width."""
_UNSHADED = (LOSSES, TASK, MORE)
"""Sections of many figures, which show single seeds but no interval: computing it takes longer than drawing."""


def curve_plates(groups: Sequence[Group], metric: Metric, key: str, axes: Sequence[str]) -> list[Plate]:
    """Draws one metric of all groups of a task.

    Args:
        groups: Groups of one task.
        metric: What to draw.
        key: Prefix of the file names.
        axes: 'env_steps', 'wall_clock_s' or both.

    Returns:
        One plate per axis; a metric no group has gives one empty plate.
    """
    good = f"Good: {metric.good}." if metric.good else ""
    caption = " ".join(part for part in (metric.meaning, good, _absent(groups, metric)) if part)
    name = f"{key}-{tag_name(metric.tag)}"
    plates = []
    for axis in axes:
        bands = [(group, band_of(group, metric, axis)) for group in groups]
        drawn = [(group, band) for group, band in bands if band is not None]
        if not drawn:
            return [Plate(name, metric.title, caption, None)]
        suffix, over = ("", "") if axis == "env_steps" else ("_time", " over time")
        figure = _curve_figure(groups, drawn, metric, axis, metric.title + over)
        plates.append(Plate(name + suffix, metric.title + over, caption, figure, advice=advice(groups, metric.tag)))
    return plates


def band_of(group: Group, metric: Metric, axis: str = "env_steps") -> Band | None:
    """A metric's curve of a group, with its interval where the figure shades one."""
    return group.band(metric.tag, axis, bounds=metric.section not in _UNSHADED)


def _absent(groups: Sequence[Group], metric: Metric) -> str:
    """Which groups lack the metric, and whether that is a gap or the nature of what they are."""
    bands = {group.label: band_of(group, metric) for group in groups}
    without = [group for group in groups if bands[group.label] is None]
    alone = without if metric.needs_ensemble else []
    single = [g.label for g in alone if g.num_policies == 1 and any(r.metrics for r in g.runs)]
    missing = [g.label for g in without if g.label not in single]
    partial = [
        f"{g.label} ({sum(r.curve(metric.tag) is None for r in g.runs)} of {len(g.runs)} runs)"
        for g in groups
        if g not in without and any(r.curve(metric.tag) is None for r in g.runs)
    ]
    shortened = [label for label, band in bands.items() if band is not None and band.complete < band.x.size]
    sentences = []
    if single:
        sentences.append(f"Does not apply to {', '.join(single)}: one policy.")
    if shortened:
        sentences.append(f"Dotted continuation of {', '.join(shortened)}: a seed ended before the others.")
    if missing and not metric.expected:
        sentences.append(f"Not reported by {', '.join(missing)}.")
        missing = []
    if missing or partial:
        sentences.append(f"No data: {', '.join(missing + partial)}.")
    return " ".join(sentences)


def _curve_figure(
    groups: Sequence[Group], drawn: Sequence[tuple[Group, Band]], metric: Metric, axis: str, title: str
) -> Figure:
    styles = group_styles(groups)
    longest = max(len(group.label) for group, _ in drawn)
    fig, axes = style.figure(right=float(np.clip(0.97 - 0.0195 * longest, 0.55, 0.86)))
    log = metric.log and is_drawn_logarithmic([band for _, band in drawn])
    dotted = [row.tag for row in METRICS if row.shown_with == metric.tag]
    labels = []
    for group, band in drawn:
        color, dashes = styles[group.label]
        if len(band.seeds) > 1:
            thinned = [np.column_stack((x, y))[:: max(1, len(x) // SEED_POINTS)] for x, y in band.seeds]
            axes.add_collection(LineCollection(thinned, colors=color, linewidths=0.5, alpha=0.35))
        if np.isfinite(band.low).any():
            axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.18, linewidth=0)
        draw_band(axes, band, color, dashes=dashes)
        for reference in (group.band(tag, axis, bounds=False) for tag in dotted):
            if reference is not None:
                axes.plot(reference.x, reference.center, color=color, linestyle=":", linewidth=1.0)
        finite = np.isfinite(band.center)
        if finite.any():
            labels.append((band.x[finite][-1], band.center[finite][-1], group.label, color))
    if log:
        axes.set_yscale("log")
    elif metric.share:
        axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0.0)
    style.set_heading(axes, title, metric.axis_label)
    style.format_steps_axis(axes, axis)
    style.format_value_axis(axes, log=log)
    style.direct_labels(axes, labels)
    return fig


def group_styles(groups: Sequence[Group]) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Colour and dashes of every group of a task, by label; no two groups look alike."""
    return dict(zip((group.label for group in groups), style.colors_of([g.algorithm for g in groups]), strict=True))

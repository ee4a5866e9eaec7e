# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Figures that compare the groups of one task: learning curves, coupling, optimization, throughput, final scores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from cpo_lab.report import style
from cpo_lab.report.grouping import Band, Group
from cpo_lab.report.statistics import Interval, probability_of_improvement_interval

SEED_POINTS = 120
"""Points of a single seed's thin line; more cannot be told apart at figure width."""


@dataclass
class Plate:
    """One captioned figure of the report."""

    key: str
    """File name without suffix, unique within a report."""
    title: str
    """What it shows."""
    caption: str
    """How to read it, and what is missing in it."""
    figure: Figure | None
    """The figure until it is rendered; None if no run has the data, and the report shows the caption in a frame."""
    svg: str = ""
    """The rendered figure as an SVG element."""
    png: bytes = b""
    """The rendered figure as a PNG file."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return self.figure is None and not self.svg

    def render(self) -> None:
        """Turns the figure into files' content, which is small and can be passed between processes."""
        if self.figure is not None:
            self.svg, self.png = style.svg_of(self.figure, self.key), style.png_of(self.figure)
            self.figure = None


@dataclass(frozen=True)
class CurveSpec:
    """How one metric is drawn."""

    tag: str
    """Column of metrics.csv."""
    title: str
    """Figure title."""
    unit: str
    """Label of the vertical axis, with unit."""
    caption: str = ""
    """How to read it."""
    log: bool = False
    """Logarithmic vertical axis."""
    ensemble: bool = False
    """Whether the metric exists only with two or more policies."""
    reference: str = ""
    """Tag of a second metric drawn dotted for comparison, e.g. chance level."""
    share: bool = False
    """Whether it is a fraction, drawn from 0 to 1."""


LEARNING = (
    CurveSpec(
        "Leader/return",
        "Leader return",
        "return per episode",
        "Undiscounted reward per episode of the leader (of the only policy for PPO).",
    ),
)
LEADER_EXTRAS = CurveSpec("", "Leader {}", "{} per episode", "Value at the end of the leader's episodes.")
COUPLING = (
    CurveSpec(
        "Ensemble/kl_mean",
        "Inter-policy KL",
        "mean KL [nats]",
        "Mean divergence between two policies on visited states. Low: they act alike and can use each other's data.",
        log=True,
        ensemble=True,
    ),
    CurveSpec(
        "Ensemble/ess_pooled",
        "Effective sample size",
        "ESS / n",
        "Share of the followers' samples that counts for the leader: 1 on-policy, about 0.78 at a KL of 0.125 nats, "
        "0.37 at 0.5, 0.02 at 2.",
        ensemble=True,
        share=True,
    ),
    CurveSpec(
        "Ensemble/clipped_fraction_borrowed",
        "Clipped borrowed rows",
        "share of rows",
        "Borrowed rows whose importance ratio lies outside the clip range: they teach the leader nothing.",
        ensemble=True,
        share=True,
    ),
    CurveSpec(
        "Ensemble/awac_saturation",
        "AWAC saturation",
        "share of weights",
        "Share of advantage weights at their cap. Near 1 the weighting no longer tells good actions from bad ones.",
        ensemble=True,
        share=True,
    ),
    CurveSpec(
        "Discriminator/accuracy",
        "Discriminator accuracy",
        "accuracy",
        "How often the discriminator names the policy behind a sample; dotted: chance. At chance the policies "
        "visit the same states and actions.",
        ensemble=True,
        reference="Discriminator/chance",
        share=True,
    ),
)
OPTIMIZATION = (
    CurveSpec(
        "Optimization/learning_rate",
        "Learning rate",
        "learning rate",
        "The adaptive schedule keeps the update's KL near its target. Algorithms differ in speed through it, too.",
        log=True,
    ),
    CurveSpec("Optimization/kl", "Update KL", "KL(old, new) [nats]", "Size of one iteration's policy change."),
    CurveSpec("Optimization/grad_norm", "Gradient norm", "norm before clipping", "", log=True),
    CurveSpec(
        "Value/explained_variance",
        "Explained variance",
        "share of variance",
        "1: the critic predicts returns exactly; 0: no better than their mean.",
    ),
)
THROUGHPUT = (
    CurveSpec(
        "Perf/env_steps_per_s",
        "Throughput",
        "environment steps / s",
        "Collection and update together; hardware is listed below.",
    ),
)


def leader_extras(groups: Sequence[Group]) -> list[CurveSpec]:
    """Specifications for whatever else the environment reports about the leader, successes first."""
    tags = {tag for group in groups for run in group.runs for tag in run.metrics if tag.startswith("Leader/")}
    names = sorted((tag.removeprefix("Leader/") for tag in tags), key=lambda n: ("success" not in n, n))
    specs = []
    for name in names:
        if name in ("return", "std", "entropy"):
            continue  # the first has a figure of its own, the others are shown per policy
        plain = name.replace("_", " ")
        unit = "steps" if name == "episode_length" else f"{plain} per episode"
        if re.search(r"rate|share|fraction", name):
            unit = plain
        specs.append(CurveSpec(f"Leader/{name}", f"Leader {plain}", unit, LEADER_EXTRAS.caption))
    return specs


def curve_plates(groups: Sequence[Group], spec: CurveSpec, key: str, axes: Sequence[str]) -> list[Plate]:
    """Draws one metric of all groups of a task.

    Args:
        groups: Groups of one task.
        spec: What to draw.
        key: Prefix of the file names.
        axes: 'env_steps', 'wall_clock_s' or both.

    Returns:
        One plate per axis; a metric no group has gives one empty plate.
    """
    caption = " ".join(part for part in (spec.caption, _absent(groups, spec)) if part)
    slug = re.sub(r"\W+", "_", spec.tag).strip("_").lower()
    plates = []
    for axis in axes:
        bands = [(group, group.band(spec.tag, axis)) for group in groups]
        drawn = [(group, band) for group, band in bands if band is not None]
        suffix = "" if axis == "env_steps" else "_time"
        title = spec.title if axis == "env_steps" else f"{spec.title} over time"
        if not drawn:
            return [Plate(f"{key}-{slug}", spec.title, caption, None)]
        plates.append(Plate(f"{key}-{slug}{suffix}", title, caption, _curve_figure(groups, drawn, spec, axis, title)))
    return plates


def _absent(groups: Sequence[Group], spec: CurveSpec) -> str:
    """Which groups lack the metric, and whether that is a gap or the nature of an ensemble of one."""
    without = [group for group in groups if group.band(spec.tag) is None]
    single = [g.label for g in without if spec.ensemble and g.num_policies == 1 and any(r.metrics for r in g.runs)]
    missing = [g.label for g in without if g.label not in single]
    partial = [
        f"{g.label} ({sum(r.curve(spec.tag) is None for r in g.runs)} of {len(g.runs)} runs)"
        for g in groups
        if g not in without and any(r.curve(spec.tag) is None for r in g.runs)
    ]
    sentences = []
    if single:
        sentences.append(f"Does not apply to {', '.join(single)}: one policy.")
    bands = [(g.label, g.band(spec.tag)) for g in groups if g not in without]
    shortened = [label for label, band in bands if band is not None and band.complete < band.x.size]
    if shortened:
        sentences.append(f"Dotted continuation of {', '.join(shortened)}: a seed ended before the others.")
    if missing or partial:
        sentences.append(f"No data: {', '.join(missing + partial)}.")
    return " ".join(sentences)


def group_styles(groups: Sequence[Group]) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Colour and dashes of every group of a task, by label."""
    seen: Counter[str] = Counter()
    styles = {}
    for group in groups:
        styles[group.label] = style.color_of(group.algorithm, seen[group.algorithm])
        seen[group.algorithm] += 1
    return styles


def _curve_figure(
    groups: Sequence[Group], drawn: Sequence[tuple[Group, Band]], spec: CurveSpec, axis: str, title: str
) -> Figure:
    styles = group_styles(groups)
    longest = max(len(group.label) for group, _ in drawn)
    fig, axes = style.figure(right=float(np.clip(0.97 - 0.0195 * longest, 0.55, 0.86)))
    positive = [b.center[np.isfinite(b.center) & (b.center > 0)] for _, b in drawn]
    log = spec.log and any(p.size for p in positive)
    labels = []
    for group, band in drawn:
        color, dashes = styles[group.label]
        for x, y in band.seeds if len(band.seeds) > 1 else []:
            stride = max(1, len(x) // SEED_POINTS)
            axes.plot(x[::stride], y[::stride], color=color, linewidth=0.5, alpha=0.35)
        if np.isfinite(band.low).any():
            axes.fill_between(band.x, band.low, band.high, color=color, alpha=0.18, linewidth=0)
        draw_band(axes, band, color, dashes=dashes)
        reference = group.band(spec.reference, axis) if spec.reference else None
        if reference is not None:
            axes.plot(reference.x, reference.center, color=color, linestyle=":", linewidth=1.0)
        finite = np.isfinite(band.center)
        if finite.any():
            labels.append((band.x[finite][-1], band.center[finite][-1], group.label, color))
    if log:
        axes.set_yscale("log")
    elif spec.share:
        axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0.0)
    style.set_heading(axes, title, spec.unit)
    style.format_steps_axis(axes, axis)
    style.format_value_axis(axes, log=log)
    style.direct_labels(axes, labels)
    return fig


def draw_band(
    axes: Axes, band: Band, color: ColorType, *, dashes: tuple[float, ...] = (), width: float = 1.6, zorder: int = 2
) -> None:
    """Draws the center of a band, dotted from where a seed ended; a single point becomes a dot."""
    marker = "o" if band.complete == 1 else None
    all_seeds, rest = slice(0, band.complete), slice(max(0, band.complete - 1), None)
    axes.plot(
        band.x[all_seeds],
        band.center[all_seeds],
        color=color,
        dashes=dashes or (None, None),
        marker=marker,
        linewidth=width,
        zorder=zorder,
    )
    if band.complete < band.x.size:
        axes.plot(band.x[rest], band.center[rest], color=color, linewidth=0.7 * width, dashes=(1, 1), zorder=zorder)


def comparison_budget(groups: Sequence[Group], tag: str) -> float:
    """Environment steps that the longest run of every group with the metric has reached; NaN without any."""
    steps = [last for group in groups if np.isfinite(last := group.last_step(tag))]
    return min(steps, default=float("nan"))


def compare(groups: Sequence[Group], tag: str, title: str, key: str) -> list[Plate]:
    """Final scores of all groups at equal environment steps, and the probability that one beats another.

    Args:
        groups: Groups of one task.
        tag: Metric to compare.
        title: Its name.
        key: Prefix of the file names.

    Returns:
        The final-score plate and, for two or more groups of several seeds, the improvement plate.
    """
    budget = comparison_budget(groups, tag)
    scored = [(group, group.final_scores(tag, budget)) for group in groups] if np.isfinite(budget) else []
    scored = [(group, scores) for group, scores in scored if scores]
    if not scored:
        return []
    slug = re.sub(r"\W+", "_", tag).lower()
    early = [
        f"{group.label}: {len(group.runs) - len(scores)} of {len(group.runs)}"
        for group, scores in scored
        if len(scores) < len(group.runs)
    ]
    caption = (
        f"Mean of the last tenth before {style.engineering(budget)} environment steps, the most that every algorithm "
        "reached. Small dots: seeds; large dot: interquartile mean; bar: 95 % interval over seeds."
    )
    if early:
        caption += f" Runs without a score there (stopped early or not recorded): {'; '.join(early)}."
    plates = [
        Plate(f"{key}-{slug}-final", f"Final {title}", caption, _final_figure(groups, scored, tag, budget, title))
    ]
    repeated = [(group, scores) for group, scores in scored if len(scores) > 1]
    if len(repeated) > 1:
        text = (
            "Chance that a random run of the first beats a random run of the second. The dashed line is a coin toss; "
            "an interval that crosses it means the runs cannot tell."
        )
        if len(repeated) < len(scored):
            text += " Left out: algorithms with one seed."
        plates.append(
            Plate(
                f"{key}-{slug}-improvement", "Probability of improvement", text, _improvement_figure(groups, repeated)
            )
        )
    return plates


def improvement_pairs(scored: Sequence[tuple[Group, list[float]]]) -> list[tuple[Group, Group, Interval]]:
    """Probability of improvement of every group over every later one."""
    return [
        (first, second, probability_of_improvement_interval(a, b))
        for k, (first, a) in enumerate(scored)
        for second, b in scored[k + 1 :]
    ]


def _final_figure(
    groups: Sequence[Group], scored: Sequence[tuple[Group, list[float]]], tag: str, budget: float, title: str
) -> Figure:
    styles = group_styles(groups)
    fig, axes = style.rows_figure([group.label for group, _ in scored])
    for row, (group, scores) in enumerate(scored):
        color, _ = styles[group.label]
        interval = group.final(tag, budget)
        axes.plot(scores, [row] * len(scores), "o", color=color, markersize=3, alpha=0.5)
        if interval.has_bounds:
            axes.plot([interval.low, interval.high], [row, row], color=color, linewidth=2.4)
        axes.plot([interval.point], [row], "o", color=color, markersize=7)
    axes.set_xlabel(title.lower())
    axes.set_title(f"Final {title[0].lower()}{title[1:]}")
    style.format_number_axis(axes.xaxis, axes.get_xlim())
    return fig


def _improvement_figure(groups: Sequence[Group], scored: Sequence[tuple[Group, list[float]]]) -> Figure:
    styles = group_styles(groups)
    pairs = improvement_pairs(scored)
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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Figures of one ensemble: returns per policy, inter-policy KL maps, how much each follower's data is worth."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from cpo_lab.report import style
from cpo_lab.report.curves import Plate, draw_band
from cpo_lab.report.grouping import Group

Array = NDArray[np.float64]

PANELS = 6
"""Small multiples of the KL map."""
FRAMES = 24
"""Positions of the KL map's slider."""
_FLOOR = 1e-3
"""Smallest KL that is told apart in a map [nats]."""


@dataclass
class KlMaps:
    """KL matrices of a group over training, averaged over seeds."""

    steps: Array
    """Environment steps [F]."""
    matrices: Array
    """KL [F, M, M] in nats, row: policy that acted, column: policy compared with it; the leader is last."""
    num_seeds: int
    """Seeds averaged."""

    @property
    def limits(self) -> tuple[float, float]:
        """Range of the logarithmic colour scale [nats]."""
        off_diagonal = self.matrices[:, ~np.eye(self.matrices.shape[1], dtype=bool)]
        finite = off_diagonal[np.isfinite(off_diagonal)]
        high = max(float(finite.max(initial=0.0)), 10.0 * _FLOOR)
        low = float(np.clip(finite.min(initial=high), _FLOOR, high / 10.0))
        return low, high

    def payload(self, label: str) -> dict[str, object]:
        """Plain numbers for the page's script."""
        low, high = self.limits
        colors = [to_hex(c) for c in matplotlib.colormaps[style.KL_MAP](np.linspace(0.0, 1.0, 32))]
        rounded = [[[_significant(v) for v in row] for row in matrix] for matrix in self.matrices]
        steps = [style.engineering(s) for s in self.steps]
        return {"label": label, "steps": steps, "kl": rounded, "low": low, "high": high, "colors": colors}


def kl_maps(group: Group) -> KlMaps | None:
    """Collects the KL matrices of a group on common steps.

    Args:
        group: Runs of one configuration.

    Returns:
        The averaged matrices, or None if no run recorded any. Runs whose ensemble has another size than the first one's
        are left out.
    """
    runs = [run.snapshots for run in group.runs if run.snapshots]
    if not runs:
        return None
    size = runs[0][-1].kl_matrix.shape[0]
    series = []
    for snapshots in runs:
        kept = [s for s in snapshots if s.kl_matrix.shape[0] == size]
        if kept:
            series.append((np.array([s.env_steps for s in kept]), np.stack([s.kl_matrix for s in kept])))
    start = max(steps[0] for steps, _ in series)
    stop = max(start, max(steps[-1] for steps, _ in series))
    grid = np.unique(np.linspace(start, stop, min(FRAMES, max(len(steps) for steps, _ in series))))
    averaged = []
    for g in grid:
        # A seed that ended earlier no longer counts.
        reached = [(steps, matrices) for steps, matrices in series if g <= 1.01 * steps[-1]]
        averaged.append(np.mean([matrices[int(np.abs(steps - g).argmin())] for steps, matrices in reached], axis=0))
    return KlMaps(grid, np.stack(averaged), len(series))


def ensemble_plates(group: Group, key: str) -> list[Plate]:
    """All figures of one group with two or more policies.

    Args:
        group: Runs of one configuration.
        key: Prefix of the file names.

    Returns:
        Plates; an empty one for each kind of data that no run recorded.
    """
    size = group.num_policies
    seeds = "one seed" if len(group.runs) == 1 else f"interquartile mean of {len(group.runs)} seeds"
    followers = list(range(size - 1))
    plates = [
        _policies_plate(
            group,
            f"{key}-policy_returns",
            "Return of each policy",
            "return per episode",
            [(i, f"Policy_{i}/return") for i in range(size)],
            f"Every policy on its own environments ({seeds}); the leader is drawn in black.",
        ),
        _kl_plate(group, f"{key}-kl_maps"),
        _policies_plate(
            group,
            f"{key}-ess",
            "Effective sample size",
            "ESS / n",
            [(i, f"Ensemble/ess_{i}") for i in followers],
            f"What share of follower i's samples counts for the leader ({seeds}). 1: as good as the leader's own data.",
            limits=(-0.02, 1.02),
        ),
        _policies_plate(
            group,
            f"{key}-importance",
            "Importance-ratio spread",
            "mean |w - 1|",
            [(i, f"Ensemble/importance_deviation_{i}") for i in followers],
            f"Mean distance of the leader's importance ratio w from 1 on follower i's data ({seeds}). 0: same policy.",
        ),
        _policies_plate(
            group,
            f"{key}-importance_log_var",
            "Importance-ratio log-variance",
            "var(log w)",
            [(i, f"Ensemble/importance_log_var_{i}") for i in followers],
            f"Variance of log w on follower i's data ({seeds}); for equal spreads twice the KL in nats.",
            log=True,
        ),
        _policies_plate(
            group,
            f"{key}-std",
            "Action noise of each policy",
            "standard deviation",
            [(i, f"Policy_{i}/std") for i in range(size)],
            f"Mean standard deviation of the actions, before clamping ({seeds}).",
        ),
    ]
    return plates


def policy_name(index: int, size: int) -> str:
    """'leader' for the last policy, otherwise the follower's number."""
    return "leader" if index == size - 1 else f"follower {index}"


def _policies_plate(
    group: Group,
    key: str,
    title: str,
    unit: str,
    tags: list[tuple[int, str]],
    caption: str,
    *,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> Plate:
    """One line per policy, with direct labels."""
    size = group.num_policies
    bands = [(index, group.band(tag, bounds=False)) for index, tag in tags]
    drawn = [(index, band) for index, band in bands if band is not None]
    title = (
        f"{group.label}: {title[0].lower()}{title[1:]}" if not title.startswith("Effective") else f"{group.label}: ESS"
    )
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
    if log and any((band.center > 0).any() for _, band in drawn):
        axes.set_yscale("log")
    if limits:
        axes.set_ylim(*limits)
    axes.set_xlim(left=0.0)
    style.set_heading(axes, title, unit)
    style.format_steps_axis(axes, "env_steps")
    style.format_value_axis(axes, log=axes.get_yscale() == "log")
    style.direct_labels(axes, labels)
    return Plate(key, title, caption, fig)


def _kl_plate(group: Group, key: str) -> Plate:
    """Small multiples of the KL map over training."""
    title = f"{group.label}: inter-policy KL maps"
    caption = (
        "KL(row || column) in nats on the row policy's states, logarithmic colour; L is the leader. A bright row or "
        "column is a policy that left the others."
    )
    maps = kl_maps(group)
    if maps is None:
        return Plate(key, title, f"{caption} No data: {group.label}.", None)
    if maps.num_seeds < len(group.runs):
        caption += f" Recorded by {maps.num_seeds} of {len(group.runs)} runs."
    chosen = np.unique(np.linspace(0, len(maps.steps) - 1, PANELS).round().astype(int))
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 0.48 + 1.3 * rows
    fig = Figure(figsize=(style.WIDTH, height))
    FigureCanvasAgg(fig)
    fig.suptitle(title, x=0.02, y=1 - 0.06 / height, ha="left", va="top", fontsize=9.5, fontweight="bold")
    low, high = maps.limits
    cell = 0.81 / 3
    size = maps.matrices.shape[1]
    ticks = [str(i) if i < size - 1 else "L" for i in range(size)]
    image = None
    for number, frame in enumerate(chosen):
        row, column = divmod(number, columns)
        bottom = (height - 0.48 - 1.3 * (row + 1) + 0.24) / height
        axes = fig.add_axes((0.065 + cell * column, bottom, cell * 0.86, 0.93 / height))
        shown = np.where(np.eye(size, dtype=bool), np.nan, np.maximum(maps.matrices[frame], low))
        image = axes.imshow(shown, norm=LogNorm(low, high), cmap=style.KL_MAP, aspect="equal")
        axes.grid(visible=False)
        axes.set_title(
            f"{style.engineering(maps.steps[frame])} steps", fontsize=8, fontweight="normal", loc="center", pad=3
        )
        step = max(1, size // 8)
        axes.set_xticks(range(0, size, step), ticks[::step], fontsize=8)
        axes.set_yticks(range(0, size, step), ticks[::step], fontsize=8)
        axes.tick_params(length=0, pad=1.5)
        axes.spines[:].set_visible(False)
        axes.set_facecolor("#efefef")
    assert image is not None
    scale = fig.add_axes((0.88, 0.24 / height, 0.022, 1 - 0.97 / height))
    bar = fig.colorbar(image, cax=scale)
    bar.ax.tick_params(labelsize=8)
    bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.compact(value)))
    bar.ax.set_title("nats", fontsize=8, fontweight="normal", loc="center")
    return Plate(key, title, caption, fig)


def _significant(value: float) -> float | None:
    """Three significant digits; None for a value JSON cannot hold."""
    return float(f"{value:.3g}") if np.isfinite(value) else None

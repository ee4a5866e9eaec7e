# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Maps of the inter-policy KL of one ensemble over training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from cpo_lab.report import style
from cpo_lab.report.grouping import Group
from cpo_lab.report.plates import Plate
from cpo_lab.viewing.kl_colors import KL_MAP, kl_limits, kl_palette
from cpo_rl.formatting import format_count

Array = NDArray[np.float64]

PANELS = 6
"""Small multiples of the KL map."""
FRAMES = 24
"""Positions of the KL map's slider."""


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
        return kl_limits(self.matrices)

    def payload(self, label: str) -> dict[str, object]:
        """Plain numbers for the page's script."""
        low, high = self.limits
        rounded = [[[_significant(v) for v in row] for row in matrix] for matrix in self.matrices]
        steps = [format_count(s) for s in self.steps]
        return {"label": label, "steps": steps, "kl": rounded, "low": low, "high": high, "colors": kl_palette()}


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


def kl_plate(group: Group, maps: KlMaps | None, key: str) -> Plate:
    """Small multiples of a group's KL map over training; an empty plate without one."""
    title = f"{group.label}: inter-policy KL maps"
    caption = (
        "KL(row || column) in nats on the row policy's states, logarithmic colour; L is the leader. A bright row or "
        "column is a policy that left the others."
    )
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
    fig.suptitle(
        title, x=0.02, y=1 - 0.06 / height, ha="left", va="top", fontsize=9.5, fontweight="bold", parse_math=False
    )
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
        image = axes.imshow(shown, norm=LogNorm(low, high), cmap=KL_MAP, aspect="equal")
        axes.grid(visible=False)
        axes.set_title(f"{format_count(maps.steps[frame])} steps", fontsize=8, fontweight="normal", loc="center", pad=3)
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

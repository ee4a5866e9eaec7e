# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look of the figures: one palette, direct labels instead of legends, axes with units, SVG and PNG from one source."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.typing import ColorType

# Okabe and Ito's palette, distinguishable with the common kinds of colour blindness. Algorithms keep their colour in
# all figures of all reports; configurations beyond them take the remaining ones.
_ALGORITHM_COLORS = {"cpo": "#0072B2", "sapg": "#D55E00", "pbt": "#009E73", "ppo": "#B65D94"}
_OTHER_COLORS = ("#E69F00", "#5F4B8B", "#117733", "#882255", "#56B4E9", "#7A5C00", "#555555")
_DASHES = ((), (5, 1.5), (2, 1.2), (6, 1.5, 1.5, 1.5))
LEADER_COLOR = "#1b1b1b"
"""The leader among its followers."""
FOLLOWER_MAP = "viridis"
"""Colour map of the follower index, from 0.05 to 0.80 of its range, so that the lightest is still readable on white."""

WIDTH, HEIGHT = 3.9, 2.7
"""Size in inches: 374 CSS pixels wide, so that a phone shows the figure at its natural size."""

SMALLEST_SPAN = 0.01
"""Least height of an axis as a share of its values: less change is not worth seeing, and ticks would need 7 digits."""

SVG_PROLOG = '<?xml version="1.0" encoding="utf-8"?>\n'
"""Start of a stand-alone SVG file."""

_RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,
    "axes.labelsize": 8.5,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "cpo_lab",
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
}


@contextmanager
def styled() -> Iterator[None]:
    """Applies the report's settings to figures made inside, and to nothing else in the process."""
    with matplotlib.rc_context(_RC):
        yield


def figure(height: float = HEIGHT, right: float = 0.82) -> tuple[Figure, Axes]:
    """A figure with one pair of axes and a margin for direct labels.

    Args:
        height: Height in inches.
        right: Right edge of the axes as a share of the width.

    Returns:
        Figure and axes. The figure is unknown to pyplot, so it is freed when it goes out of scope.
    """
    fig = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(fig)
    left, bottom, top = 0.135, 0.45 / height, 1.0 - 0.45 / height
    axes = fig.add_axes((left, bottom, right - left, top - bottom))
    _fix_labels(axes)
    return fig, axes


def _fix_labels(axes: Axes) -> None:
    """Puts the labels of both axes where they belong; to find that out, all ticks are measured at every drawing."""
    height = axes.bbox.height / axes.figure.dpi
    axes.xaxis.set_label_coords(0.5, -0.25 / height)
    axes.yaxis.set_label_coords(0.0, 0.5)


def _cut(text: str, length: int) -> str:
    """Text that fits a figure's width; its caption has the whole of it."""
    return text if len(text) <= length else text[: length - 1] + "…"


def set_heading(axes: Axes, title: str, unit: str) -> None:
    """Title and, below it, what the vertical axis measures: level text is read faster than text on its side.

    Both begin at the left edge of the figure, where there is room for long names.
    """
    left = -axes.get_position().x0 / axes.get_position().width + 0.01
    height = axes.bbox.height / axes.figure.dpi
    shared: dict[str, Any] = {"transform": axes.transAxes, "ha": "left", "va": "bottom", "parse_math": False}
    size = float(np.clip(9.5 * 46 / max(1, len(title)), 8.0, 9.5))
    axes.text(left, 1.0 + 0.24 / height, _cut(title, 54), fontsize=size, fontweight="bold", **shared)
    axes.text(left, 1.0 + 0.085 / height, _cut(unit, 60), fontsize=8.2, color="#555555", **shared)


def colors_of(algorithms: Sequence[str]) -> list[tuple[str, tuple[float, ...]]]:
    """Colour and dash pattern of every group of a task.

    Args:
        algorithms: Preset name of each group; an algorithm may come in several configurations.

    Returns:
        Colour as hex and dash pattern in points (empty: solid). The first configuration of an algorithm has the colour
        that the algorithm has in all reports, the others take colours that are left and are dashed.
    """
    styles: list[tuple[str, tuple[float, ...]]] = []
    for k, algorithm in enumerate(algorithms):
        number = algorithms[:k].count(algorithm)
        start = 0 if algorithm in _ALGORITHM_COLORS else sum(map(ord, algorithm)) % len(_OTHER_COLORS)
        choice = [*_OTHER_COLORS[start:], *_OTHER_COLORS[:start]]
        if number == 0 and algorithm in _ALGORITHM_COLORS:
            choice.insert(0, _ALGORITHM_COLORS[algorithm])
        taken = [color for color, _ in styles]
        color = min(choice, key=taken.count)  # the first of those that are used least
        patterns = [_DASHES[(number + i) % len(_DASHES)] for i in range(len(_DASHES))]
        styles.append((color, next((p for p in patterns if (color, p) not in styles), patterns[0])))
    return styles


def follower_color(index: int, num_policies: int) -> tuple[float, float, float, float]:
    """Colour of a policy of an ensemble; the leader (last) is nearly black."""
    if index == num_policies - 1:
        return matplotlib.colors.to_rgba(LEADER_COLOR)
    share = index / max(1, num_policies - 2)
    return matplotlib.colormaps[FOLLOWER_MAP](0.05 + 0.75 * share)


def direct_labels(axes: Axes, labels: Sequence[tuple[float, float, str, ColorType]], size: float = 8.0) -> None:
    """Writes the names of curves at their right ends, moved apart where they would overlap.

    Args:
        axes: Axes whose limits are final.
        labels: For each curve the last x, the last y, the text and the colour.
        size: Font size in points.
    """
    if not labels:
        return
    gap = size * 1.15 * axes.figure.dpi / 72.0
    low, top = axes.transAxes.transform((0.0, 0.0))[1], axes.transAxes.transform((0.0, 1.0))[1]
    high = top - 0.4 * gap
    wanted = [float(np.clip(axes.transData.transform((x, y))[1], low, high)) for x, y, _, _ in labels]
    order = np.argsort(wanted, kind="stable")
    placed = np.array(wanted)[order]
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    overshoot = max(0.0, placed[-1] - high)
    placed -= overshoot
    for k in range(len(placed) - 2, -1, -1):
        placed[k] = min(placed[k], placed[k + 1] - gap)
    for position, k in zip(placed, order, strict=True):
        _, _, text, color = labels[k]
        axes.text(
            1.02,
            (position - low) / (top - low),
            text,
            transform=axes.transAxes,
            color=_readable(color),
            fontsize=size,
            va="center",
            parse_math=False,
        )


def _readable(color: ColorType) -> tuple[float, float, float]:
    """Darkens a light line colour until it has a contrast of 4.5 to 1 on white, as text needs."""
    rgb = np.array(to_rgb(color))
    while _luminance(rgb) > 1.05 / 4.5 - 0.05:
        rgb = rgb * 0.94
    return float(rgb[0]), float(rgb[1]), float(rgb[2])


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def format_steps_axis(axes: Axes, axis: str) -> None:
    """Ticks and unit of the horizontal axis.

    Args:
        axes: Axes with final data.
        axis: 'env_steps' or 'wall_clock_s'.
    """
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if axis == "env_steps":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("environment steps")
        return
    span = axes.get_xlim()[1]
    unit, seconds = ("h", 3600.0) if span > 2 * 3600 else ("min", 60.0) if span > 120 else ("s", 1.0)
    axes.xaxis.set_major_locator(_ScaledLocator(seconds))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / seconds:g}"))
    axes.set_xlabel(f"wall-clock time [{unit}]")


def format_value_axis(axes: Axes, *, log: bool) -> None:
    """Ticks of the vertical axis: few, round, with k, M for large numbers."""
    if log:
        low, high = axes.get_ylim()
        narrow = high / low < 100.0
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
        axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0) if narrow else (1.0,)))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: compact(value)) if narrow else NullFormatter())
        axes.grid(visible=True, which="minor", axis="y", linewidth=0.3)
        return
    low, high = axes.get_ylim()
    middle, least = (low + high) / 2.0, SMALLEST_SPAN * max(abs(low), abs(high))
    if high - low < least:
        axes.set_ylim(middle - least / 2.0, middle + least / 2.0)
    format_number_axis(axes.yaxis, axes.get_ylim())


def format_number_axis(axis: Axis, limits: tuple[float, float]) -> None:
    """Few round ticks, with k and M for large numbers; small ones keep their exponent, which has no room elsewhere."""
    axis.set_major_locator(MaxNLocator(5))
    if max(map(abs, limits)) >= 10_000:
        axis.set_major_formatter(EngFormatter(sep=""))
    elif max(map(abs, limits)) < 2e-3:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _small(value)))


def _small(value: float) -> str:
    """A tick of a narrow axis in few characters: -1.5e-4, 0."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


def compact(value: float) -> str:
    """A tick of a logarithmic axis in few characters: 0.02, 1, 500, 2e-4, 1e5."""
    if 1e-2 <= value < 1e4:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def rows_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with one labelled row per name, first on top.

    Args:
        names: Row labels.

    Returns:
        Figure and axes; row k is at y = k.
    """
    height = 0.95 + 0.3 * len(names)
    fig, axes = figure(height=height, right=0.96)
    left = min(0.5, 0.05 + 0.0185 * max(map(len, names)))
    axes.set_position((left, 0.44 / height, 0.96 - left, 1.0 - 0.78 / height))
    _fix_labels(axes)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return fig, axes


class _ScaledLocator(MaxNLocator):
    """Round ticks in a multiple of the data's unit, e.g. whole minutes over seconds."""

    def __init__(self, scale: float) -> None:
        super().__init__(5, steps=[1, 2, 2.5, 5, 10])
        self._scale = scale

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        ticks = super().tick_values(vmin / self._scale, vmax / self._scale)
        return [float(tick) * self._scale for tick in ticks]


def svg_of(fig: Figure, name: str) -> str:
    """The figure as an SVG element to be placed in HTML.

    Args:
        fig: The figure.
        name: Prefix that makes the ids in it unique on the page.

    Returns:
        The svg element, without XML prolog, text kept as text.
    """
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return re.sub(r'(\bid="|href="#|url\(#)', lambda match: f"{match.group(1)}{name}-", text)


def png_of(fig: Figure) -> bytes:
    """The figure as a PNG at 180 dots per inch, 700 pixels wide."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=180, metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    return buffer.getvalue()

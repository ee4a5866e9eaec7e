# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Captioned figures, and what all of them draw alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from cpo_lab.report import style
from cpo_lab.report.grouping import Band

LONGEST_NAME = 80
"""Characters of a file name that a metric's tag may take."""


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
    advice: tuple[str, ...] = ()
    """What to change where its curves look wrong, a sentence for each group."""
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


def file_name(text: str) -> str:
    """Text in characters that suit file names and anchors; different texts may get the same one."""
    return re.sub(r"\W+", "-", text).strip("-").lower()[:LONGEST_NAME]


def tag_name(tag: str) -> str:
    """A metric's tag in characters that suit file names."""
    return file_name(tag.replace("<i>", "")).replace("-", "_").replace("__", "_").strip("_")


def inside_title(title: str) -> str:
    """A title as it stands behind other words; abbreviations keep their capitals."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


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


def is_drawn_logarithmic(bands: list[Band]) -> bool:
    """Whether a logarithmic axis has anything to show."""
    return any((band.center > 0).any() for band in bands)

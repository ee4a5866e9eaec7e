# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Colours of KL divergences, alike in report, terminal, web page and viewers: logarithmic, readable in grey."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

KL_MAP = "cividis"
"""Colour map of matplotlib: made for colour-blind readers."""

FLOOR = 1e-3
"""Smallest KL that is told apart [nats]."""


def kl_limits(matrices: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of the logarithmic colour scale [nats].

    Args:
        matrices: KL [..., M, M]; the diagonal does not count.
    """
    off_diagonal = matrices[..., ~np.eye(matrices.shape[-1], dtype=bool)]
    finite = off_diagonal[np.isfinite(off_diagonal)]
    high = max(float(finite.max(initial=0.0)), 10.0 * FLOOR)
    low = float(np.clip(finite.min(initial=high), FLOOR, high / 10.0))
    return low, high


@functools.cache
def kl_palette(size: int = 32) -> list[str]:
    """Return the colours of the scale from its low to its high end, as ``#rrggbb``."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in matplotlib.colormaps[KL_MAP](np.linspace(0.0, 1.0, size))]


def kl_share(value: float, limits: tuple[float, float]) -> float:
    """Return where a KL lies on the scale, from 0 to 1; 0 for what is no number."""
    low, high = limits
    if not value > low:
        return 0.0
    return min(math.log(value / low) / math.log(high / low), 1.0)


def kl_color(value: float, limits: tuple[float, float]) -> str:
    """Return the colour of a KL as ``#rrggbb``."""
    palette = kl_palette()
    return palette[round(kl_share(value, limits) * (len(palette) - 1))]


def kl_ink(value: float, limits: tuple[float, float]) -> str:
    """Return the colour that is readable on :func:`kl_color` as ``#rrggbb``."""
    return "#ffffff" if kl_share(value, limits) < 0.55 else "#000000"

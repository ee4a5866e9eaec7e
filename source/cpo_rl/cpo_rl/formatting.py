# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Numbers and policies as people read them, alike in console, tables and reports."""

from __future__ import annotations

import math


def format_duration(seconds: float, unknown: str = "?") -> str:
    """Return seconds as ``42 s``, ``3 min 07 s``, ``5 h 03 min`` or ``2 d 04 h``; ``unknown`` when not finite."""
    if not math.isfinite(seconds):
        return unknown
    minutes, s = divmod(round(max(seconds, 0.0)), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h:02d} h"
    if hours:
        return f"{hours} h {m:02d} min"
    return f"{minutes} min {s:02d} s" if minutes else f"{s} s"


def format_count(value: float) -> str:
    """Return a count with three digits and a unit: ``950``, ``12.3 k``, ``4.57 M``, ``20 G``."""
    rounded = float(f"{value:.3g}")
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(rounded) >= size:
            return f"{rounded / size:.3g}{unit}"
    return f"{value:.0f}"


def format_number(value: float, digits: int = 3, unknown: str = "-") -> str:
    """Return a number with a few significant digits and no exponent for everyday sizes; ``unknown`` if not finite."""
    if not math.isfinite(value):
        return unknown
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


def format_or_blank(value: float | None, form: str = ".4g") -> str:
    """Return a number in a format of Python's, nothing for None: the cell of a table."""
    return "" if value is None else format(value, form)


def policy_name(policy: int, num_policies: int) -> str:
    """Return what a policy is called: ``leader`` (also the only one) or ``follower 3``."""
    return "leader" if policy == num_policies - 1 else f"follower {policy}"

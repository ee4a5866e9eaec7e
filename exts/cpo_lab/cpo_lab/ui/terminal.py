# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs in a terminal: a panel each, side by side where there is room."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import batched

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cpo_lab.ui.health import HEALTH_COLORS
from cpo_lab.ui.state import RunState, Watch
from cpo_lab.viewing.captions import policy_color
from cpo_lab.viewing.kl_colors import kl_color, kl_limits, kl_share
from cpo_rl.formatting import format_number
from cpo_rl.runs.metric_names import HEADLINE, find

PANEL_WIDTH = 76
"""Columns of a run's panel [characters]; side by side where the terminal has room for two."""

_BARS = "▁▂▃▄▅▆▇█"


def follow(watch: Watch, interval_s: float, console: Console | None = None) -> None:
    """Show runs until all have ended; where nothing can be drawn, once.

    Args:
        watch: The runs.
        interval_s: Time between two looks [s].
        console: Where to show them; the process's standard output by default.
    """
    console = console or Console()
    states = watch.read()
    if not console.is_terminal:
        console = Console(file=console.file, width=max(console.width, PANEL_WIDTH), highlight=False)
        console.print(picture(states, console.width, None))
        return
    with Live(console=console, auto_refresh=False, screen=False, vertical_overflow="ellipsis") as live:
        while True:
            live.update(picture(states, console.width, console.height), refresh=True)
            if all(state.health != "running" for state in states):
                return
            time.sleep(watch.pause_s(interval_s))
            states = watch.read()


def picture(states: Sequence[RunState], width: int, height: int | None) -> RenderableType:
    """Draw runs.

    Args:
        states: The runs.
        width: Columns of the terminal [characters].
        height: Its lines; None for as many as it takes. Where all panels do not fit, each run gets three lines.
    """
    side_by_side = min(max(width // PANEL_WIDTH, 1), len(states))
    rows = list(batched(states, side_by_side))
    needed = sum(max(_lines(state) for state in row) for row in rows)
    brief = height is not None and needed > height
    grid = Table.grid(expand=False, padding=0)
    for _ in range(side_by_side):
        grid.add_column(width=min(width // side_by_side, 2 * PANEL_WIDTH))
    for row in rows:
        grid.add_row(*(_panel(state, brief=brief) for state in row))
    return grid


def _lines(state: RunState) -> int:
    """Lines of a run's panel, about."""
    matrix = 0 if state.kl is None else len(state.kl) + 3
    return 7 + len(state.problems) + len(state.table() and state.policies) + matrix + 2


def _panel(state: RunState, *, brief: bool) -> Panel:
    bar = Table.grid(expand=True)  # a bar ends without a line break, so it needs a row of its own
    bar.add_row(ProgressBar(total=1.0, completed=state.share))
    parts: list[RenderableType] = [
        Text(state.heading, overflow="ellipsis", no_wrap=True),
        Text.assemble((state.health, HEALTH_COLORS[state.health]), f" · {state.progress}"),
        bar,
    ]
    if not brief:
        parts += [Text(problem, style="yellow") for problem in state.problems]
        parts += [part for part in (_curve(state), _policies(state), _heat_map(state)) if part is not None]
    return Panel(Group(*parts), title=Text(state.name), title_align="left")


def _curve(state: RunState) -> RenderableType | None:
    """The headline metric over training in one line."""
    metric = next((find(tag) for tag in HEADLINE if tag in state.curves.last), None)
    if metric is None:
        return None
    values = state.curves.metrics[metric.tag]
    values = values[np.isfinite(values)]
    last = metric.text(state.curves.last[metric.tag])
    span = f"{metric.text(float(values.min()))} to {metric.text(float(values.max()))}"
    return Text(f"{metric.title} {last}  {sparkline(values, 24)}  {span}", no_wrap=True, overflow="ellipsis")


def sparkline(values: NDArray[np.float64], width: int) -> str:
    """Draw finite values with eight heights, the newest on the right, averaged into at most ``width`` letters."""
    if not values.size:
        return ""
    means = [float(part.mean()) for part in np.array_split(values, min(width, values.size))]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


def _policies(state: RunState) -> RenderableType | None:
    """One row per policy: its name in its colour and the last value of everything that is known of it."""
    columns = state.table()
    if not columns:
        return None
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("policy")
    for label in columns:
        table.add_column(label, justify="right")
    for policy, name in enumerate(state.policies):
        cells = [_number(values[policy]) for values in columns.values()]
        table.add_row(_name(policy, state.num_policies, name), *cells)
    return table


def _heat_map(state: RunState) -> RenderableType | None:
    """The newest KL matrix with a background colour per cell; numbers up to eight policies."""
    if state.kl is None:
        return None
    size, limits = state.num_policies, kl_limits(state.kl)
    numbers = size <= 8
    table = Table.grid(padding=0)
    table.add_column(no_wrap=True)
    for _ in range(size):
        table.add_column(justify="center", width=7 if numbers else 2)
    short = [name.replace("follower ", "F").replace("leader", "L") for name in state.policies]
    table.add_row("", *(short if numbers else [name[:2] for name in short]), style="dim")
    for row, name in enumerate(state.policies):
        cells = [Text("") if row == column else _cell(state.kl[row, column], limits, numbers) for column in range(size)]
        table.add_row(Text.assemble(_name(row, size, name), " "), *cells)
    steps = f"{state.snapshots[-1].env_steps:,.0f}"
    return Group(Text(f"KL(row | column) in nats after {steps} steps", style="dim"), table)


def _cell(value: float, limits: tuple[float, float], number: bool) -> Text:
    ink = "black" if kl_share(value, limits) > 0.55 else "white"
    text = format_number(value, unknown="?") if number else ""
    return Text(text.center(7 if number else 2), style=f"{ink} on {kl_color(value, limits)}")


def _name(policy: int, num_policies: int, name: str) -> Text:
    red, green, blue = policy_color(policy, num_policies)
    return Text(f"● {name}", style=f"{'bold ' if policy == num_policies - 1 else ''}rgb({red},{green},{blue})")


def _number(value: float | None) -> str:
    return "-" if value is None else format_number(value)

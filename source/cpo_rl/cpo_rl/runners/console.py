# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What people see while a run trains: a live panel on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cpo_rl.formatting import format_count, format_duration
from cpo_rl.runs.metric_names import shown_while_training

_SHOWN = shown_while_training()


def _texts(metrics: Mapping[str, float]) -> dict[str, str | None]:
    """Return label to value of what is shown; None where no metric of that label is there."""
    found = {label: next((row for row in rows if row.tag in metrics), None) for label, rows in _SHOWN.items()}
    return {label: None if row is None else row.text(metrics[row.tag]) for label, row in found.items()}


class ProgressDisplay:
    """Progress of one run.

    Args:
        mode: ``auto``, ``plain`` or ``off``.
        interval_s: Least time between lines where nothing is drawn [s].
        console: Where to print; the process's standard output by default.
    """

    def __init__(self, mode: str = "auto", interval_s: float = 10.0, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._quiet = mode == "off"
        self._draws = mode == "auto" and self._console.is_terminal
        self._interval_s = interval_s
        self._live: Live | None = None
        self._last_line = -math.inf
        self._title = ""
        self._known: dict[str, float] = {}

    def start(self, title: str) -> None:
        """Begin to draw, with ``title`` as the panel's heading."""
        self._title = title
        if self._draws and self._live is None:
            self._live = Live(Text("collecting the first rollout ..."), console=self._console, refresh_per_second=4)
            self._live.start()

    def update(self, iteration: int, total: int, env_steps: int, left_s: float, metrics: Mapping[str, float]) -> None:
        """Show the state after a finished iteration.

        Args:
            iteration: Finished iterations.
            total: Iterations of the whole run.
            env_steps: Environment steps so far.
            left_s: Estimated time left [s]; not finite when unknown.
            metrics: Values by tag.
        """
        if self._quiet:
            return
        # the KL comes every few iterations only; its last value is worth more than a gap
        self._known.update({name: value for name, value in metrics.items() if math.isfinite(value)})
        metrics = self._known
        if self._live is not None:
            self._live.update(self._panel(iteration, total, env_steps, left_s, metrics))
            return
        due = time.monotonic() - self._last_line >= self._interval_s
        if due or iteration >= total:
            self._last_line = time.monotonic()
            parts = [f"{label} {text}" for label, text in _texts(metrics).items() if text is not None]
            head = f"iteration {iteration}/{total} · {format_count(env_steps)} steps"
            self._console.print(" · ".join([head, *parts, f"{format_duration(left_s)} left"]), markup=False)

    def message(self, text: str) -> None:
        """Print a sentence that must be seen, above the panel; also in quiet mode."""
        self._console.print(text, markup=False)

    def stop(self) -> None:
        """Stop drawing and leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _panel(self, iteration: int, total: int, env_steps: int, left_s: float, metrics: Mapping[str, float]) -> Panel:
        grid = Table.grid(padding=(0, 3))
        for label, text in _texts(metrics).items():
            grid.add_row(label, text or "–")
        grid.add_row("steps", format_count(env_steps))
        grid.add_row("iteration", f"{iteration} of {total}")
        grid.add_row("time left", format_duration(left_s))
        panel = Table.grid(expand=True)  # a bar ends without a line break, so it needs a row of its own
        panel.add_row(ProgressBar(total=max(total, 1), completed=iteration))
        panel.add_row(grid)
        return Panel(panel, title=self._title or None)

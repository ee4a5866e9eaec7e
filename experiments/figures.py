# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tables and figures of the experiments without a simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

from cpo_lab.report import style
from cpo_lab.report.grouping import display_name
from cpo_lab.report.statistics import Interval, bootstrap_interval, interval_text, mean
from experiments.toys import Row

if TYPE_CHECKING:
    from experiments.hands import Point

Setting = tuple[str, float]
"""Algorithm and target [nat]."""


def _groups(rows: Sequence[Row], task: str, num_envs: int | None = None) -> dict[Setting, list[Row]]:
    """Runs of a task by setting, in the order they were met."""
    groups: dict[Setting, list[Row]] = {}
    for row in rows:
        if row.task == task and num_envs in (None, row.num_envs):
            groups.setdefault((row.algorithm, row.target_kl), []).append(row)
    return groups


def _tasks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.task for row in rows))


def _interval(rows: Sequence[Row], value: Callable[[Row], float | None]) -> Interval:
    return bootstrap_interval([v for row in rows if (v := value(row)) is not None], mean)


def _name(setting: Setting) -> str:
    return f"`{setting[0]}`" + (f" at {setting[1]:g}" if setting[1] else "")


def _cells(group: Sequence[Row]) -> list[str]:
    """Columns that both tables have."""
    thousands = _interval(group, lambda row: row.transitions / 1000.0)
    at_least = _at_least(group)
    return [
        f"{sum(row.solved for row in group)} of {len(group)}",
        at_least + interval_text(thousands, "{:.0f}".format),
        *(interval_text(_interval(group, pick), "{:.2f}".format, "") for pick in (_kl, _ess, _return)),
    ]


def _at_least(group: Sequence[Row]) -> str:
    """What stands before a mean that counts runs which were not solved with what they made."""
    return "" if all(row.solved for row in group) else ">= "


def _kl(row: Row) -> float | None:
    return row.policy_kl


def _ess(row: Row) -> float | None:
    return row.ess_pooled


def _return(row: Row) -> float:
    return row.final_return


_COLUMNS = ["solved", "transitions to solve [thousand]", "KL between policies [nat]", "ESS", "return at the end"]


def _markdown(header: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *lines])


def diversity_table(rows: Sequence[Row]) -> str:
    """Markdown: a line per task and setting; means over seeds with 95 % intervals."""
    lines = []
    for task in _tasks(rows):
        for setting, group in sorted(_groups(rows, task).items(), key=lambda item: (item[0][1] == 0.0, item[0][1])):
            held = interval_text(_interval(group, lambda row: row.coupling_kl), "{:.3g}".format, "")
            lines.append([f"`{task}`", _name(setting), *_cells(group), held])
    return _markdown(["task", "setting", *_COLUMNS, "KL held [nat]"], lines)


def scale_table(rows: Sequence[Row]) -> str:
    """Markdown: a line per task, number of environments and algorithm."""
    lines = []
    for task in _tasks(rows):
        for num_envs in sorted({row.num_envs for row in rows if row.task == task}):
            for setting, group in _groups(rows, task, num_envs).items():
                iterations = interval_text(_interval(group, lambda row: float(row.iterations)), "{:.0f}".format)
                iterations = _at_least(group) + iterations
                lines.append([f"`{task}`", f"{num_envs:,}", _name(setting), iterations, *_cells(group)])
    return _markdown(["task", "environments", "algorithm", "iterations to solve", *_COLUMNS], lines)


def _panels(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    fig = Figure(figsize=(2.75 * columns + 0.9, 2.1 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, squeeze=False, sharex="col")


def _legend(fig: Figure, panels: np.ndarray) -> None:
    """Name the curves below the panels, in as many columns as there is room for."""
    handles, labels = panels[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 2 * panels.shape[1]), frameon=False)


def _band(axes: Axes, x: Sequence[float], intervals: Sequence[Interval], color: str, label: str | None = None) -> None:
    axes.plot(x, [i.point for i in intervals], color=color, marker="o", markersize=3.5, label=label)
    axes.fill_between(x, [i.low for i in intervals], [i.high for i in intervals], color=color, alpha=0.18, linewidth=0)


_REFERENCES = {"cpo": "#D55E00", "sapg_double_steps": "#009E73", "sapg": "#777777"}
_REGULATED = "#0072B2"


def diversity(rows: Sequence[Row]) -> Figure:
    """Transitions to solve, effective sample size and achieved KL over the target, one column per task."""
    tasks = _tasks(rows)
    quantities: list[tuple[str, Callable[[Row], float | None]]] = [
        ("transitions to solve, or made", lambda row: float(row.transitions)),
        ("effective sample size [share]", _ess),
        ("KL between policies [nat]", _kl),
    ]
    with style.styled():
        fig, panels = _panels(len(quantities), len(tasks))
        for column, task in enumerate(tasks):
            groups = _groups(rows, task)
            targets = sorted(target for name, target in groups if name == "cpo_regulated")
            for line, (title, value) in enumerate(quantities):
                axes = panels[line, column]
                swept = [_interval(groups["cpo_regulated", target], value) for target in targets]
                _band(axes, targets, swept, _REGULATED, "cpo_regulated")
                for name, color in _REFERENCES.items():
                    if (name, 0.0) in groups:
                        reference = _interval(groups[name, 0.0], value)
                        axes.axhline(reference.point, color=color, linewidth=1.2, dashes=(4, 1.5), label=name)
                        axes.axhspan(reference.low, reference.high, color=color, alpha=0.08, linewidth=0)
                _targets_axis(axes)
                if line == 0:
                    count = min(len(group) for group in groups.values())
                    axes.set_title(f"{task}, {count} seeds" if count > 1 else f"{task}, 1 seed")
                    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
                    axes.set_ylim(bottom=0.0)
                if title.startswith("KL"):
                    axes.set_yscale("log")
                    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.compact(v)))
                if column == 0:
                    axes.set_ylabel(title)
            panels[-1, column].set_xlabel("target KL to the leader [nat]")
        _legend(fig, panels)
    return fig


def _targets_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: style.compact(v)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def scale(rows: Sequence[Row]) -> Figure:
    """Iterations and transitions to solve over the number of environments, one column per task."""
    tasks = _tasks(rows)
    settings = list(dict.fromkeys((row.algorithm, row.target_kl) for row in rows))
    quantities: list[tuple[str, Callable[[Row], float | None]]] = [
        ("iterations to solve, or made", lambda row: float(row.iterations)),
        ("transitions to solve, or made", lambda row: float(row.transitions)),
        ("share of seeds solved", lambda row: float(row.solved)),
    ]
    with style.styled():
        fig, panels = _panels(len(quantities), len(tasks))
        colors = [color for color, _ in style.colors_of([name for name, _ in settings])]
        for column, task in enumerate(tasks):
            for line, (title, value) in enumerate(quantities):
                axes = panels[line, column]
                for setting, color in zip(settings, colors, strict=True):
                    sizes = sorted(
                        {r.num_envs for r in rows if r.task == task and (r.algorithm, r.target_kl) == setting}
                    )
                    runs = [_groups(rows, task, n)[setting] for n in sizes]
                    _band(axes, sizes, [_interval(group, value) for group in runs], color, display_name(setting[0]))
                axes.set_xscale("log")
                axes.set_xticks(sorted({row.num_envs for row in rows}), minor=False)
                axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
                axes.xaxis.set_minor_formatter(NullFormatter())
                if line == 0:
                    axes.set_title(task)
                if line == 1:
                    axes.set_yscale("log")
                    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
                else:
                    axes.set_ylim(0.0, 1.05 if title.startswith("share") else None)
                if column == 0:
                    axes.set_ylabel(title)
            panels[-1, column].set_xlabel("environments")
        _legend(fig, panels)
    return fig


def curves(points: Sequence[Point], quantities: dict[str, str]) -> Figure:
    """Quantities over transitions, one column per task: a thin line per seed, a thick one for their mean.

    Args:
        points: Rows of the table of a study.
        quantities: Titles by field of a point; KL is drawn logarithmically, what no run has is left out.
    """
    quantities = {f: t for f, t in quantities.items() if any(math.isfinite(getattr(p, f)) for p in points)}
    tasks = list(dict.fromkeys(point.task for point in points))
    agents = list(dict.fromkeys(point.agent for point in points))
    colors = dict(zip(agents, (color for color, _ in style.colors_of(agents)), strict=True))
    with style.styled():
        fig, panels = _panels(len(quantities), len(tasks))
        for column, task in enumerate(tasks):
            for line, (field, title) in enumerate(quantities.items()):
                axes = panels[line, column]
                for agent in agents:
                    own = [p for p in points if p.task == task and p.agent == agent]
                    _draw_seeds(axes, own, field, colors[agent], display_name(agent))
                _fit_values(axes, field)
                if line == 0:
                    axes.set_title(task.removeprefix("CpoLab-").removesuffix("-Direct"))
                if column == 0:
                    axes.set_ylabel(title)
            style.format_steps_axis(panels[-1, column], "env_steps")
        _legend(fig, panels)
    return fig


def _fit_values(axes: Axes, field: str) -> None:
    """The vertical axis of a quantity: KL in decades, what cannot be negative from 0, and a word where nothing is."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.empty(0)])
    if not drawn.size:
        axes.text(0.5, 0.5, "not measured on this task", transform=axes.transAxes, ha="center", color="#777777")
        axes.set_yticks([])
    elif field.startswith("kl"):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: style.compact(v)))
    elif field != "leader_return":
        axes.set_ylim(0.0, axes.get_ylim()[1] if drawn.max() > 0.0 else 1.0)


def _draw_seeds(axes: Axes, points: Sequence[Point], field: str, color: str, label: str) -> None:
    """The runs of one agent on one task."""
    values: dict[float, list[float]] = {}
    seeds = sorted({point.seed for point in points})
    for seed in seeds:
        own = [p for p in points if p.seed == seed and math.isfinite(getattr(p, field))]
        axes.plot([p.transitions for p in own], [getattr(p, field) for p in own], color=color, linewidth=0.6, alpha=0.5)
        for point in own:
            values.setdefault(point.transitions, []).append(getattr(point, field))
    x = sorted(at for at, known in values.items() if len(known) == len(seeds))
    axes.plot(x, [sum(values[at]) / len(seeds) for at in x], color=color, label=label)


def idea(distances: Sequence[float] = (0.02, 0.35, 3.5), followers: int = 5, std: float = 1.0) -> Figure:
    """A leader and its followers as Gaussians over two action components, at three distances.

    Args:
        distances: KL of every follower to the leader [nat].
        followers: Number of followers, spread evenly.
        std: Standard deviation of all policies.
    """
    titles = ("too close", "coupled", "too far")
    with style.styled():
        fig = Figure(figsize=(8.1, 3.2))
        FigureCanvasAgg(fig)
        spots = fig.subplots(1, len(distances), gridspec_kw={"top": 0.9, "bottom": 0.1, "left": 0.01, "right": 0.99})
        for axes, title, kl in zip(spots, titles, distances, strict=True):
            radius = std * math.sqrt(2.0 * kl)  # KL of two Gaussians with equal spread: distance^2 / (2 std^2)
            for k in range(followers):
                angle = 2.0 * math.pi * (k + 0.25) / followers
                center = (radius * math.cos(angle), radius * math.sin(angle))
                color = style.follower_color(k, followers + 1)
                axes.add_patch(Circle(center, std, facecolor=color, edgecolor=color, alpha=0.22))
                axes.plot(*center, marker="o", markersize=3, color=color)
            axes.add_patch(Circle((0, 0), std, fill=False, edgecolor=style.LEADER_COLOR, linewidth=1.6))
            axes.plot(0, 0, marker="*", markersize=8, color=style.LEADER_COLOR)
            axes.set(xlim=(-3.9, 3.9), ylim=(-3.9, 3.9), aspect="equal", xticks=[], yticks=[])
            axes.grid(visible=False)
            for side in axes.spines.values():
                side.set_visible(False)
            axes.set_title(title, loc="center")
            axes.set_xlabel(f"KL {kl:g} nat, effective sample size {100.0 * math.exp(-2.0 * kl):.2g} %")
    return fig

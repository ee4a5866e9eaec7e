# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A population for people: a line per member, who copied whom, and the same as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpo_lab.cli.runs import summary
from cpo_lab.jobs.record import Record
from cpo_lab.ui.health import HEALTH_COLORS
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count, format_duration, format_or_blank
from cpo_rl.pbt.workspace import Workspace
from cpo_rl.runs.files import printable
from cpo_rl.runs.folder import RunFolder

if TYPE_CHECKING:
    from rich.table import Table


def member_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what is known about every member, as plain values; members that have not started are named too."""
    rows, record = [], Record(workspace.path)
    for member in range(workspace.members):
        try:
            run = RunFolder.open(workspace.folder(member))
            row = {**summary(run), "pid": run.manifest.get("pid")}
        except UserError:
            row = {"folder": str(workspace.folder(member)), "health": "not started", "iteration": 0, "env_steps": 0}
        latest, events = workspace.latest(member), workspace.history(member).read()
        # the best score is taken from the history, because a long run has published thousands of files
        scores = [latest.objective if latest else None, *(event.get("objective") for event in events)]
        row.update(
            member=member,
            starts=record.starts(f"member {member}"),
            reason=record.last_reason(f"member {member}"),
            objective=latest.objective if latest else None,
            best_objective=max((score for score in scores if score is not None), default=None),
            parameters=latest.parameters if latest else {},
            changes=[event for event in events if event.get("event") in ("copy", "mutate")],
        )
        rows.append(row)
    return rows


def changes(workspace: Workspace) -> list[dict[str, Any]]:
    """Return everything that changed a member or should have, oldest first, each with its member."""
    events = [
        {"member": member, **event}
        for member in range(workspace.members)
        for event in workspace.history(member).read()
        if event.get("event") != "keep"
    ]
    return sorted(events, key=lambda event: (str(event.get("time")), event["member"]))


def tell_change(event: dict[str, Any]) -> str:
    """Return an event of a member's history as a sentence."""
    what = {
        "start": "starts",
        "copy": f"copies member {event.get('donor')}",
        "mutate": "keeps its weights",
        "skip": f"keeps everything, because {event.get('reason')}",
    }.get(str(event.get("event")), str(event.get("event")))
    values = [f"{name} {old:.4g} -> {new:.4g}" for name, (old, new) in (event.get("changed") or {}).items()]
    steps = format_count(float(event.get("env_steps") or 0))
    return f"{steps} steps: member {event['member']} {what}" + (f", {', '.join(values)}" if values else "")


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a line per member."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0))
    again = any(row["starts"] > 1 for row in rows)
    for name in ("member", "progress", "steps", "objective", "best", "steps/s", "left", *(["starts"] if again else [])):
        made.add_column(name, justify="right", no_wrap=True)
    for name in ("last change", "state"):
        made.add_column(name, no_wrap=True)
    for row in rows:
        health, goal = row["health"], row.get("max_iterations")
        last = row["changes"][-1] if row["changes"] else None
        made.add_row(
            str(row["member"]),
            f"{row['iteration']}/{goal}" if goal else str(row["iteration"]),
            format_count(row["env_steps"]),
            format_or_blank(row["objective"]),
            format_or_blank(row["best_objective"]),
            format_or_blank(row.get("env_steps_per_s"), ",.0f"),
            "" if row.get("left_s") is None else format_duration(row["left_s"]),
            *([str(row["starts"] or "")] if again else []),  # a scheduler of another's keeps no count
            _short(last) if last else "",
            f"[{HEALTH_COLORS.get(health, 'dim')}]{health}[/]",
        )
    return made


def notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return how members that are not at work ended last where that was not as it should, a sentence each."""
    return [
        f"Member {row['member']} {printable(row['reason'])}."
        for row in rows
        if row["reason"] and row["health"] not in ("running", "finished")
    ]


def line(row: dict[str, Any]) -> str:
    """Return a member's line for a log."""
    parts = [f"member {row['member']}: iteration {row['iteration']}/{row.get('max_iterations') or '?'}"]
    if row["objective"] is not None:
        parts.append(f"objective {row['objective']:.4g}")
    if row.get("env_steps_per_s"):
        parts.append(f"{row['env_steps_per_s']:,.0f} steps/s")
    if row["changes"]:
        parts.append(_short(row["changes"][-1]))
    health = row["health"]
    if row.get("left_s") is not None:
        health += f", {format_duration(row['left_s'])} left"
    return ", ".join([*parts, health])


def draw(workspace: Workspace, path: Path) -> None:
    """Draw every member's published objective over its environment steps, and every copy as an arrow from the donor.

    Args:
        workspace: The population.
        path: Picture to write; its ending chooses the format.

    Raises:
        UserError: If the picture cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    published = [workspace.published(member) for member in range(workspace.members)]
    known = [[state for state in states if state.objective is not None] for states in published]
    for member, states in enumerate(known):
        steps, scores = [s.env_steps / 1e6 for s in states], [s.objective for s in states]
        axes.plot(steps, scores, marker="o", markersize=3, label=f"member {member}")
    for event in (event for event in changes(workspace) if event.get("event") == "copy"):
        for donor in (state for state in known[event["donor"]] if state.iteration == event["donor_iteration"]):
            start = (donor.env_steps / 1e6, donor.objective)
            end = (event["env_steps"] / 1e6, event["objective"])
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.4"})
    axes.set(xlabel="environment steps of the member [million]", ylabel="objective", title="Arrows lead from a donor")
    axes.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UserError(f"--picture {str(path)!r} cannot be written ({error}); choose another name.") from None
    finally:
        pyplot.close(figure)


def _short(event: dict[str, Any]) -> str:
    what = "mutated" if event.get("donor") is None else f"copied {event['donor']}"
    return f"{what} at {format_count(float(event.get('env_steps') or 0))}"

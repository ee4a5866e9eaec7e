# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab runs``: the runs on disk, how far they are and how they fare."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpo_lab.cli.parser import CommandParser, split_overrides
from cpo_lab.cli.run_request import LOG_ROOT
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count, format_duration
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.folder import RunFolder, find_runs
from cpo_rl.runs.metric_names import MEAN_RETURN, RETURN, STEPS_PER_S, SUCCESSES

HEALTH_COLORS = {
    "running": "green",
    "finished": "bold",
    "stopped": "yellow",
    "preempted": "yellow",
    "crashed": "red",
    "lost": "red",
}
"""Colour of each state of health."""

_STALE_S = 900.0
"""Age of the last sign of life from which a running run of another machine is called silent [s]."""

_EPILOG = """\
health:
  running    its process lives; with the time since its last sign of life when that is long ago
  finished   all iterations done
  stopped    by Ctrl+C or by the finite guard (cpo-lab doctor --dump shows why)
  preempted  by SIGTERM or SIGUSR1; continue it with cpo-lab train --resume <folder>
  crashed    by an exception; the end of run.log says which
  lost       killed without a word (SIGKILL, power cut); its last checkpoint is whole

examples:
  cpo-lab runs                                            all runs below logs/rsl_rl
  cpo-lab runs logs/rsl_rl/shadow_hand_reorient_cube      of one experiment
  cpo-lab runs --health crashed lost                      what needs a look
  cpo-lab runs --json | jq '.[].iteration'                for scripts"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab runs", description="List runs with progress and health.", epilog=_EPILOG)
    parser.add_argument("root", nargs="?", default=LOG_ROOT, help=f"folder of runs (default: {LOG_ROOT})")
    parser.add_argument("--task", help="only runs of this task")
    parser.add_argument(
        "--health", nargs="+", choices=tuple(HEALTH_COLORS), metavar="STATE", help="only runs in these states"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    return parser


def run(argv: list[str]) -> int:
    """Print the runs, oldest first.

    Raises:
        UserError: If an argument is unknown or the folder does not exist.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    split_overrides(rest, parser)
    root = Path(args.root).expanduser()
    if not root.is_dir():
        raise UserError(f"There is no folder {str(root)!r}; give the folder of your runs or train one first.")
    rows = [summary(found) for found in find_runs(root, task=args.task)]
    rows = [row for row in rows if args.health is None or row["health"] in args.health]
    if args.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    elif rows:
        _print_table(rows, root)
    else:
        sys.stdout.write(f"No run{' like this' if args.task or args.health else ''} in {root}.\n")
    return 0


def summary(found: RunFolder, at: datetime | None = None) -> dict[str, Any]:
    """Return what the listing shows of a run, as plain values.

    Args:
        found: The run.
        at: The present; now by default.
    """
    manifest = found.manifest
    last, best = manifest.get("last") or {}, manifest.get("best") or {}
    iteration, goal = int(manifest.get("iteration") or 0), manifest.get("max_iterations")
    wall_clock = float(manifest.get("wall_clock_s") or 0.0)
    health = found.health()
    left = None
    if health == "running" and goal and iteration:
        left = (goal - iteration) * wall_clock / iteration
    return {
        "folder": str(found.path),
        "task": manifest.get("task"),
        "algorithm": manifest.get("algorithm"),
        "seed": manifest.get("seed"),
        "health": health,
        "error": manifest.get("error"),
        "iteration": iteration,
        "max_iterations": goal,
        "env_steps": int(manifest.get("env_steps") or 0),
        "return": last.get(RETURN, last.get(MEAN_RETURN)),
        "successes": last.get(SUCCESSES),
        "best": best.get("score"),
        "best_iteration": best.get("iteration"),
        "env_steps_per_s": last.get(STEPS_PER_S),
        "left_s": left,
        "silent_s": _age_s(manifest.get("updated"), at),
        "checkpoints": list(CheckpointStore(found.path).manifests()),
    }


def _age_s(updated: Any, at: datetime | None) -> float | None:
    """Return the time since an ISO 8601 stamp [s], None if it cannot be read."""
    try:
        return ((at or datetime.now(UTC)) - datetime.fromisoformat(updated)).total_seconds()
    except (TypeError, ValueError):
        return None


def _print_table(rows: list[dict[str, Any]], root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    def number(value: float | None, form: str = ".4g") -> str:
        return "" if value is None else format(value, form)

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("run", "algorithm", "seed", "progress", "steps", "return", "successes", "best", "steps/s", "health"):
        left_aligned = name in ("run", "algorithm", "health")
        table.add_column(name, justify="left" if left_aligned else "right", no_wrap=name != "run", overflow="fold")
    for row in rows:
        folder = Path(row["folder"])
        name = folder.relative_to(root.resolve()).as_posix() if folder.is_relative_to(root.resolve()) else str(folder)
        goal = row["max_iterations"]
        health = f"[{HEALTH_COLORS.get(row['health'], 'red')}]{row['health']}[/]"
        if row["left_s"] is not None:
            health += f", {format_duration(row['left_s'])} left"
        if row["health"] == "running" and (row["silent_s"] or 0.0) > _STALE_S:
            health += f", [red]silent for {format_duration(row['silent_s'])}[/]"
        table.add_row(
            name if name != "." else folder.name,
            str(row["algorithm"] or ""),
            number(row["seed"], "d"),
            f"{row['iteration']}/{goal}" if goal else str(row["iteration"]),
            format_count(row["env_steps"]),
            number(row["return"]),
            number(row["successes"]),
            number(row["best"]),
            number(row["env_steps_per_s"], ",.0f"),
            health,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a log or a pipe has no width to respect
    console.print(table)
    for row in rows:
        if row["error"]:
            console.print(f"{Path(row['folder']).name}: {row['error']}", markup=False, highlight=False, soft_wrap=True)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab runs``: the runs on disk, how far they are and how they fare."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cpo_lab.cli.parser import CommandParser
from cpo_lab.ui.health import HEALTH_COLORS, SILENT_S
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count, format_duration, format_or_blank
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.files import printable, shown
from cpo_rl.runs.find import find_runs, folders_at
from cpo_rl.runs.folder import HEALTHS, RunFolder
from cpo_rl.runs.metric_names import MEAN_RETURN, RETURN, STEPS_PER_S, SUCCESSES
from cpo_rl.runs.provenance import age_s

_EPILOG = """\
health:
  running    its process lives; with the time since its last sign of life when
             that is long ago
  finished   all iterations done
  stopped    by Ctrl+C or by the finite guard (cpo-lab doctor --dump says why)
  preempted  by SIGTERM, SIGUSR1 or SIGHUP; continue it with
             cpo-lab train --resume <folder>
  crashed    by an exception; the end of run.log says which
  lost       killed without a word (SIGKILL, power cut); its last checkpoint is
             whole
  unknown    of the stock launcher, which keeps no record of it, or with a
             damaged manifest

examples:
  cpo-lab runs                                       all runs below logs/rsl_rl
  cpo-lab runs logs/rsl_rl/shadow_hand_reorient_cube of one experiment
  cpo-lab runs 'logs/rsl_rl/*/2026-01-*'             what a pattern matches
  cpo-lab runs --health crashed lost                 what needs a look
  cpo-lab runs --best                                the best of each, what next
  cpo-lab runs --json | jq '.[].iteration'           for scripts"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab runs", description="List runs with progress and health.", epilog=_EPILOG)
    parser.add_argument("roots", nargs="*", metavar="FOLDER", help="folders or patterns of runs (default: --log_root)")
    parser.add_shared("--log_root")
    parser.add_shared("--task", help="only runs of this task")
    parser.add_argument("--health", nargs="+", choices=HEALTHS, metavar="STATE", help="only runs in these states")
    parser.add_argument(
        "--best", action="store_true", help="only the best run of each task and algorithm, and the next command for it"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    return parser


def run(argv: list[str]) -> int:
    """Print the runs, oldest first.

    Raises:
        UserError: If an argument is unknown or a folder does not exist.
    """
    args = _parser().read(argv)
    roots = args.roots or [args.log_root]
    for root in roots:
        if not folders_at(root):
            raise UserError(f"There is no folder {root!r}; give the folder of your runs or train one first.")
    rows = [summary(found) for found in find_runs(*roots, task=args.task)]
    rows = [row for row in rows if args.health is None or row["health"] in args.health]
    kind = " like this" if args.task or args.health else ""
    if args.best:
        rows, kind = best_rows(rows), " with a score and a checkpoint"
    if args.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    elif rows:
        _print_table(rows, [folder.resolve() for root in roots for folder in folders_at(root)])
        if args.best:
            _print_next(rows)
    else:
        sys.stdout.write(f"No run{kind} in {' '.join(roots)}.\n")
    return 0


def summary(found: RunFolder, at: datetime | None = None) -> dict[str, Any]:
    """Return what the listing shows of a run, as plain values.

    Args:
        found: The run.
        at: The present; now by default.
    """
    manifest = found.manifest
    best_iteration = found.number("best", "iteration")
    return {
        "folder": str(found.path),
        "task": found.task,
        "algorithm": found.algorithm,
        "seed": found.seed,
        "health": found.health(),
        "error": manifest.get("error"),
        "problems": found.problems,
        "ancestor": found.ancestor,
        "initialized_from": found.initialized_from,
        "iteration": found.iteration,
        "max_iterations": found.max_iterations,
        "env_steps": manifest.get("env_steps") or 0,
        "return": found.number("last", RETURN, MEAN_RETURN),
        "successes": found.number("last", SUCCESSES),
        "best": found.number("best", "score"),
        "best_metric": _metric(manifest.get("best")),
        "best_iteration": None if best_iteration is None else int(best_iteration),
        "env_steps_per_s": found.number("last", STEPS_PER_S),
        "left_s": found.left_s,
        "silent_s": age_s(manifest.get("updated"), at),
        "checkpoints": list(CheckpointStore(found.path).manifests()),
    }


def _metric(best: Any) -> str | None:
    """Return the metric that the best checkpoint was chosen by, None if the manifest does not say."""
    name = best.get("metric") if isinstance(best, dict) else None
    return name if isinstance(name, str) else None


def best_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return of every task and algorithm the run with the best checkpoint, best first within a task.

    Scores are compared within one metric only; the one that most runs of a task have counts.

    Args:
        rows: What :func:`summary` says of runs.
    """
    rated = [row for row in rows if row["best"] is not None and row["checkpoints"]]
    metrics = {
        task: Counter(row["best_metric"] for row in rated if row["task"] == task).most_common(1)[0][0]
        for task in {row["task"] for row in rated}
    }
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rated:
        key = str(row["task"]), str(row["algorithm"])
        if row["best_metric"] == metrics[row["task"]] and row["best"] > found.get(key, {"best": -math.inf})["best"]:
            found[key] = row
    return sorted(found.values(), key=lambda row: (str(row["task"]), -row["best"]))


def _print_next(rows: list[dict[str, Any]]) -> None:
    """Name the commands for the best run of each task."""
    sys.stdout.write("\nnext\n")
    for task in dict.fromkeys(row["task"] for row in rows):
        row = next(row for row in rows if row["task"] == task)
        what = shlex.quote(f"{shown(row['folder'])}:best")
        sys.stdout.write(f"  {printable(str(task), 80)}, {printable(str(row['best_metric']), 80)} {row['best']:.4g}\n")
        sys.stdout.write(f"    cpo-lab evaluate --checkpoint {what}\n    cpo-lab play --checkpoint {what}\n")
        sys.stdout.write(f"    cpo-lab export --checkpoint {what}\n")


def _print_table(rows: list[dict[str, Any]], roots: list[Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("run", "algorithm", "seed", "progress", "steps", "return", "successes", "best", "steps/s", "health"):
        left_aligned = name in ("run", "algorithm", "health")
        table.add_column(name, justify="left" if left_aligned else "right", no_wrap=name != "run", overflow="fold")
    for row in rows:
        goal = row["max_iterations"]
        table.add_row(
            Text(_name(Path(row["folder"]), roots)),
            Text(printable(row["algorithm"] or "", 40)),
            format_or_blank(row["seed"], "d"),
            f"{row['iteration']}/{goal}" if goal else str(row["iteration"]),
            format_count(row["env_steps"]),
            format_or_blank(row["return"]),
            format_or_blank(row["successes"]),
            format_or_blank(row["best"]),
            format_or_blank(row["env_steps_per_s"], ",.0f"),
            _health(row),
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a log or a pipe has no width to respect
    console.print(table)
    for row in rows:
        for told in filter(None, (*_lineage(row), row["error"], *row["problems"])):
            sentence = f"{shown(Path(row['folder']).name)}: {printable(told)}"
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _lineage(row: dict[str, Any]) -> Iterator[str]:
    """Yield what a run went on from or took its first weights from, in words; nothing for one that began anew."""
    for key, told in (("ancestor", "went on from"), ("initialized_from", "began with weights of")):
        if (other := row[key]) is not None:
            yield f"{told} {shown(other['file'])} of {shown(other['run'])}"


def _name(folder: Path, roots: list[Path]) -> str:
    """Return how a run is called below the folders that were searched."""
    root = next((root for root in roots if folder.is_relative_to(root)), None)
    if root is None:
        return shown(folder)  # found through a link
    return shown(folder.name if folder == root else folder.relative_to(root))


def _health(row: dict[str, Any]) -> str:
    """Return a run's state with colours, and how long it takes still or has been silent."""
    text = f"[{HEALTH_COLORS[row['health']]}]{row['health']}[/]"
    if row["left_s"] is not None:
        text += f", {format_duration(row['left_s'])} left"
    if row["health"] == "running" and (row["silent_s"] or 0.0) > SILENT_S:
        text += f", [red]silent for {format_duration(row['silent_s'])}[/]"
    return text

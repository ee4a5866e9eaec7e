# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is said when a run has ended: its result, its folder and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count, format_duration
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import MEAN_RETURN, RETURN, SUCCESSES


@contextmanager
def told_end(folder: Path | None) -> Iterator[None]:
    """Tell at the end of the body how the run in a folder went; nothing if there is no folder.

    Inside the simulation's context, because Isaac Sim ends the process when that is left.
    """
    try:
        yield
    except UserError:
        raise  # its sentence says what to do
    except Exception:
        _tell(folder)
        raise
    _tell(folder)


def _tell(folder: Path | None) -> None:
    if folder is None:
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, value in ending(RunFolder.read(folder)).items():
        console.print(f"{name:<11} {value}", markup=False)


def ending(run: RunFolder) -> dict[str, str]:
    """Return what to say about a run that has ended, line by line.

    Args:
        run: The run.
    """
    manifest = run.manifest
    steps, seconds = manifest.get("env_steps") or 0, manifest.get("wall_clock_s") or 0.0
    goal = f" of {run.max_iterations}" if run.max_iterations else ""
    lines = {
        "ended": f"{run.health()} after {run.iteration}{goal} iterations, {format_count(steps)} steps, "
        f"{format_duration(seconds)} of training"
    }
    results = {
        "return": run.number("last", RETURN, MEAN_RETURN),
        "successes": run.number("last", SUCCESSES),
        "best": run.number("best", "score"),
    }
    known = [f"{name} {value:.4g}" for name, value in results.items() if value is not None]
    if known:
        at = (manifest.get("best") or {}).get("iteration")
        lines["result"] = ", ".join(known) + (f" in iteration {at}" if results["best"] is not None and at else "")
    lines["run folder"] = str(run.path)
    lines["next"] = _next(run)
    return lines


def _next(run: RunFolder) -> str:
    """Return the command that a user most likely wants next."""
    folder = shlex.quote(str(run.path))
    if run.health() == "finished":
        return f"cpo-lab play --checkpoint {folder}, or cpo-lab report {folder}"
    dumps = [file for file in run.path.glob("dump_*.pt")]
    if run.manifest.get("status") == "stopped" and run.manifest.get("error") and dumps:
        newest = max(dumps, key=lambda file: file.stat().st_mtime)
        return f"cpo-lab doctor --dump {shlex.quote(str(newest))}"
    return f"cpo-lab train --resume {folder}" if run.checkpoint_numbers() else "no checkpoint was written"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where runs and their checkpoints are: the one finder behind every command.

A folder is a run if its ``manifest.json`` (ours) or ``run.json`` (Isaac Lab's) says so; whatever lies below belongs to
it. A folder without either that holds ``metrics.csv``, ``diagnostics.jsonl`` or ``params`` is what is left of one,
unless there are runs below. Runs are found at most :data:`DEPTH` folders below a place, so the folder that
holds ``logs``, ``logs/rsl_rl``, an experiment, the workspace of a population and a run itself can all be named. What
cannot be read is passed over with a warning.

``latest`` and ``best`` mean what they mean in Isaac Lab: the newest compatible run decides, then the checkpoint in it.
"""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, manifest_path
from cpo_rl.runs.checkpoints import BEGINNING, CheckpointStore, checkpoint_iteration, newest_archive
from cpo_rl.runs.files import expanded, put_aside, reason, shown
from cpo_rl.runs.folder import REMAINS, RunFolder, plain_task
from cpo_rl.runs.tables import has_lines

_log = logging.getLogger(__name__)

LOG_ROOT = "logs/rsl_rl"
"""Where Isaac Lab's launcher keeps the runs of rsl_rl; ours go to the same place."""

DEPTH = 4
"""Folders below a place that are searched."""

SELECTORS = ("latest", "best")
"""Words accepted instead of a path."""

_TRAINED = ("model_*.pt", "dump_*.pt", "published")
"""Names of what only a finished iteration leaves, but for our ``model_0.pt``; tables tell by their rows."""

_WRITTEN = (
    *_TRAINED, *REMAINS, RunFolder.MANIFEST, RunFolder.LAUNCHER, RunFolder.LAUNCH,
    "model_*.json", "*.damaged", "events.out.tfevents.*", "run.log", "pbt_history.jsonl",
)  # fmt: skip
"""Names of what a run leaves in its folder."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


# -- runs --------------------------------------------------------------------------------------------------------------


def find_runs(*places: str | os.PathLike[str], task: str | None = None, agent: str | None = None) -> list[RunFolder]:
    """Return the runs at or below some places, each once, oldest first; those that do not say when they began lead.

    Args:
        *places: Folders or glob patterns; one that does not exist holds none.
        task: Gym id that a run must have been started with; None takes any.
        agent: Agent entry point that a run must have been started with, as in Isaac Lab's ``run.json``, if it names
            one; None takes any.
    """
    wanted = plain_task(task) if task else None
    return _in_order(
        run
        for place in places
        for folder in folders_at(place)
        for run in _runs_below(folder, DEPTH)
        if (wanted is None or run.task == wanted) and (agent is None or run.launcher_agent in (None, agent))
    )


def named_runs(places: list[str]) -> list[RunFolder]:
    """Return the runs at or below places that a user named, as :func:`find_runs` does.

    Args:
        places: Folders or glob patterns.

    Raises:
        UserError: If one of them matches nothing, or holds no run.
    """
    named: list[RunFolder] = []
    for place in places:
        if not folders_at(place):
            raise UserError(f"RUN {place!r} matches no folder; give a run folder such as {LOG_ROOT}/TASK/DATE.")
        found = find_runs(place)
        if not found:
            names = ", ".join((RunFolder.MANIFEST, RunFolder.LAUNCHER, *REMAINS))
            raise UserError(f"RUN {place!r} holds no run: none of {names} is in it or below it.")
        named += found
    return _in_order(named)


def _in_order(runs: Iterable[RunFolder]) -> list[RunFolder]:
    """Return every run once, oldest first."""
    once = {run.path: run for run in runs}.values()
    return sorted(once, key=lambda run: (run.started or _LONG_AGO, run.path))


def folders_at(place: str | os.PathLike[str]) -> list[Path]:
    """Return the folder that a path names, or those that match a pattern, in alphabetical order."""
    path = expanded(place)
    matches = [path] if _is_dir(path) else sorted(map(Path, glob.glob(str(path), recursive=True)))
    return [folder for folder in matches if _is_dir(folder)]


def _runs_below(folder: Path, depth: int) -> Iterator[RunFolder]:
    """Yield the runs at or below a folder."""
    run = RunFolder.read(folder)
    if run.is_known:
        yield run
        return
    below = [found for child in _children(folder) for found in _runs_below(child, depth - 1)] if depth else []
    if below:
        yield from below
    elif run.has_remains:
        yield run
    elif run.problems:
        _log.warning("Passing over %s: %s", folder, " ".join(run.problems))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith(".") and _is_dir(child))
    except OSError as error:
        _log.warning("Passing over %s (%s).", folder, reason(error))
        return []


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


# -- checkpoints -------------------------------------------------------------------------------------------------------


def resolve_checkpoint(
    checkpoint: str, log_root: str | os.PathLike[str], *, task: str | None = None, agent: str | None = None
) -> Path:
    """Return the absolute path of the checkpoint file meant by ``checkpoint``; warn if nothing was learned in it.

    Args:
        checkpoint: ``latest``, ``best``, a run folder (its latest), ``<run folder>:best``, a pattern that matches runs
            (the newest of them) or a file.
        log_root: Folder of runs, searched for the two words.
        task: Gym id that the run must have been started with; None takes any.
        agent: Agent entry point that the run must have been started with, as in :func:`find_runs`.

    Raises:
        UserError: If there is no such checkpoint, saying where was looked.
    """
    found = _resolved(checkpoint, log_root, task, agent)
    if found.name == BEGINNING and sidecar_of(found) is not None:  # rsl_rl's of this name has learned
        _log.warning("%s is what its run began with: no iteration is in it.", found)
    return found


def _resolved(checkpoint: str, log_root: str | os.PathLike[str], task: str | None, agent: str | None) -> Path:
    if checkpoint in SELECTORS:
        found = _newest(find_runs(log_root, task=task, agent=agent), checkpoint)
        if found is None:
            of_task = f" of task {task!r}" if task else ""
            raise UserError(
                f"--checkpoint {checkpoint} found no run{of_task} with a complete checkpoint in {str(log_root)!r}; "
                "train one first, or give the path of a checkpoint."
            )
        return found
    if Path(checkpoint).is_file():
        return Path(checkpoint).resolve()
    place, _, selector = checkpoint.rpartition(":")
    if selector not in SELECTORS or not folders_at(place):
        place, selector = checkpoint, "latest"
    if Path(place).is_dir():
        found = checkpoint_in(Path(place), selector)
        if found is None:
            raise UserError(f"--checkpoint {checkpoint}: the folder holds no complete checkpoint.")
        return found.resolve()
    found = _newest(find_runs(place, task=task, agent=agent), selector)
    if found is None:
        raise UserError(f"--checkpoint {checkpoint}: no such file; give a file, a run folder, 'latest' or 'best'.")
    return found


def _newest(runs: list[RunFolder], selector: str) -> Path | None:
    """Return the checkpoint of the newest run that has one; None if none has."""
    return next((found for run in reversed(runs) if (found := checkpoint_in(run.path, selector))), None)


def checkpoint_in(folder: Path, selector: str = "latest") -> Path | None:
    """Return the latest or best complete checkpoint of a run folder, falling back to files without any sidecar."""
    store = CheckpointStore(folder)
    found = store.best() if selector == "best" else store.latest()
    if found is not None:
        return found
    # A folder without a single sidecar was written by rsl_rl's runner, or by ours until it was killed right between its
    # first checkpoint and the sidecar. Beside sidecars a lone file is passed over.
    if any(checkpoint_iteration(file.with_suffix(".pt")) is not None for file in folder.glob("model_*.json")):
        return None
    return newest_archive(folder)


def settings_behind(checkpoint: Path) -> dict[str, dict[str, Any]]:
    """Return the settings that a checkpoint was trained with, as plain values by part (``agent``, ``env``).

    Those of the agent stand in its own sidecar; a part that nothing tells of is empty.
    """
    run = RunFolder.read(checkpoint.parent)
    sidecar = sidecar_of(checkpoint)
    return {"agent": (sidecar.config if sidecar else {}) or run.settings, "env": run.env_settings}


def sidecar_of(checkpoint: Path) -> CheckpointManifest | None:
    """Return a checkpoint's own description; None where it has none that can be read."""
    try:
        return CheckpointManifest.read(manifest_path(checkpoint))
    except UserError:
        return None


# -- a folder that a run is to be written into -------------------------------------------------------------------------


@dataclass(frozen=True)
class Contents:
    """What a folder holds already that a run wrote."""

    checkpoint: Path | None
    """The checkpoint that it would be continued from; None if it holds no complete one."""

    files: tuple[str, ...]
    """Names of what is there, in alphabetical order; empty for a folder that holds no run."""

    trained: bool
    """Whether something was trained: files tell of a finished iteration."""


def contents_of(folder: Path) -> Contents:
    """Look at a folder that a run is to be written into; one that does not exist holds nothing.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise UserError(f"run folder {shown(folder)!r} cannot be read ({reason(error)}); choose another.") from None
    files = tuple(name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in _WRITTEN))
    if not files:
        return Contents(None, (), False)
    run = RunFolder.read(folder)
    begun = {BEGINNING} if run.manifest else set()
    told = any(fnmatch.fnmatchcase(name, pattern) for name in set(files) - begun for pattern in _TRAINED)
    rows = has_lines(run.metrics_file, 2) or has_lines(run.diagnostics_file, 1)
    return Contents(checkpoint_in(folder), files, told or rows or bool(run.manifest and run.iteration))


def make_way(folder: Path) -> None:
    """Put aside what stands where the run's files are to be written but is no file, such as a pipe or a folder.

    Raises:
        OSError: If it cannot be renamed.
    """
    from cpo_rl.runs.configs import PARTS, params_file  # not above: it reads YAML, whose library takes time to load

    run = RunFolder(folder)
    params = [params_file(folder, part) for part in PARTS]
    if os.path.lexists(params[0].parent) and not params[0].parent.is_dir():
        put_aside(params[0].parent, "is no folder")
    # the manifest is renewed by those who open the folder, and say so in it
    own = [folder / name for name in (RunFolder.LAUNCH, RunFolder.LAUNCHER, RunFolder.LOG)]
    for path in (*own, run.metrics_file, run.diagnostics_file, *params):
        if os.path.lexists(path) and not path.is_file():
            put_aside(path, "is no file")


def is_newest(checkpoint: Path) -> bool:
    """Return whether a checkpoint is the one that its run folder would be continued from."""
    return checkpoint_in(checkpoint.parent) == checkpoint

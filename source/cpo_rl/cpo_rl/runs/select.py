# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From ``latest``, ``best``, a run folder or a file name to a checkpoint.

The selectors mean what they mean in Isaac Lab: the newest compatible run decides, then the checkpoint in it. Runs of
the stock launcher are found through its ``run.json``; their checkpoints carry no checksum and are taken as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import CheckpointStore, checkpoint_iteration

SELECTORS = ("latest", "best")
"""Words accepted instead of a path."""


def resolve_checkpoint(
    checkpoint: str, log_root: str | os.PathLike[str], *, task: str | None = None, agent: str | None = None
) -> Path:
    """Return the checkpoint file meant by ``checkpoint``.

    Args:
        checkpoint: ``latest``, ``best``, a run folder (its latest), ``<run folder>:best`` or a file.
        log_root: Folder of the experiment's runs, searched for the two words.
        task: Gym id that the run must have been started with; None takes any.
        agent: Agent entry point that the run must have been started with, as in Isaac Lab's ``run.json``; None takes
            any.

    Raises:
        UserError: If there is no such checkpoint, saying where was looked.
    """
    if checkpoint in SELECTORS:
        runs = sorted(_runs(Path(log_root), task, agent), reverse=True)
        for _, folder in runs:
            found = checkpoint_in(folder, checkpoint)
            if found is not None:
                return found
        of_task = f" of task {task!r}" if task else ""
        raise UserError(
            f"--checkpoint {checkpoint} found no run{of_task} with a complete checkpoint in {str(log_root)!r}."
        )
    place, _, selector = checkpoint.rpartition(":")
    if selector not in SELECTORS or not Path(place).is_dir():
        place, selector = checkpoint, "latest"
    if Path(place).is_dir():
        found = checkpoint_in(Path(place), selector)
        if found is None:
            raise UserError(f"--checkpoint {checkpoint}: the folder holds no complete checkpoint.")
        return found
    if not Path(checkpoint).is_file():
        raise UserError(f"--checkpoint {checkpoint}: no such file; give a file, a run folder, 'latest' or 'best'.")
    return Path(checkpoint).resolve()


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
    plain = {n: file for file in folder.glob("model_*.pt") if (n := checkpoint_iteration(file)) is not None}
    return plain[max(plain)] if plain else None


def _runs(root: Path, task: str | None, agent: str | None) -> Iterator[tuple[datetime, Path]]:
    """Yield start time and folder of the compatible runs in ``root``."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        started = _started(folder, task.split(":")[-1] if task else None, agent)
        if started is not None:
            yield started, folder


def _started(folder: Path, task: str | None, agent: str | None) -> datetime | None:
    """Return when a compatible run was started; None if ``folder`` is no run or another task's."""
    for name, key in (("run.json", "created_at"), ("manifest.json", "created")):
        try:
            manifest = json.loads((folder / name).read_text(encoding="utf-8"))
            started = datetime.fromisoformat(manifest[key])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        metadata = manifest.get("metadata") if isinstance(manifest.get("metadata"), dict) else {}
        same_task = task is None or manifest.get("task") == task
        same_agent = agent is None or "agent" not in metadata or metadata["agent"] == agent
        return started.astimezone() if same_task and same_agent else None
    return None

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs on disk, ours and the stock launcher's: which task and agent they trained, with which settings, and where.

Nothing here imports torch, so that a mistyped checkpoint is reported at once.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cpo_lab.cli.launch import Request
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import manifest_path
from cpo_rl.runs.checkpoints import checkpoint_iteration
from cpo_rl.runs.files import write_json
from cpo_rl.runs.select import SELECTORS, checkpoint_in, resolve_checkpoint

LOG_ROOT = "logs/rsl_rl"
"""Where Isaac Lab's launcher keeps the runs of rsl_rl; ours go to the same place."""

_LAUNCH_FILE = "launch.json"


@dataclass
class Run:
    """What a run's folder says about how it was started."""

    folder: Path
    """The run folder."""

    task: str | None
    """Gym id of the task; None when the folder does not say."""

    agent: str | None
    """Registration key or short name of the agent; None when the folder does not say."""

    launch: dict[str, Any]
    """The request it was started from, by field of :class:`~cpo_lab.cli.launch.Request`; empty for a stock run."""

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run folder; missing or unreadable files leave their part empty."""
        manifest = _read_json(folder / "run.json")
        launch = _read_json(folder / _LAUNCH_FILE)
        metadata = manifest.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        task = manifest.get("task") or launch.get("task") or _read_json(folder / "manifest.json").get("task")
        return cls(folder, task, launch.get("agent") or metadata.get("agent"), launch)

    def request(self, task: str | None, agent: str | None) -> Request:
        """Return the request that continues or shows this run.

        Args:
            task: Task the user named, or None to take the run's.
            agent: Agent the user named, or None to take the run's.

        Raises:
            UserError: If the run belongs to another task, or does not say to which and the user does not either.
        """
        if task and self.task and task.split(":")[-1] != self.task:
            raise UserError(
                f"The run in {str(self.folder)!r} trained on task {self.task!r}, not on {task!r}; leave out --task."
            )
        if not (task or self.task):
            raise UserError(f"{str(self.folder)!r} does not say which task it was trained on; add --task.")
        known = {key: self.launch[key] for key in asdict(Request("", "")) if key in self.launch}
        known["task"] = task or self.task
        known["agent"] = agent or self.agent or "rsl_rl_cfg_entry_point"
        return Request(**known)


def find_checkpoint(selector: str, log_root: str | os.PathLike[str], task: str | None = None) -> Path:
    """Return the checkpoint that the user means.

    Args:
        selector: ``latest`` or ``best`` of the newest run, a run folder, ``<run folder>:best`` or a file.
        log_root: Folder that holds the experiments.
        task: Task the run must have been started with; None takes the newest run of any.

    Raises:
        UserError: If there is none.
    """
    if selector not in SELECTORS:
        return resolve_checkpoint(selector, log_root).resolve()
    runs = []
    for manifest in Path(log_root).glob("*/*/run.json"):
        try:
            content = _read_json(manifest)
            started = datetime.fromisoformat(content["created_at"]).timestamp()
        except (KeyError, TypeError, ValueError):
            continue
        if task is None or content.get("task") == task.split(":")[-1]:
            runs.append((started, manifest.parent))
    for _, folder in sorted(runs, reverse=True):
        checkpoint = checkpoint_in(folder, selector)
        if checkpoint is not None:
            return checkpoint.resolve()
    of_task = f" of task {task!r}" if task else ""
    raise UserError(
        f"{str(log_root)!r} holds no run{of_task} with a checkpoint; train one first, or give the path of a checkpoint."
    )


def check_identity_of(checkpoint: Path, task: str) -> None:
    """Refuse a checkpoint whose own description names another task.

    Raises:
        UserError: If it does.
    """
    trained = _read_json(manifest_path(checkpoint)).get("identity", {})
    if isinstance(trained, dict) and trained.get("task") not in (None, task.split(":")[-1]):
        raise UserError(
            f"Checkpoint {str(checkpoint)!r} was trained on task {trained['task']!r}, not on {task!r}; choose another."
        )


def check_run_name(name: str) -> str:
    """Return a run name that is safe as the end of a folder's name.

    Raises:
        UserError: If it contains anything but letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(r"[\w.\-]{0,100}", name):
        raise UserError(f"--run_name {name!r} must consist of at most 100 letters, digits, '.', '-' and '_'.")
    return name


def new_run_folder(log_root: Path, experiment: str, run_name: str) -> Path:
    """Return the path of a run folder that does not exist yet, named by the time as the stock launcher does."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{run_name}" if run_name else "")
    folder, count = log_root / experiment / stem, 1
    while folder.exists():
        count += 1
        folder = log_root / experiment / f"{stem}-{count}"
    return folder


def write_launch(folder: Path, request: Request, iterations: int) -> None:
    """Keep the request in the run folder, so that the run can be continued or played without repeating it.

    Args:
        folder: The run folder.
        request: What the run was started from.
        iterations: After how many iterations in all it ends.
    """
    write_json(folder / _LAUNCH_FILE, {**asdict(request), "iterations": iterations})


def restore_agent(run: Run, agent_cfg: Any) -> None:
    """Give a runner configuration the network and algorithm that a run of the stock launcher was trained with.

    Our own runs say it by the request they were started from; the stock launcher keeps only the resulting values.

    Args:
        run: The run.
        agent_cfg: Runner configuration; changed in place.
    """
    file = run.folder / "params" / "agent.yaml"
    if run.launch or not file.is_file():
        return
    import yaml

    trained = yaml.full_load(file.read_text(encoding="utf-8"))
    agent_cfg.from_dict({key: trained[key] for key in ("model", "algorithm", "obs_groups") if key in trained})


def iteration_of(checkpoint: Path) -> int:
    """Return how many iterations a checkpoint has behind it, 0 when its name does not say."""
    return checkpoint_iteration(checkpoint) or 0


def is_newest(checkpoint: Path) -> bool:
    """Return whether a checkpoint is the one that its run folder would be continued from."""
    return checkpoint_in(checkpoint.parent) == checkpoint


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

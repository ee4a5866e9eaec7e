# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a run on disk to the request that continues or shows it.

Nothing here imports torch, so that a mistyped checkpoint is reported at once.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cpo_lab.launch.configuration import Request
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import checkpoint_iteration
from cpo_rl.runs.compatibility import check_task_of
from cpo_rl.runs.find import LOG_ROOT, is_newest, resolve_checkpoint
from cpo_rl.runs.folder import RunFolder, new_run_folder

__all__ = ["LOG_ROOT", "check_identity_of", "is_newest", "new_run_folder"]

check_identity_of = check_task_of


class Run:
    """A run folder and the request that continues it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.task, self.launch = folder, folder.task, folder.launch

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a run folder; missing or unreadable files leave their part empty."""
        return cls(RunFolder.read(folder))

    def request(self, task: str | None, agent: str | None) -> Request:
        """Return the request that continues or shows this run.

        Args:
            task: Task the user named, or None to take the run's.
            agent: Agent the user named, or None to take the run's.

        Raises:
            UserError: If the run belongs to another task, or does not say to which and the user does not either.
        """
        return request_of(self.folder, task, agent)


def request_of(run: RunFolder, task: str | None, agent: str | None) -> Request:
    """Return the request that continues or shows a run.

    Args:
        run: The run.
        task: Task the user named, or None to take the run's.
        agent: Agent the user named, or None to take the run's.

    Raises:
        UserError: If the run belongs to another task, or does not say to which and the user does not either.
    """
    if task and run.task and task.split(":")[-1] != run.task:
        raise UserError(
            f"The run in {str(run.path)!r} trained on task {run.task!r}, not on {task!r}; leave out --task."
        )
    if not (task or run.task):
        raise UserError(f"{str(run.path)!r} does not say which task it was trained on; add --task.")
    known = {field.name: run.launch[field.name] for field in fields(Request) if run.launch.get(field.name) is not None}
    known["task"] = task or run.task
    known["agent"] = agent or run.agent or "rsl_rl_cfg_entry_point"
    return Request(**known)


def find_checkpoint(selector: str, log_root: str | os.PathLike[str], task: str | None = None) -> Path:
    """Return the checkpoint that the user means, as :func:`~cpo_rl.runs.find.resolve_checkpoint` does."""
    return resolve_checkpoint(selector, log_root, task=task)


def check_run_name(name: str) -> str:
    """Return a run name that is safe as the end of a folder's name.

    Raises:
        UserError: If it contains anything but letters, digits, dots, dashes and underscores.
    """
    if not re.fullmatch(r"[\w.\-]{0,100}", name):
        raise UserError(f"--run_name {name!r} must consist of at most 100 letters, digits, '.', '-' and '_'.")
    return name


def write_launch(folder: Path, request: Request, iterations: int) -> None:
    """Keep the request in the run folder, so that the run can be continued or played without repeating it.

    Args:
        folder: The run folder.
        request: What the run was started from.
        iterations: After how many iterations in all it ends.
    """
    RunFolder(folder).write_launch({**asdict(request), "iterations": iterations})


def restore_agent(run: Run, agent_cfg: Any) -> None:
    """Give a runner configuration the network and algorithm that a run of the stock launcher was trained with.

    Our own runs say it by the request they were started from; the stock launcher keeps only the resulting values.

    Args:
        run: The run.
        agent_cfg: Runner configuration; changed in place.
    """
    trained = {} if run.launch else run.folder.settings
    agent_cfg.from_dict({key: trained[key] for key in ("model", "algorithm", "obs_groups") if key in trained})


def iteration_of(checkpoint: Path) -> int:
    """Return how many iterations a checkpoint has behind it, 0 when its name does not say."""
    return checkpoint_iteration(checkpoint) or 0

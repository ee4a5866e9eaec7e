# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a job is, how one ends, and what a launcher offers; nothing here starts anything."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cpo_rl.runners.signals import GUARD_EXIT_CODE, HANDLED
from cpo_rl.runs.files import open_file, printable

OUTPUT = "output.log"
"""File in a job's folder with everything that its processes printed."""

STOPPED = {128 + number for number in HANDLED}
"""Statuses of a run that saved a checkpoint because a signal asked for it."""

_REFUSED = 2
_TAIL = 4096


@dataclass(frozen=True)
class Job:
    """One training run as a command that can be started again and again until it has all its iterations."""

    name: str
    """Name that no other job beside it has."""

    command: tuple[str, ...]
    """Program and arguments."""

    folder: Path
    """Run folder, absolute; every machine that may run the job sees it."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables besides those of the machine."""


@dataclass(frozen=True)
class End:
    """How a job ended."""

    code: int | None
    """Exit status, negative for the signal that killed it; None where nobody knows it."""

    reason: str = ""
    """Why, in words; empty for a job that did all it should."""

    @property
    def is_complete(self) -> bool:
        """Whether the job did all it should."""
        return self.code == 0

    @property
    def can_be_tried_again(self) -> bool:
        """Whether another try may end otherwise; what was refused, or stopped by the finite guard, would not."""
        return self.code not in (0, _REFUSED, GUARD_EXIT_CODE)


def end_of(job: Job, code: int) -> End:
    """Return how a job ended whose process has an exit status.

    Args:
        job: The job.
        code: Exit status, negative for the signal that killed it.
    """
    if code == 0:
        return End(0)
    said = last_line(job.folder / OUTPUT)
    if code < 0:
        name = _signal_name(-code)
        hint = ", perhaps because memory ran out" if -code == signal.SIGKILL else ""
        return End(code, f"was killed by {name}{hint}")
    if code in STOPPED:
        return End(code, f"was stopped by {_signal_name(code - 128)} with a checkpoint")
    if code == _REFUSED:
        return End(code, f"was refused: {said}")
    if code == GUARD_EXIT_CODE:
        return End(code, f"was stopped by the finite guard: {said}")
    return End(code, f"ended with status {code}: {said}")


def _signal_name(number: int) -> str:
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def last_line(path: Path) -> str:
    """Return the last line of what a job printed, in words where there is none."""
    try:
        with open_file(path) as file:
            file.seek(max(file.seek(0, 2) - _TAIL, 0))
            lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return printable(lines[-1].strip()) if lines else "it printed nothing"


class Running(Protocol):
    """A job that a launcher was given."""

    id: str
    """What the launcher calls it; enough to find it again after this process ended, where the launcher outlives it."""

    def poll(self) -> End | None:
        """Return how it ended; None as long as it has not."""

    def waits(self) -> bool:
        """Whether it was not given a place yet."""

    def stop(self, number: int) -> None:
        """Send a signal to the job's process."""


class Launcher(Protocol):
    """What starts jobs: this machine, Slurm or Ray."""

    name: str
    """Value of ``--launcher``."""

    at_once: int | None
    """Jobs that it is given at a time; None if it keeps the others waiting by itself."""

    outlives: bool
    """Whether its jobs go on when this process ends."""

    def start(self, jobs: Sequence[Job]) -> list[Running]:
        """Start jobs, each with its own handle.

        Raises:
            UserError: If it takes none.
        """

    def find(self, job: Job, known_as: str) -> Running | None:
        """Return a job that an earlier process gave to the launcher, if it is still there."""

    def close(self) -> None:
        """Give back what the launcher holds."""

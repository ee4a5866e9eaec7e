# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Stop requests from outside, and what a run ends with.

============================ ============== ========= ==========================================================
cause                        status         exit code what is left
============================ ============== ========= ==========================================================
all iterations done          finished       0         final checkpoint
finite guard                 stopped        3         last good checkpoint and a dump
SIGINT (Ctrl+C)              stopped        130       checkpoint
SIGTERM                      preempted      143       checkpoint
SIGUSR1                      preempted      138       checkpoint; schedulers send it ahead of a time limit
second SIGINT                lost           130       the last checkpoint; the process ends at once
exception                    crashed        1         the last checkpoint, traceback in ``run.log``
============================ ============== ========= ==========================================================
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals that end a run with a checkpoint."""

GUARD_EXIT_CODE = 3
"""Exit code of a run that the finite guard stopped."""


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended."""

    status: str
    """Status of the run's manifest."""

    exit_code: int
    """What the command should exit with."""

    message: str
    """One sentence for people."""

    @classmethod
    def of_signal(cls, number: int) -> RunOutcome:
        """Return the outcome of a run that a signal ended."""
        name = signal.Signals(number).name
        status = "stopped" if number == signal.SIGINT else "preempted"
        return cls(status, 128 + number, f"Stopped by {name} with a checkpoint; resuming continues from here.")


class StopTraining(BaseException):
    """Raised inside the training loop to leave it; never reaches the user.

    A BaseException, so that no handler of ordinary errors on the way can swallow it.
    """

    def __init__(self, outcome: RunOutcome, *, exact: bool = True) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.exact = exact
        """Whether an iteration had just ended; False in the middle of a rollout."""


class StopRequests:
    """Context in which the handled signals ask for a stop instead of ending the process.

    The handler only takes a note, so it is safe at any moment. After the first SIGINT the next one has its default
    effect again and ends the process at once, even inside the simulator's compiled code. Outside the main thread
    signals cannot be handled, and the context does nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        """The first signal that came, or None."""
        self._at = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            with contextlib.suppress(TypeError, ValueError):  # a handler installed from C reads as None
                signal.signal(number, handler)
        self._previous.clear()

    @property
    def seconds_since(self) -> float:
        """Time since the first signal [s]."""
        return time.monotonic() - self._at if self.number is not None else 0.0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

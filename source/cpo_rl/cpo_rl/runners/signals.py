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
SIGHUP                       preempted      129       checkpoint; the terminal closed. Ignored under ``nohup``
SIGUSR1                      preempted      138       checkpoint; schedulers send it ahead of a time limit
second SIGINT                lost           130       the last checkpoint; the process ends at once
exception                    crashed        1         the last checkpoint, traceback in ``run.log``
============================ ============== ========= ==========================================================
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
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


_END = 0
"""What is written to the listener instead of a signal's number to end it."""


class StopTraining(BaseException):
    """Raised inside the training loop to leave it; never reaches the user.

    A BaseException, so that no handler of ordinary errors on the way can swallow it.
    """

    def __init__(self, outcome: RunOutcome, *, exact: bool = True) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.exact = exact
        """Whether an iteration had just ended; False in the middle of a rollout."""


def signals_to_handle() -> tuple[signal.Signals, ...]:
    """Return those of :data:`HANDLED` that this process should obey: not a SIGHUP that ``nohup`` had it ignore."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return tuple(number for number in HANDLED if number != signal.SIGHUP or not ignored)


def acknowledgement(number: int, grace_s: float, *, cuts_rollouts: bool = True) -> str:
    """Return what is said as soon as a stop signal came: what is waited for, and what another signal would do.

    Args:
        number: The signal.
        grace_s: How long an iteration may go on after it before its rollout is cut short [s].
        cuts_rollouts: Whether a rollout can be cut short; processes that train together wait for each other instead.
    """
    name = "Ctrl+C" if number == signal.SIGINT else signal.Signals(number).name
    cut = f" (its rollout is cut short if that takes more than {grace_s:g} s)" if cuts_rollouts else ""
    again = (
        "Ctrl+C again ends the run at once and loses what came after the last checkpoint."
        if number == signal.SIGINT
        else f"Another {name} changes nothing; Ctrl+C twice ends the run at once."
    )
    return f"{name}: finishing this iteration{cut}, then a checkpoint is saved. {again}"


class StopRequests:
    """Context in which the handled signals ask for a stop instead of ending the process.

    The handler only takes a note, so it is safe at any moment. After the first SIGINT the next one has its default
    effect again and ends the process at once. Python runs handlers between two of its own instructions, which may be
    long in coming while the simulator computes; so a thread hears of every signal through
    :func:`signal.set_wakeup_fd`, says that it came, and ends the process at a second SIGINT. Outside the main
    thread signals cannot be handled, and the context does nothing.

    Args:
        tell: Called in a thread of its own with the first signal's number; what it raises is dropped.
    """

    def __init__(self, tell: Callable[[int], None] | None = None) -> None:
        self.number: int | None = None
        """The first signal that came, or None."""
        self._at = 0.0
        self._previous: dict[int, Any] = {}
        self._tell = tell
        self._pipe: tuple[int, int] | None = None
        self._previous_wakeup = -1
        self._listener: threading.Thread | None = None

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._listener = threading.Thread(target=self._listen, args=(self._pipe[0],), daemon=True)
            self._listener.start()
            self._previous_wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            for number in signals_to_handle():
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            with contextlib.suppress(TypeError, ValueError):  # a handler installed from C reads as None
                signal.signal(number, handler)
        self._previous.clear()
        if self._pipe is not None and self._listener is not None:
            signal.set_wakeup_fd(self._previous_wakeup)
            os.write(self._pipe[1], bytes([_END]))
            self._listener.join(timeout=5.0)  # it may be held up by a terminal that takes no more text
            if not self._listener.is_alive():
                for descriptor in self._pipe:
                    os.close(descriptor)
            self._pipe = None

    @property
    def seconds_since(self) -> float:
        """Time since the first signal [s]."""
        return time.monotonic() - self._at if self.number is not None else 0.0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._at = number, time.monotonic()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _listen(self, descriptor: int) -> None:
        """Hear of signals the moment they come, until told to end."""
        heard: list[int] = []
        while True:
            for number in os.read(descriptor, 64):
                if number == _END:
                    return
                if number not in HANDLED:
                    continue  # somebody else's
                if number == signal.SIGINT and number in heard:
                    os._exit(128 + number)  # the handler that would have left this to the system had no turn yet
                heard.append(number)
                if len(heard) == 1 and self._tell is not None:
                    with contextlib.suppress(Exception):
                        self._tell(number)

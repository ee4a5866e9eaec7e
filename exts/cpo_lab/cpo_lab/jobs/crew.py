# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Jobs brought to their ends by a launcher: started, watched, tried again when they die, stopped together."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from rich.console import Console, RenderableType
from rich.live import Live

from cpo_lab.jobs.job import STOPPED, End, Job, Launcher, Running
from cpo_lab.jobs.record import Record
from cpo_rl.errors import UserError
from cpo_rl.runners.signals import signals_to_handle
from cpo_rl.runs.lock import own_folder

LINES_S = 10.0
"""Time between progress lines where nothing is drawn [s]."""

LOOK_S = 0.5
"""Time between two looks at the jobs [s]."""

BUSY_LOOK_S = 5.0
"""Time between two tries to start a job whose folder another process owns [s]."""


@dataclass
class Turn:
    """Where a job is."""

    job: Job
    """The job."""

    state: str = "waiting"
    """``waiting``, ``in use`` (another process trains it), ``queued``, ``running``, ``done`` or ``failed``."""

    tries: int = 0
    """How often it was started by this command."""

    end: End | None = None
    """How it ended last."""

    running: Running | None = None
    """Its handle while a launcher has it."""

    due: float = 0.0
    """When it may be looked at again [s, monotonic]."""


@dataclass(frozen=True)
class View:
    """How progress is shown."""

    console: Console
    """Where."""

    table: Callable[[Mapping[str, Turn]], RenderableType]
    """Draws all jobs on a terminal."""

    lines: Callable[[Mapping[str, Turn]], list[str]]
    """Tells all jobs in a log, a line each."""


class Crew:
    """Brings jobs to their ends.

    Args:
        jobs: The jobs, whose names differ.
        launcher: What starts them.
        record: Keeps what was started.
        retries: How often a job that died is started again.
        view: Shows progress.
        is_complete: Tells whether a job has nothing left to do, from its folder.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        launcher: Launcher,
        record: Record,
        *,
        retries: int,
        view: View,
        is_complete: Callable[[Job], bool] = lambda job: False,
    ) -> None:
        self.turns = {job.name: Turn(job) for job in jobs}
        self._launcher, self._record, self._retries = launcher, record, retries
        self._view, self._is_complete = view, is_complete
        self._stopped: list[int] = []
        self._passed_on = 0

    def run(self) -> int:
        """Run all jobs until they have ended for good.

        The first stop signal (Ctrl+C, SIGTERM, SIGUSR1, SIGHUP) is passed on to all jobs, which save and end; a second
        one ends them at once. Jobs of a launcher that outlives this process go on instead.

        Returns:
            0 if all are done, 1 if one failed, 128 plus the signal's number after a stop.

        Raises:
            UserError: If the launcher takes no job.
        """
        previous = {number: signal.signal(number, self._stop) for number in signals_to_handle()}
        try:
            self._take_up()
            self._watch()
        finally:
            self._launcher.close()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self._exit_code()

    def _exit_code(self) -> int:
        """Return what the command exits with."""
        if any(turn.state == "failed" for turn in self.turns.values()):
            return 1
        return 128 + self._stopped[0] if self._stopped and self._left() else 0

    def _left(self) -> list[Turn]:
        return [turn for turn in self.turns.values() if turn.state not in ("done", "failed")]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Note a stop signal; a launcher's library may be anywhere now, so nothing is asked of it here."""
        self._stopped.append(number)

    def _pass_on(self) -> None:
        """Pass the stop signals on that came since the last look."""
        for count, number in enumerate(self._stopped[self._passed_on :], self._passed_on + 1):
            self._passed_on = count
            for turn in self.turns.values():
                if turn.running is not None and not self._launcher.outlives:
                    # twice the same signal would be taken as the first; the promise for a second one is Ctrl+C's
                    turn.running.stop(number if count == 1 else signal.SIGKILL)

    # -- one look ------------------------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Find the jobs that are done already, and those that the launcher still has from an earlier command."""
        for turn in self.turns.values():
            known_as = self._record.known_as(turn.job.name, self._launcher.name)
            if self._is_complete(turn.job):
                turn.state = "done"
            elif known_as is not None:
                turn.running = self._launcher.find(turn.job, known_as)
                turn.tries = 1 if turn.running else 0

    def _look(self) -> None:
        """Note the ends of jobs, and start those that wait."""
        for turn in self._left():
            end = turn.running.poll() if turn.running is not None else None
            if end is not None:
                self._note_end(turn, end)
            elif turn.running is not None:
                turn.state = "queued" if turn.running.waits() else "running"
        if not self._stopped:
            self._start_waiting()

    def _note_end(self, turn: Turn, end: End) -> None:
        turn.running, turn.end = None, end
        self._record.note_end(turn.job.name, end.code, end.reason)
        if end.is_complete:
            turn.state = "done"
        elif self._stopped:
            asked = {*(128 + n for n in self._stopped), *(-n for n in (*self._stopped, signal.SIGKILL))}
            turn.state = "waiting" if end.code in asked or end.code in STOPPED else "failed"
        elif end.can_be_tried_again and turn.tries <= self._retries:
            turn.state = "waiting"
            self._tell(f"{turn.job.name} {end.reason}; it is started again ({turn.tries} of {self._retries}).")
        else:
            turn.state = "failed"
            tried = f" after {turn.tries} tries" if turn.tries > 1 else ""
            self._tell(f"{turn.job.name} {end.reason}{tried}; what it printed is in {turn.job.folder}.")

    def _start_waiting(self) -> None:
        """Give the launcher as many jobs as it takes."""
        active = sum(turn.running is not None for turn in self.turns.values())
        limit = self._launcher.at_once
        room = len(self.turns) if limit is None else limit - active
        ready: list[Turn] = []
        for turn in self._left():
            if turn.running is None and len(ready) < room and self._is_free(turn):
                ready.append(turn)
        if not ready:
            return
        for turn, running in zip(ready, self._launcher.start([turn.job for turn in ready]), strict=True):
            turn.running, turn.state, turn.tries = running, "queued", turn.tries + 1
            self._record.note_start(turn.job.name, self._launcher.name, running.id)

    def _is_free(self, turn: Turn) -> bool:
        """Return whether a waiting job can start: it is not done, and no other process owns its folder."""
        if time.monotonic() < turn.due:
            return False
        try:
            own_folder(turn.job.folder).close()
        except UserError as error:
            if turn.state != "in use":
                self._tell(f"{turn.job.name} waits: {error}")
            turn.state, turn.due = "in use", time.monotonic() + BUSY_LOOK_S
            return False
        if self._is_complete(turn.job):
            turn.state = "done"
            return False
        turn.state = "waiting"
        return True

    # -- what is shown -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Look again and again, and show it, until nothing is left to do."""
        console = self._view.console
        with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
            due, told = 0.0, False
            while True:
                self._pass_on()
                self._look()
                running = any(turn.running is not None for turn in self.turns.values())
                ended = not (running if self._passed_on else self._left())
                if self._passed_on and not told:
                    told = True
                    self._tell_stop()
                    ended = ended or self._launcher.outlives
                if live is not None:
                    live.update(self._view.table(self.turns), refresh=True)
                elif time.monotonic() >= due or ended:
                    due = time.monotonic() + LINES_S
                    for line in self._view.lines(self.turns):
                        self._tell(line)
                if ended:
                    return
                time.sleep(LOOK_S)

    def _tell_stop(self) -> None:
        if self._launcher.outlives:
            ids = " ".join(turn.running.id for turn in self.turns.values() if turn.running is not None)
            self._tell(f"The jobs go on in {self._launcher.name}; the same command watches them again. ({ids})")
        else:
            self._tell("Stopping; every run saves first. Once more to end at once.")

    def _tell(self, line: str) -> None:
        self._view.console.print(line, markup=False, highlight=False, soft_wrap=True)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A thread in every process of a run that sees what its main thread, waiting for the others, cannot.

A process that hangs holds all others in their next collective call, deaf to signals, until that call times out. So
each publishes how far it got, once a second, in the store that the processes met in. Where nobody has moved for too
long, or a stop signal came and nobody moves, the run ends; whoever is behind the others is named, and so is whoever
failed first.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cpo_rl.distributed import PROGRESS
from cpo_rl.runners.signals import RunOutcome

_log = logging.getLogger(__name__)

LONGEST_S = 600.0
"""How long a process may stand still while it says that it is busy: until its first iteration, or writing [s]."""

QUIET_S = 10.0
"""How long nobody may move before a stop signal is obeyed without them [s]."""

WORD_S = 5.0
"""How long a process whose connection broke waits for the word of the one that broke it [s]."""


@dataclass(frozen=True)
class Sighting:
    """What a process last said about itself."""

    beats: int
    """How often it has spoken; a process that is gone falls silent."""

    moves: int
    """Environment steps and collective calls that it has begun; processes that train together count alike."""

    busy: bool
    """Whether it may stand still for :data:`LONGEST_S`."""


class RankWatch:
    """Watches the processes of a run while they train.

    Args:
        store: torch's key-value store of the processes.
        rank: Number of this process.
        world_size: Number of processes.
        timeout_s: How long nobody may move before the run ends [s].
        grace_s: How long a stop signal waits for the end of the iteration [s].
        end: Ends the process; called in the watching thread.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        world_size: int,
        *,
        timeout_s: float,
        grace_s: float,
        end: Callable[[RunOutcome], None],
    ) -> None:
        self._store, self._rank, self._world_size = store, rank, world_size
        self._timeout_s, self._grace_s, self._end = timeout_s, grace_s, end
        self._beats = 0
        self._busy = 1  # until the first iteration
        self._last: list[int | None] = []
        self._since = time.monotonic()
        self._ends = False
        self._signal: int | None = None
        self._signal_at = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="rank watch")

    def __enter__(self) -> RankWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join(timeout=5.0)

    # -- what the main thread tells ------------------------------------------------------------------------------------

    def started(self) -> None:
        """Say that an iteration is finished: what compiles or loads at the start of a run has done so."""
        self._busy = 0

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Say that this process may stand still meanwhile, because a disk may be slow."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy = max(self._busy - 1, 0)

    def stop_requested(self, number: int) -> None:
        """Say that a stop signal came to this process."""
        if self._signal is None:
            self._signal, self._signal_at = number, time.monotonic()

    def first_failure(self, error: BaseException) -> str | None:
        """Say that this process ends by an error; return who failed first, None if it was this one.

        A connection that broke is what others did; so their word is waited for.
        """
        self._ends = True  # and does not hang
        mine = f"{type(error).__name__}: {error}".split("\n")[0]
        try:
            if not _is_of_others(error):
                said = self._store.compare_set("failed", "", f"{self._rank} {mine}").decode()
            else:
                said = self._word_of_others()
        except Exception:  # the store ends with the process that keeps it
            return "the connection to another rank broke" if _is_of_others(error) else None
        rank, _, reason = said.partition(" ")
        return None if not said or int(rank) == self._rank else f"rank {rank} failed first: {reason}"

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        interval = min(1.0, self._timeout_s / 5)
        while not self._done.wait(interval):
            with contextlib.suppress(Exception):  # the store ends with the process that keeps it
                self.look()

    def look(self) -> None:
        """Publish how far this process got, and end the run if nobody gets any further."""
        self._beats += 1
        self._store.set(f"rank/{self._rank}", f"{self._beats} {PROGRESS.moves} {int(self._busy > 0)}")
        self._share_signal()
        seen = [self._sighting(rank) for rank in range(self._world_size)]
        moves, now = [None if s is None else s.moves for s in seen], time.monotonic()
        if moves != self._last:
            self._last, self._since = moves, now
        if self._ends:
            return
        still = now - self._since
        limit = LONGEST_S if any(s is None or s.busy for s in seen) else self._timeout_s
        who = _behind(moves)
        if self._signal is not None and min(still, now - self._signal_at) > min(QUIET_S, self._grace_s):
            outcome = RunOutcome.of_signal(self._signal)
            message = f"Stopped by a signal without a checkpoint, because {who}; the last checkpoint is what is left."
            self._end(RunOutcome(outcome.status, outcome.exit_code, message))
        elif still > limit:
            message = f"Nothing has moved for {still:.0f} s, because {who} (rank_timeout_s={self._timeout_s:g})."
            self._end(RunOutcome("crashed", 1, message))

    def _share_signal(self) -> None:
        """Let all processes know of a stop signal that came to one."""
        if self._signal is not None:
            self._store.set("stop", str(self._signal))
        elif self._store.check(["stop"]):
            self.stop_requested(int(self._store.get("stop")))

    def _sighting(self, rank: int) -> Sighting | None:
        """What a process last said; None if it has not spoken yet."""
        key = f"rank/{rank}"
        if not self._store.check([key]):
            return None
        beats, moves, busy = map(int, self._store.get(key).split())
        return Sighting(beats, moves, bool(busy))

    def _word_of_others(self) -> str:
        """Wait for the word of the process that failed; where none comes, name one that has fallen silent."""
        before = [self._sighting(rank) for rank in range(self._world_size)]
        until = time.monotonic() + WORD_S
        while time.monotonic() < until:
            if self._store.check(["failed"]):
                said = self._store.get("failed").decode()
                if said:
                    return said
            time.sleep(0.1)
        after = [self._sighting(rank) for rank in range(self._world_size)]
        silent = [rank for rank in range(self._world_size) if rank != self._rank and before[rank] == after[rank]]
        return f"{silent[0]} it ended without a word (killed?)" if silent else ""


def meeting_place() -> Any:
    """Return the store of this run's processes, with keys of our own."""
    from torch.distributed import PrefixStore
    from torch.distributed.distributed_c10d import _get_default_store

    return PrefixStore("cpo_rl", _get_default_store())


def _behind(moves: list[int | None]) -> str:
    """Return in words who holds the others up: the processes that have done least."""
    known = [-1 if n is None else n for n in moves]
    behind = [str(rank) for rank, n in enumerate(known) if n == min(known)]
    if len(behind) == len(known):
        return "all ranks stand still at one place"
    return f"rank {', '.join(behind)} {'hang' if len(behind) > 1 else 'hangs'}"


def _is_of_others(error: BaseException) -> bool:
    """Return whether an error is of a collective call, which another process's end makes fail."""
    text = str(error)
    return isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "NCCL", "Connection ", "c10d"))

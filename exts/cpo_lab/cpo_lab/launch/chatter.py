# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What engines print while they start: some twenty lines, a few of them alarming, kept from the screen.

Training keeps it in ``run.log``; play and evaluate, which have none, drop it where the start succeeds.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cpo_lab.launch.configuration import Resolved

LAST_LINES = 30
"""Lines shown of what was kept if the start fails."""

ENGINE_OUTPUT = "show what the engine prints while it starts; else only the end of it, if the start fails"
"""What ``--verbose`` does where there is no ``run.log`` to keep it in."""


def startup_output(resolved: Resolved, visualizers: Sequence[str], *, verbose: bool) -> StartupOutput:
    """Return the context for the start of what a configuration describes.

    Isaac Sim's output is always shown: it may ask for its license, and takes a minute in which it tells what it does.
    """
    may_be_kit = resolved.request.physics in ("isaacsim_physx", "physx") or "kit" in visualizers
    return StartupOutput(shown=verbose or (may_be_kit and find_spec("isaacsim") is not None))


class StartupOutput:
    """Context that keeps everything printed, by Python and by compiled code, until :meth:`release` or a failure.

    A failure shows the end of what was kept. A crash of compiled code is still reported on the screen.

    Args:
        shown: Whether to leave the screen alone instead.
    """

    def __init__(self, *, shown: bool = False) -> None:
        self._shown = shown
        self._kept: IO[bytes] | None = None
        self._screen: dict[int, int] = {}
        self._streams: tuple[Any, Any] | None = None
        self._crash_report: IO[str] | None = None

    def __enter__(self) -> StartupOutput:
        if self._shown:
            return self
        try:
            self._kept = tempfile.TemporaryFile()
            _flush()
            for descriptor in (1, 2):
                self._screen[descriptor] = os.dup(descriptor)
                os.dup2(self._kept.fileno(), descriptor)
            # where Python's streams are not those descriptors, as in a notebook
            self._streams = sys.stdout, sys.stderr
            sys.stdout = sys.stderr = os.fdopen(
                os.dup(self._kept.fileno()), "w", encoding="utf-8", errors="backslashreplace", buffering=1
            )
        except OSError:  # no room for the file: the screen will do
            self._restore()
            return self
        if not faulthandler.is_enabled():
            self._crash_report = os.fdopen(os.dup(self._screen[2]), "w")
            faulthandler.enable(self._crash_report)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = self._take()
        if kept and error is not None:
            lines = kept.decode("utf-8", errors="replace").splitlines()
            sys.stderr.write("\n".join(lines[-LAST_LINES:]) + "\n")

    def release(self, log: Path | None) -> None:
        """Give the screen back and append what was kept to a file; a full disk loses it.

        Args:
            log: The file, or None to drop it.
        """
        kept = self._take()
        if not kept or log is None:
            return
        try:
            with log.open("ab") as file:
                file.write(b"-- printed while the engine started --\n" + kept.rstrip(b"\n") + b"\n-- end --\n")
        except OSError:
            return

    def _take(self) -> bytes:
        """Return what was kept, after giving the screen back."""
        if not self._screen or self._kept is None:
            return b""
        self._restore()
        self._kept.seek(0)
        with self._kept as file:
            return file.read()

    def _restore(self) -> None:
        _flush()
        if self._streams is not None:
            sys.stdout.close()
            sys.stdout, sys.stderr = self._streams
            self._streams = None
        if self._crash_report is not None:
            faulthandler.disable()
            self._crash_report.close()
            self._crash_report = None
        for descriptor, screen in self._screen.items():
            os.dup2(screen, descriptor)
            os.close(screen)
        self._screen.clear()


def _flush() -> None:
    """Hand on what Python and compiled code have buffered."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)

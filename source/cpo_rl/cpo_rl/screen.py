# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Standard output that cannot end a run: a line that it does not take is lost, and that is recorded once.

A disk that is full, a reader that is gone, a terminal without the letter: whoever prints, we or a library, would meet
an exception in the middle of training, and the interpreter would end with a status of its own because it cannot flush.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_log = logging.getLogger(__name__)


class ForgivingStream:
    """A text stream whose writing never raises; everything else is asked of the stream behind it.

    Args:
        stream: Where text goes.
        name: What to call it in messages.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.error: OSError | ValueError | None = None
        """Why text was lost first, None if none was."""

    def write(self, text: str) -> int:
        """Write text, or lose it; a letter that the stream cannot express becomes a question mark."""
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                self._stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what was not written yet."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Ask the stream for whatever is not ours."""
        return getattr(self._stream, name)

    def _lose(self, error: OSError | ValueError) -> None:
        """Note why, and empty the stream's buffer, or the interpreter would fail to do so when it ends."""
        told, self.error = self.error is not None, self.error or error
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = self._stream.fileno()
            kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, descriptor)
                with contextlib.suppress(OSError, ValueError):
                    self._stream.flush()
            finally:
                os.dup2(kept, descriptor)
                os.close(kept)
                os.close(nowhere)
        if not told:
            self.tell()

    def tell(self) -> None:
        """Log that text was lost, if any was."""
        if self.error is not None:
            text = getattr(self.error, "strerror", None) or self.error
            _log.warning("%s could not be written (%s); lines are lost, nothing else.", self._name, text)

    @property
    def failed(self) -> bool:
        """Whether text was lost that somebody may still have wanted; a reader that went away has seen enough."""
        return self.error is not None and getattr(self.error, "errno", None) != errno.EPIPE


@contextlib.contextmanager
def forgiving_output() -> Iterator[None]:
    """Make standard output and standard error forgiving; where they already are, nothing changes.

    Descriptors 0 to 2 that were closed are opened to nowhere, or the next file of the run would get the number and with
    it what compiled code prints.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _forgiving(before[0], "standard output"), _forgiving(before[1], "standard error")
    ours = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in ours:
            stream.flush()
        sys.stdout, sys.stderr = before


def lost_output() -> list[ForgivingStream]:
    """Return those of standard output and standard error that lost text."""
    streams = (sys.stdout, sys.stderr)
    return [stream for stream in streams if isinstance(stream, ForgivingStream) and stream.error is not None]


def _forgiving(stream: TextIO | None, name: str) -> Any:
    """Return a stream as a forgiving one; None, which stands for a closed one, as one that goes nowhere."""
    if isinstance(stream, ForgivingStream):
        return stream
    return ForgivingStream(stream or open(os.devnull, "w", encoding="utf-8"), name)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One run per folder and one process per run: a lock that the kernel releases, whatever way its owner ends.

The lock is an ``flock`` on the hidden file ``.lock`` in the folder. The file stays when the lock goes, because a
process that waits for it must find the same one; host and process in it are for whoever is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from cpo_rl.errors import UserError
from cpo_rl.runs.files import parse_json, reason, shown
from cpo_rl.runs.provenance import now

try:
    import fcntl
except ImportError:  # no such locks on this platform
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
"""Name of the file that is locked."""

_LOOK_S = 0.1
"""Time between two attempts of a process that waits [s]."""

_MOST_BYTES = 4096
"""Most that is read of a lock file, which somebody else wrote."""


@dataclass
class _Held:
    """A lock of this process and how many parts of it share it."""

    descriptor: int
    users: int = 1


_held: dict[tuple[int, int], _Held] = {}
"""Locks of this process, by device and number of their file."""

_guard = threading.RLock()


class FolderLock:
    """Ownership of a folder, until :meth:`close` or the end of the process.

    Parts of one process share a folder: the launcher owns it before the runner does.

    Attributes:
        note: Why nothing keeps other processes out, a sentence; None where the lock holds.
    """

    def __init__(self, key: tuple[int, int] | None, note: str | None = None) -> None:
        self._key = key
        self.note = note

    def close(self) -> None:
        """Give the folder back; the kernel does it when the process ends."""
        key, self._key = self._key, None
        with _guard:
            if key is None or (held := _held.get(key)) is None:
                return
            held.users -= 1
            if held.users == 0:
                del _held[key]
                os.close(held.descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, TypeError, OSError):  # the interpreter may be half gone
            self.close()


def own_folder(path: str | os.PathLike[str], *, wait_s: float = 0.0) -> FolderLock:
    """Make a folder if it is missing, and own it; nothing else is written.

    Args:
        path: The folder.
        wait_s: How long to wait for another process that owns it [s].

    Returns:
        The lock. On a file system or platform without such locks it holds nothing and its ``note`` says so.

    Raises:
        UserError: If another process owns the folder, or it cannot be written.
    """
    folder, end = Path(path), time.monotonic() + wait_s
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise UserError(
                f"run folder {shown(folder)!r} cannot be written ({reason(error)}); choose another."
            ) from None
        with _guard:
            lock = _take(descriptor, folder)
        if lock is not None:
            return lock
        if time.monotonic() >= end:
            raise UserError(f"run folder {shown(folder)!r} is in use by {_owner(folder)}; wait for it, stop it, "
                            "or name another folder.")  # fmt: skip
        time.sleep(_LOOK_S)


def _take(descriptor: int, folder: Path) -> FolderLock | None:
    """Lock an open lock file; None if another process has it, or if the folder was replaced meanwhile."""
    file = os.fstat(descriptor)
    key = (file.st_dev, file.st_ino)
    if key in _held:
        os.close(descriptor)
        _held[key].users += 1
        return FolderLock(key)
    try:
        if fcntl is None:
            raise OSError("this platform has none")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        return FolderLock(
            None,
            f"{shown(folder)} cannot be locked ({reason(error)}): nothing keeps a second process out of this folder, "
            "so start none.",
        )
    if not _is_at(file, folder):
        os.close(descriptor)
        return None
    with contextlib.suppress(OSError):  # a full disk; the lock holds all the same
        line = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": now()}) + "\n"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, line.encode("utf-8"), 0)
    _held[key] = _Held(descriptor)
    return FolderLock(key)


def _is_at(file: os.stat_result, folder: Path) -> bool:
    """Return whether an open lock file is still the one in the folder, which may have been moved or deleted."""
    try:
        return os.path.samestat(file, os.stat(folder / LOCK_FILE))
    except OSError:
        return False


def _owner(folder: Path) -> str:
    """Return who owns a folder, in words, as far as its lock file tells."""
    try:
        with open(folder / LOCK_FILE, "rb") as file:
            told = parse_json(file.read(_MOST_BYTES).decode("utf-8", errors="replace"))
    except (OSError, ValueError):
        told = {}
    pid, host, since = told.get("pid"), told.get("host"), told.get("since")
    if type(pid) is not int or not isinstance(host, str):
        return "another process"
    here = " (this machine)" if host == socket.gethostname() else ""
    began = f" since {since[:40]!r}".replace("'", "") if isinstance(since, str) else ""
    return f"process {pid} on host {host[:100]!r}{here}{began}"


def _forget() -> None:
    """Let go of the parent's locks in a forked process, which would otherwise hold them beyond the parent's end."""
    global _guard
    _guard = threading.RLock()  # another thread of the parent may have held it
    for held in _held.values():
        with contextlib.suppress(OSError):
            os.close(held.descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# -- folders of one's own ----------------------------------------------------------------------------------------------


def make_run_folder(log_root: Path, experiment: str, run_name: str) -> Path:
    """Make a new run folder, named by the time as the stock launcher does; two starts never get the same one.

    Raises:
        UserError: If it cannot be made.
    """
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S") + (f"_{run_name}" if run_name else "")
    return _make_new(log_root / experiment / stem)


def move_aside(folder: Path) -> Path:
    """Rename a folder with everything in it, in one step, and return where it is now.

    Only call it for a folder that this process owns.

    Raises:
        UserError: If it cannot be renamed.
    """
    aside = _make_new(folder.with_name(f"{folder.name}.aside-{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}"))
    try:
        os.rename(folder, aside)  # onto the empty folder, whose name nobody else can take meanwhile
    except OSError as error:
        aside.rmdir()
        raise UserError(f"{str(folder)!r} cannot be moved aside ({reason(error)}); choose another folder.") from None
    return aside


def _make_new(folder: Path) -> Path:
    """Make a folder of this name, or with a number behind it where the name is taken."""
    path, count = folder, 1
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.mkdir()
                return path
            except FileExistsError:
                count += 1
                path = folder.with_name(f"{folder.name}-{count}")
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be made ({reason(error)}); choose another folder.") from None

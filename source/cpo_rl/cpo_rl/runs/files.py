# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Files that appear whole or not at all, and the one way to read JSON.

A file is written beside its target under a hidden name, flushed to the disk and renamed. A process killed at any moment
leaves the old file, or the new one, plus at worst a hidden leftover that :func:`remove_leftovers` clears.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

MAX_FILE = 1 << 34
"""Largest file that is read whole where nothing states its size [B]."""

MAX_JSON = 1 << 26
"""Largest JSON file that is read [bytes]; ours have kilobytes."""

_log = logging.getLogger(__name__)

TEMPORARY_SUFFIX = ".tmp"
"""Ending of files that are still being written; their names also start with a dot."""


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Create or replace ``path`` with what ``write`` puts into the file object it is given.

    The data reach the disk before the name does, and the folder entry after it: a power cut leaves the same two
    outcomes as a kill.

    Args:
        path: Target; its folder must exist.
        write: Called once with a binary file open for writing.

    Raises:
        OSError: If the disk is full, read-only or gone. The target is untouched then.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(target.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush the entries of ``folder``; silently skipped on file systems that do not offer it (some network mounts)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Atomically create or replace ``path`` with ``data``."""
    atomic_write(path, lambda file: file.write(data))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Atomically create or replace ``path`` with ``text`` in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Atomically create or replace ``path`` with ``value`` as indented JSON.

    Raises:
        TypeError: If ``value`` holds something JSON has no form for.
        ValueError: If ``value`` holds NaN or infinity, which JSON cannot express.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _finite(text: str) -> float | None:
    """A number of a JSON file; None for one that is none or too large to be one, which could not be written again."""
    number = float(text)
    return number if math.isfinite(number) else None


def parse_json(text: str, *, finite: bool = False) -> dict[str, Any]:
    """Return the JSON object that a text holds.

    Args:
        text: The text.
        finite: Whether NaN and infinity, which JSON has no form for, read as None.

    Raises:
        ValueError: If it holds none.
    """
    try:
        number: Any = _finite if finite else None
        value = json.loads(text, parse_constant=number, parse_float=number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_json(path: str | os.PathLike[str], *, finite: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: The file.
        finite: Whether NaN and infinity, which JSON has no form for, read as None.

    Raises:
        OSError: If the file is missing, no file or cannot be read.
        ValueError: If it holds no JSON object, or more than :data:`MAX_JSON` bytes.
    """
    return parse_json(read_file(path, MAX_JSON).decode("utf-8"), finite=finite)


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file for reading bytes; whatever else has that name is refused: a pipe would wait, a device never end.

    Raises:
        OSError: If it is missing, no file, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file", os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Return what a file holds.

    Args:
        path: The file.
        most: Largest size that is read [B].

    Raises:
        OSError: If it is missing, no file, or cannot be read.
        ValueError: If it is larger.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"larger than {most >> 20} MiB")
        return file.read()


def put_aside(path: Path, why: str) -> None:
    """Rename what cannot be continued to ``<name>.damaged``, or the next free name of that kind.

    Raises:
        OSError: If it cannot be renamed.
    """
    names = (path.with_name(f"{path.name}.damaged{number}") for number in ("", *(f"-{n}" for n in range(2, 10_000))))
    aside = next(name for name in names if not os.path.lexists(name))
    _log.warning("%s %s; it is kept as %s.", path, why, aside.name)
    os.replace(path, aside)


def reason(error: Exception) -> str:
    """Return what an error says, in words that fit into a sentence."""
    text = (isinstance(error, OSError) and error.strerror) or str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text for people: bytes that are no UTF-8 and what would move the cursor are replaced."""
    return printable(os.fsencode(path).decode("utf-8", errors="replace"), 4096)


def printable(text: str, most: int = 300) -> str:
    """Return text on one line without control characters, which could redraw a terminal.

    Args:
        text: What a file says.
        most: Letters kept of it.
    """
    cut = text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cut)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` filled in; as it is where nobody has that home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def remove_leftovers(folder: str | os.PathLike[str]) -> list[str]:
    """Delete the hidden temporaries that a killed process left in ``folder``.

    Only call it for a folder that no other process is writing to.

    Returns:
        Names of the deleted files.
    """
    removed = []
    for entry in os.scandir(folder):
        if (
            entry.name.startswith(".")
            and entry.name.endswith(TEMPORARY_SUFFIX)
            and entry.is_file(follow_symlinks=False)
        ):
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
                removed.append(entry.name)
    return removed


def plain_config(value: Any) -> Any:
    """Return a configuration as JSON values: callables by their names, floats that are not finite as text."""
    if isinstance(value, Mapping):
        return {str(key): plain_config(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_config(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", None) or str(value)

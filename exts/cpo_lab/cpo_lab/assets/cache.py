# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A folder of generated files that is keyed by content, so that it never has to be cleaned and never goes stale."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import inspect
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.runs.files import expanded, write_text

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "CPO_LAB_CACHE"
"""Environment variable that names the folder of every cache (:mod:`cpo_lab.launch.caches`)."""


def cache_dir() -> Path:
    """Folder for generated files: ``$CPO_LAB_CACHE``, else ``cpo_lab`` in the user's cache folder.

    An account without a home gets a folder of its own among the temporary files.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return expanded(chosen).resolve()
    return usual_cache() or private_temporary()


def usual_cache() -> Path | None:
    """Folder for generated files where ``CPO_LAB_CACHE`` is not set; None for an account without a home."""
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"], "cpo_lab")
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "cpo_lab")
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry among the users
        return None
    return home / "AppData" / "Local" / "cpo_lab" if sys.platform == "win32" else home / ".cache" / "cpo_lab"


@functools.cache
def private_temporary() -> Path:
    """Make and return a folder among the temporary files that only this user can read and write."""
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir(), f"cpo_lab_{user}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    return Path(tempfile.mkdtemp(prefix="cpo_lab_"))  # the name is somebody else's


def is_generated(path: str) -> bool:
    """Whether a path names one of the files in the cache folder, or, being empty, one that is yet to be made."""
    return not path or Path(path).parent == cache_dir()


def cached_usd(name: str, content: Any, writer: Callable[[Path], None], suffix: str = ".usda") -> str:
    """Path of the file that ``writer`` makes from ``content``; written only if it is not there whole.

    Beside it lies its SHA-256, so that a damaged file is noticed and made again. The file name holds a hash of
    ``content``, of the source file that defines ``writer`` and of :mod:`cpo_lab.assets.authoring`, so a changed number
    or a changed writer gives a new file. Any number of processes may ask at once: each writes to its own temporary name
    and renames it, which is atomic, so a reader sees either no file or a whole one.

    Args:
        name: Start of the file name, e.g. the robot's.
        content: Everything that decides the content of the file; must have a complete ``repr`` (a frozen dataclass).
        writer: Called with the path to write, which ends in ``suffix``.
        suffix: File extension, ``.usda`` or ``.usd``.

    Returns:
        Absolute path.

    Raises:
        UserError: If the cache folder cannot be written.
    """
    target = cache_dir() / f"{name}_{_key(content, writer)}{suffix}"
    if _is_whole(target):
        return str(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}_", suffix=suffix, dir=target.parent)
        os.close(handle)
        os.unlink(temporary)  # USD refuses to create a layer over an existing file that it did not make
        try:
            writer(Path(temporary))
            os.chmod(temporary, 0o644)
            write_text(_sum_of(target), _sha256(Path(temporary)))
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise UserError(
            f"Generated models cannot be written to {target.parent} ({error.strerror or error}); set {CACHE_VARIABLE} "
            "to a writable folder."
        ) from error
    logger.info("generated %s", target)
    return str(target)


def _sum_of(target: Path) -> Path:
    """File with the checksum of a generated file."""
    return target.with_name(f"{target.name}.sha256")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _is_whole(target: Path) -> bool:
    """Whether a generated file is there as it was written."""
    try:
        return _sum_of(target).read_bytes() == _sha256(target).encode()
    except OSError:
        return False


def _key(content: Any, writer: Callable[[Path], None]) -> str:
    """First 16 hex digits of the SHA-256 of everything that decides the file."""
    digest = hashlib.sha256(repr(content).encode())
    sources = {Path(__file__).with_name("authoring.py"), Path(inspect.getfile(inspect.unwrap(writer)))}
    for source in sorted(filter(Path.is_file, sources)):  # a writer typed into a prompt has no file
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]

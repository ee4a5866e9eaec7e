# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A folder of generated files that is keyed by content, so that it never has to be cleaned and never goes stale."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "CPO_LAB_CACHE"
"""Environment variable that names another cache folder."""


def cache_dir() -> Path:
    """Folder for generated files: ``$CPO_LAB_CACHE``, else ``cpo_lab`` in the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().resolve()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cpo_lab"


def is_generated(path: str) -> bool:
    """Whether a path names one of the files in the cache folder, or, being empty, one that is yet to be made."""
    return not path or Path(path).parent == cache_dir()


def cached_usd(name: str, content: Any, writer: Callable[[Path], None], suffix: str = ".usda") -> str:
    """Path of the file that ``writer`` makes from ``content``; written only if it is not there yet.

    The file name holds a hash of ``content``, of the source file that defines ``writer`` and of
    :mod:`cpo_lab.assets.authoring`, so a changed number or a changed writer gives a new file. Any number of processes
    may ask at once: each writes to its own temporary name and renames it, which is atomic, so a reader sees either no
    file or a whole one.

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
    if target.is_file():
        return str(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}_", suffix=suffix, dir=target.parent)
    except OSError as error:
        raise UserError(
            f"Generated models cannot be written to {target.parent} ({error.strerror or error}); set {CACHE_VARIABLE} "
            "to a writable folder."
        ) from error
    os.close(handle)
    os.unlink(temporary)  # USD refuses to create a layer over an existing file that it did not make
    try:
        writer(Path(temporary))
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    logger.info("generated %s", target)
    return str(target)


def _key(content: Any, writer: Callable[[Path], None]) -> str:
    """First 16 hex digits of the SHA-256 of everything that decides the file."""
    digest = hashlib.sha256(repr(content).encode())
    sources = {Path(__file__).with_name("authoring.py"), Path(inspect.getfile(inspect.unwrap(writer)))}
    for source in sorted(filter(Path.is_file, sources)):  # a writer typed into a prompt has no file
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]

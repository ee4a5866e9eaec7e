# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a result came from: time, library versions, machine, commit, configuration. Kept in every run and checkpoint."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpo_rl.threads import usable_cores

_LIBRARIES = ("cpo-lab", "torch", "rsl-rl-lib", "isaaclab", "ovphysx", "newton", "warp-lang", "numpy")


def now() -> str:
    """Return the time in UTC, ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def age_s(stamp: Any, at: datetime | None = None) -> float | None:
    """Return the time since a stamp of :func:`now` [s], None if it cannot be read.

    Args:
        stamp: The time, ISO 8601.
        at: The present; now by default.
    """
    try:
        return ((at or datetime.now(UTC)) - datetime.fromisoformat(stamp)).total_seconds()
    except (TypeError, ValueError):
        return None


def library_versions() -> dict[str, str]:
    """Return the installed versions of Python and of the libraries that decide results; absent ones are left out."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, str | int]:
    """Return host name, machine type and the number of usable cores."""
    return {"host": socket.gethostname(), "machine": platform.machine(), "cpus": usable_cores()}


@functools.cache
def git_commit(folder: str | os.PathLike[str] | None = None) -> str | None:
    """Return the commit of the checkout that holds ``folder`` (default: this package), ``+changes`` if it is dirty.

    Returns:
        The hash, or None outside a git checkout or without git.
    """
    where = str(folder or Path(__file__).parent)
    try:
        run = [
            subprocess.run(["git", "-C", where, *args], capture_output=True, text=True, timeout=10, check=True).stdout
            for args in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return run[0].strip() + ("+changes" if run[1].strip() else "")


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what of the facts about a run is another now: name to the fact before and now.

    Args:
        before: Facts as its manifest holds them; one that it lacks is not compared.
        now: Facts by name; tables are compared entry by entry. ``config_hash`` is left out: The settings tell more.
    """
    found: dict[str, list[Any]] = {}
    for name, value in now.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            found |= {f"{name}.{key}": change for key, change in differing(old, value).items()}
        elif name != "config_hash" and old is not None and old != value:
            found[name] = [old, value]
    return found


def config_hash(*configs: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of configurations, independent of the order of keys."""
    text = json.dumps(configs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One folder per run that a colleague can read; ``docs/run_folder.md`` describes every file in it.

This module imports no torch, so that commands which only read runs start at once.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import socket
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.runs.files import write_json
from cpo_rl.runs.tables import DiagnosticsFile, MetricsTable

_log = logging.getLogger(__name__)

RUN_FORMAT = 1
"""Version of ``manifest.json``; a reader refuses a higher one."""

STATUSES = ("running", "finished", "stopped", "preempted", "crashed")
"""Values of the manifest field ``status``."""

_LIBRARIES = ("cpo-lab", "torch", "rsl-rl-lib", "isaaclab", "ovphysx", "newton", "warp-lang", "numpy")


def now() -> str:
    """Return the time in UTC, ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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
    return {"host": socket.gethostname(), "machine": platform.machine(), "cpus": len(os.sched_getaffinity(0))}


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


def config_hash(*configs: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of configurations, independent of the order of keys."""
    text = json.dumps(configs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


class RunFolder:
    """The folder of one training run.

    Attributes:
        path: Absolute path of the folder.
        manifest: Content of ``manifest.json``; change it through :meth:`update`.
    """

    MANIFEST = "manifest.json"

    def __init__(self, path: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
        self.path = Path(path).resolve()
        self.manifest = manifest

    @classmethod
    def create(cls, path: str | os.PathLike[str], **fields: Any) -> RunFolder:
        """Make the folder and its manifest, completing ``fields`` with versions, hardware and git commit.

        Args:
            path: Folder to make; parents are made too. An existing folder without a manifest is taken over.
            **fields: Manifest fields known now, such as ``task``, ``algorithm``, ``seed`` and ``num_envs``.

        Raises:
            UserError: If the folder cannot be written or already holds a run.
        """
        folder = Path(path)
        if (folder / cls.MANIFEST).exists():
            raise UserError(f"log_dir {str(folder)!r} already holds a run; resume it or choose another run name.")
        manifest: dict[str, Any] = {
            "format": RUN_FORMAT,
            "task": None,
            "algorithm": None,
            "seed": None,
            "num_envs": None,
            "device": None,
            "physics": None,
            "config_hash": None,
            "status": "running",
            "iteration": 0,
            "env_steps": 0,
            "versions": library_versions(),
            "hardware": hardware(),
            "git_commit": git_commit(),
            "pid": os.getpid(),
            "created": now(),
            "updated": now(),
            "history": [],
        }
        manifest.update(fields)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / cls.MANIFEST, manifest)
        except OSError as error:
            raise UserError(f"log_dir {str(folder)!r} cannot be written ({error.strerror}); choose another.") from None
        return cls(folder, manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Read the manifest of an existing run.

        Raises:
            UserError: If the folder holds no readable manifest or one of a newer format.
        """
        file = Path(path) / cls.MANIFEST
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = manifest["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"run folder {str(path)!r} holds no readable {cls.MANIFEST}; name the folder of a run."
            ) from None
        if not isinstance(version, int) or version > RUN_FORMAT:
            raise UserError(
                f"run folder {str(path)!r} has format {version}; this version reads up to {RUN_FORMAT}, update it."
            )
        return cls(path, manifest)

    @property
    def metrics_file(self) -> Path:
        """Path of the metrics table."""
        return self.path / "metrics.csv"

    def metrics(self) -> MetricsTable:
        """Return the writer of ``metrics.csv``."""
        return MetricsTable(self.metrics_file)

    def diagnostics(self) -> DiagnosticsFile:
        """Return the writer of ``diagnostics.jsonl``."""
        return DiagnosticsFile(self.path / "diagnostics.jsonl")

    def update(self, **fields: Any) -> None:
        """Change manifest fields and write the manifest atomically; ``updated`` is set to now.

        Raises:
            ValueError: If ``status`` is not one of :data:`STATUSES`.
            OSError: If the disk is full or read-only.
        """
        if fields.get("status", "running") not in STATUSES:
            raise ValueError(f"status must be one of {STATUSES}, got {fields['status']!r}.")
        self.manifest.update(fields, updated=now())
        write_json(self.path / self.MANIFEST, self.manifest)

    def note(self, event: str, **details: Any) -> None:
        """Add ``{"time", "event", **details}`` to the manifest's ``history`` (resumed, preempted, disk full, ...)."""
        self.update(history=[*self.manifest.get("history", []), {"time": now(), "event": event, **details}])

    def health(self) -> str:
        """Return the status, with a ``running`` whose process is gone on this host reported as ``lost``."""
        status = str(self.manifest.get("status"))
        host = self.manifest.get("hardware", {}).get("host")
        if status == "running" and host == socket.gethostname() and not _alive(self.manifest.get("pid")):
            return "lost"
        return status


def _alive(pid: object) -> bool:
    """Return whether a process of this number exists."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find_runs(root: str | os.PathLike[str], **match: Any) -> Iterator[RunFolder]:
    """Yield the runs below ``root`` at most two folders deep, oldest first.

    Args:
        root: ``logs/rsl_rl``, one experiment below it, or a run itself.
        **match: Manifest fields that must be equal, for example ``task``; None matches anything.
    """
    base = Path(root)
    found: list[RunFolder] = []
    for pattern in (RunFolder.MANIFEST, f"*/{RunFolder.MANIFEST}", f"*/*/{RunFolder.MANIFEST}"):
        for file in base.glob(pattern):
            try:
                found.append(RunFolder.open(file.parent))
            except UserError as error:
                _log.warning("Skipping a folder: %s", error)
    wanted: Mapping[str, Any] = {key: value for key, value in match.items() if value is not None}
    for run in sorted(found, key=lambda run: (str(run.manifest.get("created")), run.path.name)):
        if all(run.manifest.get(key) == value for key, value in wanted.items()):
            yield run

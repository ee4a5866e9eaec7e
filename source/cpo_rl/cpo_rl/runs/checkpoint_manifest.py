# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The sidecar ``model_<n>.json``: what a checkpoint is, what it belongs to, and the checksum that proves it whole."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.runs.files import open_file, read_json

FORMAT = 1
"""Version of the checkpoint format written by this library; 0 is what rsl_rl's own runner writes."""


def sha256(data: bytes | memoryview) -> str:
    """Return the SHA-256 of ``data`` in hex digits."""
    return hashlib.sha256(data).hexdigest()


def manifest_path(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the sidecar of a checkpoint file: the same name ending in ``.json``."""
    return Path(checkpoint).with_suffix(".json")


@dataclass
class CheckpointManifest:
    """Content of the sidecar.

    The checksum and size are filled in by the store; everything else by whoever saves.
    """

    iteration: int
    """Finished iterations, at least 0."""

    env_steps: int = 0
    """Environment steps of all ranks taken until this checkpoint."""

    format: int = FORMAT
    """Version of the checkpoint format."""

    size: int = 0
    """Size of the checkpoint file [bytes]."""

    sha256: str = ""
    """Checksum of the checkpoint file, hex digits."""

    score: float | None = None
    """Value by which ``best`` chooses (higher is better); None when not known."""

    metric: str | None = None
    """Name of the metric behind :attr:`score`."""

    exact: bool = True
    """Whether the state is that of the end of an iteration; False when a stop request cut a rollout short, or the
    finite guard went back to an earlier state."""

    stopped_by_guard: bool = False
    """Whether the finite guard ended the run with this checkpoint, which is then never the best one and takes no other
    one's place."""

    identity: dict[str, Any] = field(default_factory=dict)
    """What the checkpoint belongs to: task, observation layout, actions, policies, asset fingerprint."""

    scale: dict[str, int] = field(default_factory=dict)
    """``num_envs`` (per rank) and ``world_size`` of the run."""

    config: dict[str, Any] = field(default_factory=dict)
    """The agent configuration."""

    git_commit: str | None = None
    """Commit of the code that wrote the checkpoint."""

    versions: dict[str, str] = field(default_factory=dict)
    """Library versions."""

    created: str | None = None
    """Time of writing in UTC, ISO 8601."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; a score that is not finite becomes None."""
        values = asdict(self)
        if self.score is not None and not math.isfinite(self.score):
            values["score"] = None
        return values

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> CheckpointManifest:
        """Read a sidecar; unknown fields of a newer minor writer are ignored.

        Args:
            path: The ``.json`` file.

        Raises:
            UserError: If it is missing, damaged or of a newer format.
        """
        try:
            values = read_json(path)
            known = {f.name for f in fields(cls)}
            manifest = cls(**{name: value for name, value in values.items() if name in known})
            whole = all(isinstance(n, int) and n >= 0 for n in (manifest.iteration, manifest.size, manifest.format))
            whole = whole and all(
                isinstance(table, dict) for table in (manifest.identity, manifest.config, manifest.scale)
            )
            whole = whole and type(manifest.stopped_by_guard) is bool and isinstance(manifest.sha256, str)
            whole = whole and (manifest.score is None or _is_number(manifest.score))
        except (OSError, ValueError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise UserError(f"checkpoint manifest {str(path)!r} is missing or damaged; choose another checkpoint.")
        if manifest.format > FORMAT:
            raise UserError(
                f"checkpoint manifest {str(path)!r} has format {manifest.format}; "
                f"this version reads up to {FORMAT}, update it."
            )
        return manifest

    def matches(self, data: bytes | memoryview) -> bool:
        """Return whether ``data`` is the file this manifest was written for."""
        return len(data) == self.size and sha256(data) == self.sha256

    def matches_file(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a file is the one this manifest was written for, without holding it in memory.

        Raises:
            OSError: If it cannot be read.
        """
        with open_file(path) as file:
            return (
                os.fstat(file.fileno()).st_size == self.size
                and hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
            )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < math.inf

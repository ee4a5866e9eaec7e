# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a checkpoint file to what it holds: checked against its sidecar, read without executing it, in today's format.

Whoever loads a checkpoint, to go on training, to play, to export or to copy a member of a population, comes through
:func:`read_checkpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, manifest_path, sha256
from cpo_rl.runs.checkpoints import read_complete
from cpo_rl.runs.compatibility import check_identity
from cpo_rl.runs.files import MAX_FILE, read_file, reason
from cpo_rl.runs.migrate import migrate
from cpo_rl.runs.payload import from_bytes


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    name: str
    """What to call the file in messages."""

    payload: dict[str, Any]
    """Tensors and plain values in the current format: the algorithm's ``save()``, ``iter``, ``infos``, ``runner``."""

    manifest: CheckpointManifest | None
    """Its sidecar; None if it has none, so that nobody knows whether the file is whole."""

    sha256: str
    """Checksum of the file, hex digits."""

    @property
    def runner(self) -> Mapping[str, Any]:
        """The runner's part: counters, generators, environments; empty in a file of rsl_rl's own runner."""
        return self.payload["runner"] or {}

    def check_identity(self, current: Mapping[str, Any], *, force: bool = False) -> list[str]:
        """Refuse a checkpoint that belongs to something else; see :func:`~cpo_rl.runs.compatibility.check_identity`.

        Args:
            current: Identity of this run.
            force: Load it regardless.

        Raises:
            UserError: If something else differs and ``force`` is not set, naming the differences.
        """
        return check_identity(self.runner.get("identity") or {}, current, self.name, force=force)


def read_checkpoint(
    path: str | os.PathLike[str],
    map_location: str | torch.device | None = "cpu",
    *,
    name: str | None = None,
    unchecked: bool = True,
) -> Checkpoint:
    """Read a checkpoint of any format without executing anything it contains.

    Args:
        path: The ``.pt`` file, ours or rsl_rl's.
        map_location: Device of the tensors; None keeps those stored.
        name: What to call the file in messages; its file name by default.
        unchecked: Whether a file without a sidecar is read too, although its integrity cannot be checked.

    Raises:
        UserError: If the file is missing, damaged, hostile or of a newer format.
    """
    name = name or f"checkpoint {Path(path).name!r}"
    manifest: CheckpointManifest | None = None
    if manifest_path(path).exists() or not unchecked:
        data, manifest = read_complete(path)
    else:
        try:
            data = read_file(path, MAX_FILE)
        except (OSError, ValueError) as error:
            raise UserError(f"{name} cannot be read ({reason(error)}); choose another.") from None
    payload = migrate(from_bytes(data, name, map_location), name)
    runner = payload.setdefault("runner", None)
    if not isinstance(runner, Mapping | None):
        raise UserError(f"{name} was refused: its entry 'runner' is no dictionary.")
    if not isinstance(identity := (runner or {}).get("identity"), Mapping | None) or _holds_tensors(identity):
        raise UserError(f"{name} was refused: its entry 'identity' is no dictionary of plain values.")
    return Checkpoint(name, payload, manifest, sha256(data))


def _holds_tensors(value: Any) -> bool:
    """Return whether a nested value holds a tensor."""
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, torch.Tensor) or any(map(_holds_tensors, items))

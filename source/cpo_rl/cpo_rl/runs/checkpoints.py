# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The checkpoints of one run: complete or ignored, rotated, selectable as newest or best.

A checkpoint is two files, ``model_<n>.pt`` and ``model_<n>.json``, written in this order and each atomically. It is
complete when the sidecar exists and the size and checksum it states are those of the file;
:meth:`CheckpointStore.is_complete` decides that for resuming, selecting, rotating and for the check against two
histories in one folder. Whatever moment a process is killed at, the checkpoints that were complete before still are,
because files of finished checkpoints are never written to again; rotation deletes only after the new one is complete.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, manifest_path, sha256
from cpo_rl.runs.files import read_file, reason, remove_leftovers, write_bytes, write_json

_log = logging.getLogger(__name__)

_NAME = re.compile(r"model_(\d+)\.pt")

BEGINNING = "model_0.pt"
"""What a run is started again from when it was killed before its first checkpoint; goes when that is complete."""

CLOCK_S = 2.0
"""How coarse a file system's clock may be [s]: what was written less than this ago may change unseen."""


def checkpoint_iteration(path: str | os.PathLike[str]) -> int | None:
    """Return ``n`` of a file named ``model_<n>.pt``, None for other names."""
    match = _NAME.fullmatch(Path(path).name)
    return int(match[1]) if match else None


def iteration_of(path: str | os.PathLike[str]) -> int:
    """Return how many iterations a checkpoint has behind it, 0 when its name does not say."""
    return checkpoint_iteration(path) or 0


def write_checkpoint(path: str | os.PathLike[str], data: bytes | memoryview, manifest: CheckpointManifest) -> None:
    """Write one checkpoint file and its sidecar, replacing whatever is there.

    An old sidecar goes first, so that it never stands beside a file it does not describe.

    Args:
        path: Target ``.pt`` file; its folder must exist.
        data: The serialized payload.
        manifest: Its description; size and checksum are filled in here.

    Raises:
        OSError: If the disk is full or read-only.
    """
    sidecar = manifest_path(path)
    sidecar.unlink(missing_ok=True)
    write_bytes(path, data)
    write_json(sidecar, replace(manifest, size=len(data), sha256=sha256(data)).to_json())


def read_complete(path: str | os.PathLike[str]) -> tuple[bytes, CheckpointManifest]:
    """Return the bytes of a checkpoint, checked against its sidecar, and the sidecar.

    Raises:
        UserError: If either file is missing or they do not belong together.
    """
    manifest = CheckpointManifest.read(manifest_path(path))
    try:
        data = read_file(path, max(manifest.size, 0))
    except ValueError:
        data = b""  # larger than its manifest says
    except OSError as error:
        raise UserError(f"checkpoint {str(path)!r} cannot be read ({error.strerror}); choose another.") from None
    if not manifest.matches(data):
        raise UserError(
            f"checkpoint {str(path)!r} is damaged (its checksum differs from its manifest); choose another."
        )
    return data, manifest


class CheckpointStore:
    """The checkpoints in one folder.

    Args:
        folder: The run folder; must exist before the first save.
        keep_last: Newest checkpoints to keep, at least 1; 0 keeps all.
        keep_best: Highest scoring checkpoints to keep besides, 0 or more.

    Raises:
        UserError: If a limit is negative.
    """

    def __init__(self, folder: str | os.PathLike[str], keep_last: int = 0, keep_best: int = 1) -> None:
        for name, value in (("keep_last", keep_last), ("keep_best", keep_best)):
            if value < 0:
                raise UserError(f"{name} must be 0 or more, got {value}; set it to how many checkpoints to keep.")
        self.folder = Path(folder)
        self.keep_last = keep_last
        self.keep_best = keep_best
        self._known: dict[str, tuple[object, bool]] = {}

    def path(self, iteration: int) -> Path:
        """Return the file of the checkpoint after ``iteration`` iterations."""
        return self.folder / f"model_{iteration}.pt"

    def begin(self, data: bytes | memoryview, manifest: CheckpointManifest) -> None:
        """Write the state that a run begins with, in the place of one that another start has left.

        Raises:
            OSError: If the disk is full or read-only.
        """
        write_checkpoint(self.path(manifest.iteration), data, manifest)

    def save(self, data: bytes | memoryview, manifest: CheckpointManifest) -> Path:
        """Write a checkpoint, then delete those the limits no longer cover.

        A complete checkpoint of the same iteration is kept as it is: it holds the same state.

        Returns:
            The checkpoint file.

        Raises:
            OSError: If the disk is full or read-only; earlier checkpoints are untouched.
        """
        path = self.path(manifest.iteration)
        if not self.is_complete(path):
            write_checkpoint(path, data, manifest)
        self.rotate()
        return path

    def manifests(self) -> dict[int, CheckpointManifest]:
        """Return the readable sidecars whose file exists with the right size, by iteration in rising order.

        That is for listings, which should not read every checkpoint; :meth:`complete` also looks at checksums.
        """
        found: dict[int, CheckpointManifest] = {}
        try:
            names = os.listdir(self.folder)
        except OSError:
            return found
        for file in (self.folder / name for name in names):
            iteration = checkpoint_iteration(file)
            if iteration is None:
                continue
            with contextlib.suppress(UserError, OSError):
                manifest = CheckpointManifest.read(manifest_path(file))
                fits = manifest.iteration == iteration and file.stat().st_size == manifest.size
                if fits and file.is_file():
                    found[iteration] = manifest
        return dict(sorted(found.items()))

    def complete(self, after: int = -1) -> dict[int, CheckpointManifest]:
        """Return the sidecars of complete checkpoints by iteration in rising order.

        Args:
            after: Only those of more iterations.
        """
        return {i: m for i, m in self.manifests().items() if i > after and self.is_complete(self.path(i))}

    def is_complete(self, path: str | os.PathLike[str]) -> bool:
        """Return whether the checkpoint file agrees with its sidecar, size and checksum.

        A pair of files is read once and again only when either of them has changed.
        """
        try:
            found = [os.stat(file) for file in (path, manifest_path(path))]
            state = [(s.st_ino, s.st_size, s.st_mtime_ns) for s in found]
            known, whole = self._known.get(os.fspath(path), (None, False))
            if known == state:
                return whole
            whole = CheckpointManifest.read(manifest_path(path)).matches_file(path)
        except (UserError, OSError):
            return False
        if time.time() - max(s.st_mtime for s in found) > CLOCK_S:
            self._known[os.fspath(path)] = state, whole
        if not whole:
            _log.warning("Checkpoint %s is damaged and is passed over.", path)
        return whole

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint, or None."""
        return self._first_complete(sorted(self.manifests(), reverse=True))

    def best(self) -> Path | None:
        """Return the complete checkpoint of the highest score (the newer one on a tie); without scores the newest."""
        return self._first_complete(_by_score(self.manifests())) or self.latest()

    def rotate(self) -> list[Path]:
        """Delete complete checkpoints beyond the limits and sidecars without a file; return the deleted checkpoints.

        One that the finite guard ended a run with takes no other one's place, and goes when there is a newer one, as
        does the state that the run began with.
        """
        complete = self.complete()
        regular = {i: m for i, m in complete.items() if i and not m.stopped_by_guard}
        keep = set(list(regular)[-self.keep_last :]) if self.keep_last else set(complete) - {0}
        keep.update(_by_score(regular)[: self.keep_best])
        keep.update(list(complete)[-1:])
        deleted = []
        for iteration in set(complete) - keep:
            path = self.path(iteration)
            # The file first: a sidecar left alone is recognised and cleared, a file alone could look like a checkpoint.
            path.unlink(missing_ok=True)
            manifest_path(path).unlink(missing_ok=True)
            deleted.append(path)
        for sidecar in self.folder.glob("model_*.json"):
            if _NAME.fullmatch(f"{sidecar.stem}.pt") and not sidecar.with_suffix(".pt").exists():
                sidecar.unlink(missing_ok=True)
        return sorted(deleted)

    def clean(self) -> list[str]:
        """Delete temporaries of killed writers; only for the process that owns the run folder."""
        return remove_leftovers(self.folder) if self.folder.is_dir() else []

    def _first_complete(self, iterations: list[int]) -> Path | None:
        """Return the first checkpoint that passes its checksum, warning about those that do not."""
        return next((path for path in map(self.path, iterations) if self.is_complete(path)), None)


def newest_archive(folder: Path) -> Path | None:
    """Return the newest ``model_<n>.pt`` that is an intact archive; for files without sidecars, such as rsl_rl's own.

    torch's files hold a checksum of every part, which tells of a copy that was cut off or changed. Where none is
    intact, the newest is returned, for whoever reads it to say what is wrong with it.
    """
    numbered = {n: file for file in folder.glob("model_*.pt") if (n := checkpoint_iteration(file)) is not None}
    files = [numbered[n] for n in sorted(numbered, reverse=True) if numbered[n].is_file()]
    for file in files:
        try:
            with zipfile.ZipFile(file) as archive:
                if archive.testzip() is None:
                    return file
        except Exception as error:  # zipfile raises many kinds on damaged input
            _log.warning("Checkpoint %s is damaged and is passed over (%s).", file, reason(error))
    return next(iter(files), None)


def _by_score(manifests: Mapping[int, CheckpointManifest]) -> list[int]:
    """Return the iterations that have a score, highest score first, newer first on a tie; none of the guard's."""
    scores = {i: m.score for i, m in manifests.items() if m.score is not None and not m.stopped_by_guard}
    return sorted(scores, key=lambda i: (scores[i], i), reverse=True)

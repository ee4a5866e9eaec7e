# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One folder per run that a colleague can read; ``docs/run_folder.md`` describes every file in it.

:class:`RunFolder` is the answer to what is in one, whoever wrote it: ``cpo-lab train``, this library by itself, or the
stock ``isaaclab train``. :mod:`~cpo_rl.runs.find` says where they are.

This module imports no torch, so that commands which only read runs start at once.
"""

from __future__ import annotations

import functools
import math
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cpo_rl.contracts import own_class
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import CheckpointStore, checkpoint_iteration
from cpo_rl.runs.files import reason, write_json
from cpo_rl.runs.provenance import now
from cpo_rl.runs.records import (
    LAUNCH_FIELDS,
    LAUNCHER_FIELDS,
    STATUSES,
    is_number,
    is_text,
    is_whole,
    new_manifest,
    read_fields,
    read_manifest,
)
from cpo_rl.runs.tables import JsonLines, MetricsTable

HEALTHS = (*STATUSES, "lost", "unknown")
"""Values of :meth:`RunFolder.health`."""

REMAINS = ("metrics.csv", "diagnostics.jsonl", "params")
"""What still makes a folder a run when neither manifest nor ``run.json`` says so."""


class RunFolder:
    """The folder of one training run.

    Reading never ends at what a folder holds: a field that is missing, damaged or of the wrong kind reads as None.

    Args:
        path: The folder.
        manifest: Content of ``manifest.json``; empty for a run that has none, such as the stock launcher's.
        launcher: Content of Isaac Lab's ``run.json``; empty for a run that has none.
        problems: What of it could not be read, a sentence each.

    Attributes:
        path: Absolute path of the folder.
        manifest: As above; change it through :meth:`update`.
    """

    MANIFEST = "manifest.json"
    LAUNCHER = "run.json"
    LAUNCH = "launch.json"
    LOG = "run.log"

    def __init__(
        self,
        path: str | os.PathLike[str],
        manifest: dict[str, Any] | None = None,
        launcher: dict[str, Any] | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.path = Path(path).resolve()
        self.manifest = manifest or {}
        self.launcher = launcher or {}
        self.problems = problems or []

    # -- made by training ----------------------------------------------------------------------------------------------

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
        if cls.holds_run(folder):
            raise UserError(f"log_dir {str(folder)!r} already holds a run; resume it or choose another run name.")
        manifest = new_manifest(**fields)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / cls.MANIFEST, manifest)
        except OSError as error:
            raise UserError(f"log_dir {str(folder)!r} cannot be written ({error.strerror}); choose another.") from None
        return cls(folder, manifest)

    @classmethod
    def holds_run(cls, path: str | os.PathLike[str]) -> bool:
        """Return whether training has made its records in this folder."""
        return (Path(path) / cls.MANIFEST).exists()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open a run of ours to continue its records.

        Raises:
            UserError: If the folder holds no readable manifest or one of a newer format.
        """
        run = cls.read(path)
        if not run.manifest:
            told = next((problem for problem in run.problems if problem.startswith(cls.MANIFEST)), None)
            raise UserError(
                f"run folder {str(path)!r} holds no readable {cls.MANIFEST}"
                + (f": {told}" if told else "; name the folder of a run.")
            )
        return run

    @classmethod
    def open_or_renew(cls, path: str | os.PathLike[str], **fields: Any) -> RunFolder:
        """Open a run of ours; a damaged manifest is kept beside a new one, because it is not worth a run.

        Args:
            path: The folder, which has a manifest.
            **fields: Manifest fields known now, as for :meth:`create`.

        Raises:
            UserError: If the manifest is of a newer format, or the folder cannot be written.
        """
        run = cls.read(path)
        if run.manifest or any(" has format " in problem for problem in run.problems):
            return cls.open(path)
        damaged = run.path / f"{cls.MANIFEST}.damaged"
        try:
            os.replace(run.path / cls.MANIFEST, damaged)
        except OSError as error:
            raise UserError(f"log_dir {str(path)!r} cannot be written ({reason(error)}); choose another.") from None
        run = cls.create(path, **fields)
        run.note("manifest renewed", message=f"The manifest was damaged; it is kept as {damaged.name}.")
        return run

    def metrics(self) -> MetricsTable:
        """Return the writer of ``metrics.csv``."""
        return MetricsTable(self.metrics_file)

    def diagnostics(self) -> JsonLines:
        """Return the writer of ``diagnostics.jsonl``."""
        return JsonLines(self.diagnostics_file)

    def update(self, **fields: Any) -> None:
        """Change manifest fields and write the manifest atomically; ``updated`` is set to now.

        Raises:
            ValueError: If ``status`` is not one of :data:`~cpo_rl.runs.records.STATUSES`.
            OSError: If the disk is full or read-only.
        """
        if fields.get("status", "running") not in STATUSES:
            raise ValueError(f"status must be one of {STATUSES}, got {fields['status']!r}.")
        self.manifest.update(fields, updated=now())
        write_json(self.path / self.MANIFEST, self.manifest)

    def note(self, event: str, **details: Any) -> None:
        """Add ``{"time", "event", **details}`` to the manifest's ``history`` (resumed, preempted, disk full, ...)."""
        history = self.manifest.get("history") or []
        self.update(history=[*history, {"time": now(), "event": event, **details}])

    def noted(self, event: str) -> list[str]:
        """Messages of an event in the manifest's ``history``, oldest first; what is damaged is left out."""
        history = self.manifest.get("history")
        lines = [line for line in history if isinstance(line, dict)] if isinstance(history, list) else []
        return [str(line["message"]) for line in lines if line.get("event") == event and "message" in line]

    def write_launch(self, request: Mapping[str, Any]) -> None:
        """Keep what the run was started from, so that it can be continued or played without repeating it.

        Args:
            request: Values by field of :data:`~cpo_rl.runs.records.LAUNCH_FIELDS`.

        Raises:
            OSError: If the disk is full or read-only.
        """
        write_json(self.path / self.LAUNCH, dict(request))

    # -- read by everybody ---------------------------------------------------------------------------------------------

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Read what can be read of a folder; :attr:`problems` tells the rest."""
        run = cls(path)
        run.launcher = read_fields(run.path / cls.LAUNCHER, LAUNCHER_FIELDS, run.problems)
        run.manifest = read_manifest(run.path / cls.MANIFEST, run.problems)
        return run

    @property
    def is_known(self) -> bool:
        """Whether a manifest or ``run.json`` says that this is a run."""
        return bool(self.manifest or self.launcher)

    @property
    def has_remains(self) -> bool:
        """Whether something of a run is left here to read (:data:`REMAINS`)."""
        return any(_exists(self.path / name) for name in REMAINS)

    @property
    def metrics_file(self) -> Path:
        """Path of the metrics table."""
        return self.path / "metrics.csv"

    @property
    def diagnostics_file(self) -> Path:
        """Path of the file of matrices."""
        return self.path / "diagnostics.jsonl"

    @functools.cached_property
    def launch(self) -> dict[str, Any]:
        """What ``cpo-lab train`` was asked for, by field of :data:`~cpo_rl.runs.records.LAUNCH_FIELDS`.

        Empty for a run of another launcher.
        """
        return read_fields(self.path / self.LAUNCH, LAUNCH_FIELDS, self.problems)

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """The agent's settings as plain values, from ``params/agent.yaml`` or else the newest checkpoint's sidecar.

        Empty if neither has them.
        """
        return self._params("agent") or (self._sidecar.config if self._sidecar else {})

    @functools.cached_property
    def env_settings(self) -> dict[str, Any]:
        """The environment's settings from ``params/env.yaml`` as plain values; empty if it is missing or damaged."""
        return self._params("env")

    @functools.cached_property
    def task(self) -> str | None:
        """Gym id of the task without a namespace; None when neither the folder nor a checkpoint in it says so."""
        task = self.launcher.get("task") or self.manifest.get("task") or self.launch.get("task")
        if task is None and self._sidecar:
            task = self._sidecar.identity.get("task")
        return plain_task(task) if isinstance(task, str) else None

    @property
    def agent(self) -> str | None:
        """Registration key or short name of the agent; None when the folder does not say."""
        return self.launch.get("agent") or self.launcher_agent

    @property
    def launcher_agent(self) -> str | None:
        """Registration key of the agent in Isaac Lab's ``run.json``; None when it does not say."""
        agent = (self.launcher.get("metadata") or {}).get("agent")
        return agent if isinstance(agent, str) else None

    @property
    def algorithm(self) -> str | None:
        """Name of the preset (cpo, sapg, ppo, pbt, ...), or of an own class; None when the folder does not say."""
        if self.manifest:
            return self.manifest.get("algorithm")
        algorithm = self.settings.get("algorithm")
        algorithm = algorithm if isinstance(algorithm, dict) else {}
        name = own_class(algorithm.get("class_name")) or algorithm.get("algorithm")
        return name if isinstance(name, str) else None

    @property
    def algorithm_class(self) -> str | None:
        """Name of the class that trained, without its module; None when the folder does not say."""
        name = self.manifest.get("algorithm_class")
        return name.rpartition(":")[2] if isinstance(name, str) else None

    @property
    def ancestor(self) -> dict[str, Any] | None:
        """The run that this one went on from: ``run`` (its folder), ``file``, ``iteration``; None if it began anew."""
        told = self.manifest.get("ancestor") or {}
        known = {key: told.get(key) for key in ("run", "file", "iteration")}
        return known if is_text(known["run"]) and is_text(known["file"]) and is_whole(known["iteration"]) else None

    @property
    def initialized_from(self) -> dict[str, Any] | None:
        """Whose weights the run began with: ``run`` (its folder), ``file``, ``sha256``; None if its own were new."""
        told = self.manifest.get("initialized_from") or {}
        known = {key: told.get(key) for key in ("run", "file", "sha256")}
        return known if all(is_text(value) for value in known.values()) else None

    @property
    def seed(self) -> int | None:
        """Random seed; None when the folder does not say."""
        seed = self.manifest.get("seed") if self.manifest else self.settings.get("seed")
        return seed if is_whole(seed) else None

    @property
    def started(self) -> datetime | None:
        """When the run was started; None when the folder does not say."""
        for text in (self.launcher.get("created_at"), self.manifest.get("created")):
            try:
                return datetime.fromisoformat(text or "").astimezone(UTC)
            except (ValueError, OverflowError, OSError):
                continue
        return None

    @property
    def iteration(self) -> int:
        """Finished iterations; of a run without a manifest, as far as its checkpoints tell."""
        if self.manifest:
            return self.manifest.get("iteration") or 0
        ours = CheckpointStore(self.path).manifests()
        # the stock runner names its files by the last finished iteration, counted from 0
        return max(ours) if ours else max((n + 1 for n in self.checkpoint_numbers()), default=0)

    @property
    def max_iterations(self) -> int | None:
        """Iterations asked for in total; None when the folder does not say."""
        goal = self.manifest.get("max_iterations") if self.manifest else self.settings.get("max_iterations")
        return goal if is_whole(goal) else None

    def health(self) -> str:
        """Return the status, with a ``running`` whose process is gone on this host reported as ``lost``.

        A run that does not say is ``unknown``.
        """
        status = self.manifest.get("status")
        if status not in STATUSES:
            return "unknown"
        host = (self.manifest.get("hardware") or {}).get("host")
        if status == "running" and host == socket.gethostname() and not _alive(self.manifest.get("pid")):
            return "lost"
        return status

    @property
    def left_s(self) -> float | None:
        """Training time that a running run needs still [s], at its speed so far; None where nothing tells."""
        goal, done, spent = self.max_iterations, self.iteration, self.manifest.get("wall_clock_s") or 0.0
        left = (goal - done) * float(spent) / done if goal and done and self.health() == "running" else math.nan
        return left if math.isfinite(left) else None

    def checkpoint_numbers(self) -> list[int]:
        """Return ``n`` of every file ``model_<n>.pt``, whole or not, in rising order."""
        try:
            return sorted(n for name in os.listdir(self.path) if (n := checkpoint_iteration(name)) is not None)
        except OSError:
            return []

    def number(self, section: str, *names: str) -> float | None:
        """Return the first of some numbers in the manifest's ``last`` or ``best``; None where there is none."""
        values = self.manifest.get(section) or {}
        return next((values[n] for n in names if is_number(values.get(n))), None)

    # -- parts of reading ----------------------------------------------------------------------------------------------

    @functools.cached_property
    def _sidecar(self) -> CheckpointManifest | None:
        """The newest checkpoint's own description, which may be all that is left of a run."""
        return next(reversed(CheckpointStore(self.path).manifests().values()), None)

    def _params(self, part: str) -> dict[str, Any]:
        """Return a part of the configuration; empty if its file is missing, or damaged, which is told."""
        from cpo_rl.runs.configs import params_file, read_yaml  # listing runs of ours needs no YAML

        file = params_file(self.path, part)
        try:
            return read_yaml(file)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            self.problems.append(f"params/{file.name} is damaged ({reason(error)}).")
            return {}


def plain_task(task: str) -> str:
    """Return a gym id without its namespace."""
    return task.split(":")[-1]


def _exists(path: Path) -> bool:
    """Return whether a path exists; False where one may not look."""
    try:
        return path.exists()
    except OSError:
        return False


def _alive(pid: object) -> bool:
    """Return whether a process of this number exists."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

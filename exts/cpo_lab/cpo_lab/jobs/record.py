# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What was started for a set of jobs and how it ended, in a file beside their folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpo_lab.jobs.job import STOPPED
from cpo_rl.errors import UserError
from cpo_rl.runners.signals import HANDLED
from cpo_rl.runs.files import read_json, reason, shown, write_json
from cpo_rl.runs.provenance import now

RECORD = "jobs.json"
"""Name of the file."""

_log = logging.getLogger(__name__)


class Record:
    """The file; a job's entry holds its ``arguments``, ``starts`` and ``ends``.

    Args:
        folder: Folder of the file, which exists when something is noted.

    Raises:
        UserError: If the file is damaged: who was started with what is not guessed.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / RECORD
        try:
            content = read_json(self._file)
            self._jobs: dict[str, dict[str, Any]] = content["jobs"]
            if not all(isinstance(entry.get(part, []), list) for entry in self._jobs.values() for part in _PARTS):
                raise ValueError("it holds no lists of starts")
        except FileNotFoundError:
            self._jobs = {}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise UserError(
                f"{shown(self._file)!r} cannot be read ({reason(error)}); move it away if the runs beside it are sound."
            ) from None

    def arguments(self, name: str) -> list[str] | None:
        """Return what a job was last started with; None if it was not."""
        return self._jobs.get(name, {}).get("arguments")

    def known_as(self, name: str, launcher: str) -> str | None:
        """Return what a launcher called the job's last start, if that has no end yet."""
        entry = self._jobs.get(name, {})
        starts, ends = entry.get("starts", []), entry.get("ends", [])
        if len(starts) <= len(ends) or starts[-1].get("launcher") != launcher:
            return None
        return str(starts[-1].get("id"))

    def starts(self, name: str) -> int:
        """Return how often a job was started."""
        return len(self._jobs.get(name, {}).get("starts", []))

    def has_ended(self, name: str) -> bool:
        """Return whether a job was started and every start of it has an end."""
        return 0 < self.starts(name) <= len(self._jobs[name].get("ends", []))

    def has_failed(self, name: str) -> bool:
        """Return whether a job ended last by something else than success or a stop signal."""
        ends = self._jobs.get(name, {}).get("ends", [])
        return bool(ends) and ends[-1].get("code") not in (0, *STOPPED, *(-number for number in HANDLED))

    def last_reason(self, name: str) -> str:
        """Return why a job ended last, empty if it ended well or not at all."""
        ends = self._jobs.get(name, {}).get("ends", [])
        return str(ends[-1].get("reason", "")) if ends else ""

    def note_arguments(self, name: str, arguments: Sequence[str]) -> None:
        """Note what a job is started with."""
        self._jobs.setdefault(name, {})["arguments"] = list(arguments)
        self._write()

    def note_start(self, name: str, launcher: str, known_as: str) -> None:
        """Note that a job was given to a launcher."""
        entry = self._jobs.setdefault(name, {})
        ends, starts = entry.setdefault("ends", []), entry.setdefault("starts", [])
        # nobody was there when an earlier start ended
        ends += [{"time": now(), "code": None, "reason": "nobody watched"} for _ in range(len(starts) - len(ends))]
        starts.append({"time": now(), "launcher": launcher, "id": known_as})
        self._write()

    def note_end(self, name: str, code: int | None, why: str) -> None:
        """Note how a job ended."""
        self._jobs[name]["ends"].append({"time": now(), "code": code, "reason": why})
        self._write()

    def _write(self) -> None:
        try:
            write_json(self._file, {"format": 1, "jobs": self._jobs})
        except OSError as error:  # a full disk costs the record and nothing else
            _log.warning("%s could not be written (%s).", shown(self._file), reason(error))


_PARTS = ("arguments", "starts", "ends")

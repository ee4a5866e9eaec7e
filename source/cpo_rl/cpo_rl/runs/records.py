# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The JSON files that say what a run is: which fields they have, and what kind of value each holds.

A field of the wrong kind is left out when a file is read and told once, so that no reader has to ask again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cpo_rl.runs.files import read_json, reason
from cpo_rl.runs.provenance import git_commit, hardware, library_versions, now

RUN_FORMAT = 1
"""Version of ``manifest.json``; a reader refuses a higher one."""

STATUSES = ("running", "finished", "stopped", "preempted", "crashed")
"""Values of the manifest field ``status``."""

Kind = Callable[[Any], bool]
"""Whether a value is of a kind."""


def is_text(value: Any) -> bool:
    """Whether a value is a string that can be printed; half a surrogate pair cannot."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of 64 bits, which true and false are not."""
    return type(value) is int and abs(value) < 2**63


def is_number(value: Any) -> bool:
    """Whether a value is an integer or a finite floating point number."""
    return is_whole(value) or (type(value) is float and math.isfinite(value))


def is_table(value: Any) -> bool:
    """Whether a value is an object of named values."""
    return isinstance(value, dict)


def is_list(value: Any) -> bool:
    """Whether a value is a list."""
    return isinstance(value, list)


def are_texts(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(is_text(item) for item in value)


MANIFEST_FIELDS: dict[str, Kind] = {
    **dict.fromkeys(("task", "algorithm", "device", "physics", "config_hash", "git_commit"), is_text),
    **dict.fromkeys(("status", "error", "created", "updated"), is_text),
    **dict.fromkeys(("seed", "num_envs", "num_policies", "world_size", "pid"), is_whole),
    **dict.fromkeys(("max_iterations", "iteration", "env_steps"), is_whole),
    **dict.fromkeys(("versions", "hardware", "last", "best", "ancestor", "initialized_from"), is_table),
    "wall_clock_s": is_number,
    "history": is_list,
}
"""Fields of ``manifest.json`` that readers use."""

LAUNCHER_FIELDS: dict[str, Kind] = {"task": is_text, "created_at": is_text, "metadata": is_table}
"""Fields of Isaac Lab's ``run.json`` that readers use."""

LAUNCH_FIELDS: dict[str, Kind] = {
    **dict.fromkeys(("task", "agent", "device", "physics"), is_text),
    **dict.fromkeys(("num_envs", "num_policies", "seed", "iterations"), is_whole),
    "overrides": are_texts,
}
"""Fields of ``launch.json``: what ``cpo-lab train`` was asked for, and after how many iterations in all it ends."""


def new_manifest(**known: Any) -> dict[str, Any]:
    """Return the manifest of a run that starts now, with versions, hardware and git commit.

    Args:
        **known: Fields known now, such as ``task``, ``algorithm``, ``seed`` and ``num_envs``.
    """
    unknown = ("task", "algorithm", "seed", "num_envs", "device", "physics", "config_hash")
    return {
        "format": RUN_FORMAT,
        **dict.fromkeys(unknown),
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
        **known,
    }


def read_manifest(file: Path, problems: list[str]) -> dict[str, Any]:
    """Return the content of ``manifest.json``, whatever other fields it has; empty if it cannot be read.

    Args:
        file: The file; one that is missing reads as empty.
        problems: Receives a sentence about what is damaged or of a newer format.
    """
    content = _read(file, problems)
    version: Any = content.get("format")
    if content and not is_whole(version):
        problems.append(f"{file.name} is damaged (it has no format).")
    elif content and version > RUN_FORMAT:
        problems.append(f"{file.name} has format {version}; this version reads up to {RUN_FORMAT}, update it.")
    else:
        return _sound(content, MANIFEST_FIELDS, file.name, problems)
    return {}


def read_fields(file: Path, kinds: Mapping[str, Kind], problems: list[str]) -> dict[str, Any]:
    """Return the fields of a JSON file that readers use.

    Args:
        file: The file; one that is missing reads as empty.
        kinds: The fields.
        problems: Receives a sentence about what is damaged.
    """
    content = _sound(_read(file, problems), kinds, file.name, problems)
    return {field: content[field] for field in kinds if content.get(field) is not None}


def _read(file: Path, problems: list[str]) -> dict[str, Any]:
    """Return the content of a JSON file; empty if it is missing, or damaged, which is told."""
    try:
        return read_json(file, finite=True)  # it is written again
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        problems.append(f"{file.name} is damaged ({reason(error)}).")
        return {}


def _sound(content: dict[str, Any], kinds: Mapping[str, Kind], name: str, problems: list[str]) -> dict[str, Any]:
    """Return content without the fields that are neither null nor of their kind, which are told."""
    wrong = [field for field, fits in kinds.items() if content.get(field) is not None and not fits(content[field])]
    if wrong:
        problems.append(f"{name} is damaged (field {', '.join(wrong)}).")
    return {field: value for field, value in content.items() if field not in wrong}

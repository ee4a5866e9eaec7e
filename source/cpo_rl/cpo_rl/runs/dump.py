# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the finite guard leaves behind, and how to read it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cpo_rl.errors import UserError
from cpo_rl.runs.files import MAX_FILE, read_file, reason, write_bytes
from cpo_rl.runs.payload import from_bytes, to_bytes

DUMP_FORMAT = 1
"""Version of the dump's layout."""

MAX_ENVS = 16
"""Environments whose states a dump holds at most."""


def sentence(report: Mapping[str, Any]) -> str:
    """Return one sentence that names the first bad tensor, the environments and the step.

    Args:
        report: ``tensor``, ``step`` (of the rollout; None when the numbers went bad in the update) and ``env_ids``;
            perhaps ``finite``, the number if it was only absurd. The tensor ``environment`` means that the task said
            so itself, for ``reasons``.
    """
    ids = list(report["env_ids"])
    shown = ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
    envs = f" of environment{'s' if len(ids) > 1 else ''} {shown}" if ids else ""
    when = f"at step {report['step']} of the rollout" if report["step"] is not None else "during the update"
    if report["tensor"] == "environment":
        why = f" because of {', '.join(report['reasons'])}" if report.get("reasons") else ""
        return f"The task first quarantined a step{envs}{why} {when}"
    what = "absurd number" if report.get("finite") is not None else "number that was not finite"
    return f"The first {what} was in the {report['tensor']}{envs} {when}"


def write_dump(path: str | os.PathLike[str], report: Mapping[str, Any], **content: Any) -> None:
    """Write a dump atomically.

    Args:
        path: Target file.
        report: See :func:`sentence`.
        **content: ``iteration``, ``task``, ``seed``, ``config`` (JSON values), ``states`` (name to tensor
            [environments, ...] of the environments in ``env_ids``) and what else helps.

    Raises:
        OSError: If the disk is full or read-only.
    """
    ids = list(report["env_ids"])[:MAX_ENVS]
    write_bytes(path, to_bytes({"dump_format": DUMP_FORMAT, "report": dict(report), "state_env_ids": ids, **content}))


def read_dump(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a dump with the same care as a checkpoint.

    Raises:
        UserError: If it is missing, damaged, or no dump.
    """
    name = f"dump {Path(path).name!r}"
    try:
        data = read_file(path, MAX_FILE)
    except (OSError, ValueError) as error:
        raise UserError(f"{name} cannot be read ({reason(error)}); name a file written by the finite guard.") from None
    dump = from_bytes(data, name)
    version = dump.get("dump_format")
    if type(version) is not int or not isinstance(dump.get("report"), dict):
        raise UserError(f"{name} is no dump of the finite guard; name a file 'dump_<n>.pt'.")
    if version > DUMP_FORMAT:
        raise UserError(f"{name} has format {version}; this version reads up to {DUMP_FORMAT}, update it.")
    return dump


def describe(path: str | os.PathLike[str]) -> str:
    """Return a dump as text for people: what went wrong, where, and the numbers around it.

    Raises:
        UserError: If it is missing, damaged, or no dump.
    """
    dump = read_dump(path)
    lines = [f"{sentence(dump['report'])}."]
    facts = {key: dump.get(key) for key in ("task", "algorithm", "iteration", "env_steps", "seed", "git_commit")}
    lines += [f"  {key:<12} {value}" for key, value in facts.items() if value is not None]
    states = dump.get("states") or {}
    if states:
        lines.append(f"Last states of environments {', '.join(map(str, dump['state_env_ids']))}:")
        for name, tensor in states.items():
            lines.append(f"  {name:<28} {_summary(tensor)}")
    if dump.get("parameters"):
        lines.append(f"Parameters whose last gradient was not finite: {', '.join(dump['parameters'])}.")
    if dump.get("config"):
        lines += ["Configuration:", *("  " + line for line in json.dumps(dump["config"], indent=2).splitlines())]
    return "\n".join(lines)


def _summary(tensor: torch.Tensor) -> str:
    """Return shape, range of the finite entries, and where the others are."""
    values = tensor.float()
    finite = torch.isfinite(values)
    text = f"shape {list(tensor.shape)}"
    if finite.any():
        text += f", finite entries from {values[finite].min().item():.4g} to {values[finite].max().item():.4g}"
    bad = (~finite).nonzero().tolist()
    if bad:
        places = ", ".join(f"{place} = {values[tuple(place)].item()}" for place in bad[:6])
        text += f", {len(bad)} not finite: {places}{', ...' if len(bad) > 6 else ''}"
    return text

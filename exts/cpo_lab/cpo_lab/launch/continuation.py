# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run that goes on from a checkpoint is asked for: the run's own request, and what is given now beside it.

What is given now happens, or is refused because a run that goes on keeps it; nothing of it is passed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from cpo_lab.launch.configuration import Request, Resolved
from cpo_lab.launch.registry import DEFAULT_AGENT, DEFAULT_TASK
from cpo_lab.launch.run_place import AUTO
from cpo_lab.launch.settings import names_of
from cpo_rl.errors import UserError
from cpo_rl.fields import declarations
from cpo_rl.runs.checkpoints import iteration_of
from cpo_rl.runs.find import settings_behind
from cpo_rl.runs.folder import RunFolder, plain_task

OPTIONS = ("device", "physics", "num_envs", "num_policies", "seed")
"""Options of ``cpo-lab train`` that a run keeps."""

NETWORKS = ("model", "actor", "critic", "obs_groups")
"""Sections of an agent's settings that the networks in a checkpoint were made by."""

_MISSING = object()


def request_of(args: argparse.Namespace, overrides: list[str], checkpoint: Path | None) -> Request:
    """Combine the arguments with those of the run that is continued; what is given now wins.

    Args:
        args: Parsed options of ``cpo-lab train``.
        overrides: Settings given now.
        checkpoint: Checkpoint to continue from, or None.

    Raises:
        UserError: If the run does not say what it trained.
    """
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    if checkpoint is None:
        return Request(args.task or DEFAULT_TASK, args.agent or DEFAULT_AGENT).with_settings(overrides, **given)
    run_before = RunFolder.read(checkpoint.parent)
    task = None if args.force and run_before.task else args.task
    known = Request.of_run(run_before, task, args.agent, checkpoint, trust=args.trust, replaced=overrides)
    if args.task and plain_task(known.task) != plain_task(args.task):
        known = replace(known, task=args.task, overrides=[])  # --force; the other task's settings mean nothing here
    if "physics" in names_of(overrides):
        known.physics = None
    return known.with_settings(overrides, **given)


def total_iterations(args: argparse.Namespace, resolved: int, checkpoint: Path | None) -> int:
    """Return after how many iterations in all the run ends.

    Args:
        args: Parsed options of ``cpo-lab train``.
        resolved: What the agent's settings say.
        checkpoint: Checkpoint to continue from, or None.

    Raises:
        UserError: If the checkpoint is already there.
    """
    total = args.iterations
    if total is None and checkpoint is not None:
        total = RunFolder.read(checkpoint.parent).launch.get("iterations")
    total = total or resolved
    if checkpoint is not None and args.resume != AUTO and iteration_of(checkpoint) >= total:
        raise UserError(
            f"The run already has {iteration_of(checkpoint)} iterations; give --iterations a larger number."
        )
    return total


def asked_of_algorithm(overrides: Sequence[str]) -> list[str]:
    """Return the fields of the algorithm's settings that are given a value now."""
    prefix = "agent.algorithm."
    return sorted(name.removeprefix(prefix) for name in names_of(overrides) if name.startswith(prefix))


# -- what stays --------------------------------------------------------------------------------------------------------


def refuse_what_stays(
    checkpoint: Path, resolved: Resolved, overrides: Sequence[str], mutated: Collection[str] = ()
) -> None:
    """Refuse settings given now that a run which goes on from a checkpoint keeps.

    Args:
        checkpoint: The checkpoint.
        resolved: What will run.
        overrides: Settings given now.
        mutated: Names of settings that a population changes, so that the checkpoint brings them.

    Raises:
        UserError: Naming the first one that would be another.
    """
    names = names_of(overrides)
    kept = [name for name in sorted(names) if name in mutated or _is_kept(name, resolved)]
    if not kept:
        return
    stored, now = settings_behind(checkpoint), _plain_settings(resolved)
    for name in kept:
        before, after = _at(stored, name), _at(now, name)
        if before is not _MISSING and before != after:
            why = "the population changes it by itself" if name in mutated else "its checkpoint was made with it"
            raise UserError(
                f"{name} stays {before!r} in a run that goes on, because {why}; leave it out, or start a new run."
            )


def _is_kept(name: str, resolved: Resolved) -> bool:
    """Return whether a setting, or one inside it, is declared as kept."""
    section, *path = name.split(".")
    if section == "agent" and path and path[0] in NETWORKS:
        model = vars(resolved.agent_cfg).get(path[0])
        declared = declarations(type(model)) if len(path) > 1 and is_dataclass(model) else {}
        return path[1] not in declared or declared[path[1]][1].kept if len(path) > 1 else True
    owner: Any = resolved.agent_cfg if section == "agent" else resolved.env_cfg
    for key in path:
        declared = declarations(type(owner)) if is_dataclass(owner) else {}
        if key in declared and declared[key][1].kept:
            return True
        owner = getattr(owner, key, None)
    return any(limits.kept for _, limits in declarations(type(owner)).values()) if is_dataclass(owner) else False


def _plain_settings(resolved: Resolved) -> dict[str, Any]:
    from isaaclab.utils import to_dict

    from cpo_rl.runs.configs import plain

    return {"agent": plain(to_dict(resolved.agent_cfg)), "env": plain(to_dict(resolved.env_cfg))}


def _at(settings: Mapping[str, Any], name: str) -> Any:
    """Return the value of a setting; :data:`_MISSING` where there is none."""
    value: Any = settings
    for key in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(key, _MISSING)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def keep_names(checkpoint: Path, resolved: Resolved, run_name: str, overrides: Sequence[str]) -> None:
    """Keep the names that a run's folder and records got when it began; changes the agent's settings.

    Args:
        checkpoint: A checkpoint in the folder of the run, which goes on in it.
        resolved: What will run.
        run_name: Value of ``--run_name``.
        overrides: Settings given now.

    Raises:
        UserError: If other names are given now, which would name nothing.
    """
    stored, cfg = settings_behind(checkpoint)["agent"], resolved.agent_cfg
    for option, name in _given_names(run_name, overrides):
        before = stored.get(name)
        if isinstance(before, str) and before != getattr(cfg, name):
            raise UserError(
                f"{option} names the folder of a new run, but {str(checkpoint.parent)!r} goes on in its own; "
                "leave it out."
            )
    for name in ("run_name", "experiment_name"):
        if isinstance(stored.get(name), str):
            setattr(cfg, name, stored[name])


def _given_names(run_name: str, overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    if run_name:
        yield f"--run_name {run_name}", "run_name"
    if "agent.experiment_name" in names_of(overrides):
        yield "agent.experiment_name", "experiment_name"

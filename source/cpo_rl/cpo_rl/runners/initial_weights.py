# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Weights of another run's checkpoint as those that a new run begins with, as far as their shapes fit.

A layer, and a set of running statistics, is taken as a whole or not at all. Nothing else of the other run counts: the
optimizer, counters, generators and episodes are new.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.models.actor_critic import PER_POLICY
from cpo_rl.runs.checkpoint_reader import Checkpoint
from cpo_rl.runs.payload import first_not_finite

VALUES = ("value_head", "value_normalizer")
"""Parts of an ensemble that say values in units of the returns they were learned from."""


@dataclass(frozen=True)
class Taken:
    """What was taken of a checkpoint, and what was not."""

    path: Path
    """The checkpoint."""

    iteration: int
    """Iterations that it was trained for."""

    task: str | None
    """Task that it was trained on; None if it does not say."""

    sha256: str
    """Checksum of the file."""

    taken: list[str]
    """Layers and statistics, by name."""

    left: dict[str, str]
    """Those that are new nevertheless, and why."""

    differences: list[str]
    """What is another one in the run that it belongs to, a phrase each."""

    def record(self) -> dict[str, Any]:
        """The entry ``initialized_from`` of the run's manifest."""
        return {
            "run": str(self.path.parent),
            "file": self.path.name,
            "iteration": self.iteration,
            "task": self.task,
            "sha256": self.sha256,
            "taken": self.taken,
            "left": self.left,
        }

    def sentences(self) -> list[str]:
        """The same for a person."""
        of_task = f", trained on {self.task}" if self.task else ""
        told = [f"Begins with weights of {self.path} (iteration {self.iteration}{of_task}): {', '.join(self.taken)}."]
        if self.left:
            told.append(f"Not taken: {'; '.join(f'{name} ({why})' for name, why in self.left.items())}.")
        if self.differences:
            told.append(f"{self.path.name} has {', '.join(self.differences)}; what fits was taken nevertheless.")
        return told


def mix_weights(
    mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], why_not: Mapping[str, str]
) -> tuple[dict[str, Tensor], list[str], dict[str, str]]:
    """Return a network's state in which whatever fits is another one's.

    Of a table with a row per policy the rows are taken that both have, counted from the leader, the last one.

    Args:
        mine: State of the network, tensors by name.
        theirs: State of the other one.
        why_not: Layers that are left out anyway, and why.

    Returns:
        The state; the names of the layers taken; those left, and why.
    """
    layers: dict[str, list[str]] = {}
    for name in mine:
        layers.setdefault(_layer(name), []).append(name)
    state, taken, left = dict(mine), [], {}
    for layer, names in layers.items():
        why = why_not.get(layer) or next(filter(None, (_misfit(n, mine[n], theirs.get(n)) for n in names)), None)
        if why is not None:
            left[layer] = why
            continue
        for name in names:
            state[name] = _laid_over(mine[name], theirs[name])
        rows = min(len(mine[layer]), len(theirs[layer])) if layer in PER_POLICY else 0
        partly = rows and len(mine[layer]) != len(theirs[layer])
        taken.append(f"{layer} of the {'leader' if rows == 1 else f'last {rows} policies'}" if partly else layer)
    return state, taken, left


def take_weights(
    alg: Any, checkpoint: Checkpoint, path: Path, differences: list[str], own: Collection[str] = (), values: bool = True
) -> Taken:
    """Let an algorithm begin with the weights of a checkpoint that fit it.

    Args:
        alg: The algorithm, which has learned nothing yet.
        checkpoint: The checkpoint.
        path: Its file.
        differences: What is another one in the run that it belongs to.
        own: Layers that stay as they are, because a setting given now says how they begin.
        values: Whether its values are in the units of this run.

    Raises:
        UserError: If no matrix of weights fits, or one that does holds a number that is not finite.
    """
    saved = alg.save()
    sections = [name for name in saved if name == "model" or (name.endswith("_state_dict") and "optim" not in name)]
    why_not = dict.fromkeys(own, "a setting says how it begins")
    if not values:
        why_not |= dict.fromkeys(VALUES, "its values are in other units")
    taken: list[str] = []
    left: dict[str, str] = {}
    matrices = 0
    for section in sections:
        theirs = checkpoint.payload.get(section)
        theirs = {n: t for n, t in theirs.items() if isinstance(t, Tensor)} if isinstance(theirs, Mapping) else {}
        state, found, missed = mix_weights(saved[section], theirs, why_not)
        ends = (*PER_POLICY, *VALUES)  # which mean nothing without the layers before them
        matrices += sum(state[n] is not t and t.dim() > 1 and _layer(n) not in ends for n, t in saved[section].items())
        broken = first_not_finite(state)
        if broken is not None:
            raise UserError(f"{checkpoint.name}: {broken} holds a number that is not finite; choose another file.")
        saved = {**saved, section: state}
        prefix = "" if section == "model" else f"{section.removesuffix('_state_dict')}."
        taken += [f"{prefix}{name}" for name in found]
        left |= {f"{prefix}{name}": why for name, why in missed.items()}
    if not matrices:
        name, why = next(((n, w) for n, w in left.items() if "there" in w), next(iter(left.items()), ("it", "empty")))
        raise UserError(
            f"{checkpoint.name} holds no weights that fit this agent: {name} {why}; name a checkpoint of this kind of "
            "agent, or give agent.model settings like its own."
        )
    alg.load(saved, {"actor": True, "critic": True}, True)
    runner = checkpoint.runner.get("identity") or {}
    iteration = checkpoint.payload.get("iter")
    task = runner.get("task")
    return Taken(
        path, iteration if type(iteration) is int else 0, task if isinstance(task, str) else None, checkpoint.sha256,
        taken, left, differences,
    )  # fmt: skip


def same_units(config: Mapping[str, Any], now: Mapping[str, Any], differences: list[str]) -> bool:
    """Whether values learned with other settings mean the same now.

    Args:
        config: Settings of the run that they were learned in.
        now: Those of this run.
        differences: What is another one in that run, a phrase each.
    """
    before, after = (settings.get("algorithm") for settings in (config, now))
    defaults = {"reward_scale": EnsembleCfg.reward_scale, "normalize_values": EnsembleCfg.normalize_values}
    same = True
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        same = all(before.get(key, value) == after.get(key, value) for key, value in defaults.items())
    return same and not any(phrase.startswith("task ") for phrase in differences)


def _layer(name: str) -> str:
    """What a tensor is taken together with."""
    return name.rpartition(".")[0] or name


def _misfit(name: str, mine: Tensor, theirs: Tensor | None) -> str | None:
    """Why a tensor cannot be taken, or None."""
    if theirs is None:
        return "is not in it"
    rows_may_differ = name in PER_POLICY and mine.dim() == theirs.dim()
    if mine.shape == theirs.shape or (rows_may_differ and mine.shape[1:] == theirs.shape[1:]):
        return None
    part = "" if name == _layer(name) else f"{name.rpartition('.')[2]} "
    return f"{part}{list(theirs.shape)} there, {list(mine.shape)} here"


def _laid_over(mine: Tensor, theirs: Tensor) -> Tensor:
    """A copy of a tensor with as many of the other one's last rows as both have, or all of the other one."""
    theirs = theirs.to(mine.device, mine.dtype)
    if mine.shape == theirs.shape:
        return theirs.clone()
    rows = min(len(mine), len(theirs))
    return torch.cat((mine[: len(mine) - rows], theirs[len(theirs) - rows :])).clone()

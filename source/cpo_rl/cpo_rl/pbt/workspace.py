# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The folder in which the members of a population meet.

::

    WORKSPACE/
        population.json            what all members have in common: their number, task, agent and engine
        member_00/                 run folder of member 0 (docs/run_folder.md), and besides
            pbt_history.jsonl      a line per decision
            order.json             what an engine outside decided for it last, if one does
            published/
                state_<n>.json     what it published after n iterations
                model_<n>.pt/.json the checkpoint to it, which others may copy

A member writes into its own folder only. Every published file appears whole or not at all; readers pass over what is
missing, damaged or foreign, so a dead member blocks nobody.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.pbt.decision import MemberState
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest, manifest_path
from cpo_rl.runs.checkpoints import CheckpointStore, write_checkpoint
from cpo_rl.runs.files import read_json, write_json
from cpo_rl.runs.lock import own_folder
from cpo_rl.runs.tables import JsonLines

_STATE = re.compile(r"state_(\d+)\.json")
_POPULATION = "population.json"
_ORDER = "order.json"

OWN_ENGINE = "own"
"""Engine of a population whose members decide by themselves."""

JOIN_S = 20.0
"""How long a member waits for others that join at the same moment [s]."""


@dataclass(frozen=True)
class Published:
    """What a member says about itself when an interval has ended."""

    member: int
    """Its number."""

    iteration: int
    """Finished iterations, which name the files."""

    env_steps: int
    """Own environment steps."""

    objective: float | None
    """Score to maximize; None while unknown."""

    parameters: dict[str, float]
    """Hyper-parameters that led here."""

    restarts: int = 0
    """Restarts so far."""

    created: str | None = None
    """Time of writing in UTC, ISO 8601."""

    order: str = ""
    """Last order that it followed, where an engine outside decides."""

    @classmethod
    def read(cls, path: Path) -> Published | None:
        """Read a published state; None if the file is missing, damaged or not one."""
        try:
            content = read_json(path)
            state = cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})
            counts = (state.member, state.iteration, state.env_steps, state.restarts)
            whole = all(type(n) is int and n >= 0 for n in counts) and all(
                isinstance(name, str) and _is_number(value) for name, value in state.parameters.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        return state if whole and (state.objective is None or _is_number(state.objective)) else None


@dataclass(frozen=True)
class Order:
    """What an engine outside decided for a member: to go on, perhaps from another one's weights."""

    id: str
    """Name that no other order of the member has; a member follows an order once."""

    parameters: dict[str, float]
    """Hyper-parameters to go on with; those that it does not name stay as they are."""

    donor: int | None = None
    """Member whose weights to take; None to keep one's own."""

    donor_iteration: int = 0
    """Iteration of the donor's published checkpoint."""

    @classmethod
    def read(cls, path: Path) -> Order | None:
        """Read an order; None if the file is missing, damaged or none."""
        try:
            content = read_json(path)
            order = cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})
            whole = isinstance(order.id, str) and all(
                isinstance(name, str) and _is_number(value) for name, value in order.parameters.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        numbers = (order.donor_iteration, 0 if order.donor is None else order.donor)
        return order if whole and all(type(n) is int and n >= 0 for n in numbers) else None


class Workspace:
    """The shared folder of a population.

    Args:
        path: The folder; made by :meth:`join`.
        members: Number of members P, at least 1.
    """

    def __init__(self, path: str | os.PathLike[str], members: int) -> None:
        self.path, self.members = Path(path), members

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> tuple[Workspace, dict[str, Any]]:
        """Open an existing workspace; returns it and what its members have in common.

        Raises:
            UserError: If the folder is none.
        """
        try:
            common = {"engine": OWN_ENGINE, **read_json(Path(path) / _POPULATION)}
            return cls(path, int(common["members"])), common
        except (OSError, ValueError, TypeError, KeyError):
            raise UserError(
                f"{str(path)!r} holds no population ({_POPULATION} is missing or damaged); give --workspace of one."
            ) from None

    def join(self, **common: Any) -> None:
        """Make the folder, or make sure that it belongs to the same population.

        Args:
            **common: What all members must have in common, such as ``task``, ``agent`` and ``engine``.

        Raises:
            UserError: If the folder belongs to another population or cannot be written.
        """
        with own_folder(self.path, wait_s=JOIN_S):  # or two populations that start at once would share it
            self._join({"members": self.members, **common})

    def _join(self, mine: dict[str, Any]) -> None:
        if (self.path / _POPULATION).exists():
            _, theirs = Workspace.open(self.path)
            for name, value in mine.items():
                if name in theirs and theirs[name] != value:
                    raise UserError(
                        f"Workspace {str(self.path)!r} holds a population with {name} {theirs[name]!r}, "
                        f"not {value!r}; choose another workspace."
                    )
            return
        try:
            write_json(self.path / _POPULATION, mine)
        except OSError as error:
            raise UserError(
                f"Workspace {str(self.path)!r} cannot be written ({error.strerror}); choose another."
            ) from None

    def folder(self, member: int) -> Path:
        """Return the run folder of a member."""
        return self.path / f"member_{member:02d}"

    def history(self, member: int) -> JsonLines:
        """Return the history of a member: a line per decision, with the iteration after which it was taken."""
        return JsonLines(self.folder(member) / "pbt_history.jsonl")

    def give_order(self, member: int, order: Order) -> None:
        """Tell a member what to do after its running interval, in place of what it was told before.

        Raises:
            OSError: If the disk is full or read-only.
        """
        self.folder(member).mkdir(parents=True, exist_ok=True)
        write_json(self.folder(member) / _ORDER, asdict(order))

    def order(self, member: int) -> Order | None:
        """Return the newest order for a member."""
        return Order.read(self.folder(member) / _ORDER)

    def at(self, member: int, iteration: int) -> Published | None:
        """Return what a member published after an iteration."""
        return Published.read(self.folder(member) / "published" / f"state_{iteration}.json")

    def checkpoint(self, published: Published) -> Path:
        """Return the checkpoint that belongs to a published state; it may be gone by now."""
        return self.folder(published.member) / "published" / f"model_{published.iteration}.pt"

    def publish(self, state: Published, data: bytes, manifest: CheckpointManifest, keep: int) -> None:
        """Publish a member's state with its checkpoint: the checkpoint first, so that a state never lacks one.

        Args:
            state: The state.
            data: The serialized checkpoint.
            manifest: Its description.
            keep: Newest checkpoints of this member to keep.

        Raises:
            OSError: If the disk is full or read-only; what was published before is intact.
        """
        path = self.checkpoint(state)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, data, manifest)
        write_json(path.parent / f"state_{state.iteration}.json", asdict(state))
        CheckpointStore(path.parent, keep_last=keep, keep_best=0).rotate()

    def retract_after(self, member: int, iteration: int) -> None:
        """Take back what a member published after an iteration that it continues from, because it will differ now."""
        folder = self.folder(member) / "published"
        for state in self.published(member):
            if state.iteration > iteration:
                checkpoint = self.checkpoint(state)
                for file in (folder / f"state_{state.iteration}.json", checkpoint, manifest_path(checkpoint)):
                    file.unlink(missing_ok=True)

    def published(self, member: int) -> list[Published]:
        """Return the readable states of a member, oldest first."""
        return list(self._newest_first(member))[::-1]

    def latest(self, member: int, before: float = math.inf) -> Published | None:
        """Return a member's newest state of less than ``before`` environment steps; None where there is none."""
        return next((state for state in self._newest_first(member) if state.env_steps < before), None)

    def newest(self, before: float) -> list[Published | None]:
        """Return every member's newest state of less than ``before`` environment steps, None where there is none.

        A member that is ahead is seen as it was then, so that a slow one is compared with its equals.
        """
        return [self.latest(member, before) for member in range(self.members)]

    def _newest_first(self, member: int) -> Iterator[Published]:
        """Yield the readable states of a member; a file is read only when it is asked for."""
        folder = self.folder(member) / "published"
        names = os.listdir(folder) if folder.is_dir() else []
        numbers = [int(match[1]) for name in names if (match := _STATE.fullmatch(name))]
        for number in sorted(numbers, reverse=True):
            state = Published.read(folder / f"state_{number}.json")
            if state and (state.member, state.iteration) == (member, number):
                yield state


def member_state(published: Published | None) -> MemberState:
    """Return what selection needs of a published state; an unknown score where there is none."""
    return MemberState(published.objective, published.parameters) if published else MemberState(None, {})


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]

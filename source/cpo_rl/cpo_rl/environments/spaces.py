# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium's spaces as what a policy reads and says: rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from cpo_rl.errors import UserError, suggestion

Array = NDArray[Any]


class ObservationLayout:
    """Which entries of an observation make which observation group.

    Args:
        space: Observation space of one environment: a Box, or a Dict of Boxes.
        groups: Entries of a Dict by group, in order; by default all of them are the group ``policy``.

    Raises:
        UserError: If an entry is no row of numbers, or a group names one that does not exist.
    """

    def __init__(self, space: spaces.Space, groups: Mapping[str, Sequence[str]] | None = None) -> None:
        self._is_dict = isinstance(space, spaces.Dict)
        if groups is not None and not self._is_dict:
            raise UserError(f"groups names entries of a Dict, but the observation is a {_kind(space)}; leave it out.")
        entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
        self.groups = {"policy": list(entries)} if groups is None else {g: list(names) for g, names in groups.items()}
        """Entries by group."""
        if not all(self.groups.values()):
            raise UserError("groups has a group without entries; name what it holds, or leave it out.")
        for name in (name for names in self.groups.values() for name in names):
            if name not in entries:
                raise UserError(f"groups names {name!r}, which the observation lacks; {suggestion(name, entries)}")
            _check_row(entries[name], f"entry {name!r} of the observation" if name else "the observation")

    def read(self, batch: Any) -> dict[str, Array]:
        """Rows of numbers by group, float32 [n, D], newly made, of a batch of n observations."""
        return {group: np.concatenate([self._rows(batch, n) for n in names], 1) for group, names in self.groups.items()}

    def stack(self, observations: Sequence[Any]) -> Any:
        """A batch, as :meth:`read` takes it, of single observations."""
        if not self._is_dict:
            return np.stack([np.asarray(one) for one in observations])
        names = {name for group in self.groups.values() for name in group}
        return {name: np.stack([np.asarray(one[name]) for one in observations]) for name in names}

    def _rows(self, batch: Any, name: str) -> Array:
        values = np.asarray(batch[name] if self._is_dict else batch)
        return values.reshape(len(values), -1).astype(np.float32)


class ActionLayout:
    """How the numbers that a policy says become actions.

    Args:
        space: Action space of one environment, a Box of floating point numbers.
        scale: Whether numbers in [-1, 1] span an entry's bounds, where both are finite.

    Raises:
        UserError: If it is another space.
    """

    def __init__(self, space: spaces.Space, scale: bool = True) -> None:
        if not (isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and math.prod(space.shape)):
            raise UserError(
                f"The actions are a {_kind(space)}; the policies say real numbers, which need a Box of floating point "
                "numbers."
            )
        self._shape, self._dtype = space.shape, space.dtype
        self.low, self.high = (bound.astype(np.float64).ravel() for bound in (space.low, space.high))
        """Bounds of each number, [A]."""
        self.scaled = np.isfinite(self.low) & np.isfinite(self.high) & scale
        """Numbers that are scaled, bool [A]."""

    @property
    def size(self) -> int:
        """Numbers of an action, A."""
        return len(self.low)

    def to_actions(self, numbers: Tensor) -> Array:
        """Actions [N, *shape] within their bounds from what policies said, [N, A]."""
        said = numbers.detach().to("cpu", torch.float64).numpy()
        with np.errstate(invalid="ignore", over="ignore"):  # of bounds that are not finite, which the mask leaves out
            spanned = self.low + 0.5 * (said.clip(-1.0, 1.0) + 1.0) * (self.high - self.low)
        actions = np.where(self.scaled, spanned, said).clip(self.low, self.high)
        return actions.reshape(len(said), *self._shape).astype(self._dtype)


def _check_row(space: spaces.Space, what: str) -> None:
    if isinstance(space, spaces.Box) and (len(space.shape) >= 3 or (space.dtype == np.uint8 and len(space.shape) == 2)):
        raise UserError(f"{what} is an image of shape {list(space.shape)}; the networks read rows of numbers.")
    if not isinstance(space, spaces.Box):
        raise UserError(
            f"{what} is a {_kind(space)}, not a Box; wrap the environment in "
            "gymnasium.wrappers.FlattenObservation, or leave the entry out with groups."
        )


def _kind(space: spaces.Space) -> str:
    is_box = isinstance(space, spaces.Box)
    return f"Box of {space.dtype}" if is_box else type(space).__name__

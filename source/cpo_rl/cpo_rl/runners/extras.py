# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scalars that environments report in every step's ``extras``, without reading the device before an iteration ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cpo_rl.errors import UserError


class ExtrasMeans:
    """Mean over an iteration of the scalars in ``extras["episode"]`` or ``extras["log"]``, as rsl_rl reads them."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def step(self, extras: Mapping[str, Any]) -> None:
        """Add one step's scalars; of several numbers their mean counts.

        Raises:
            UserError: Naming a key whose value is no number, tensor, array or list of numbers.
        """
        for name, value in reported(extras).items():
            value = number(name, value)
            if value is None:
                continue
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Any]:
        """Return the means (numbers or scalar tensors) since the last call.

        A key without a slash is put into the group ``Task``.
        """
        means = {_tag(name): total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


def reported(extras: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a step reports for the log, by name.

    Raises:
        UserError: If it is no dictionary with texts as keys.
    """
    for key in ("episode", "log"):
        found = extras.get(key)
        if found is None or (isinstance(found, Mapping) and not found):
            continue
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise UserError(f"The environment's extras[{key!r}] must be a dictionary of numbers by name.")
        return found
    return {}


def number(name: str, value: Any) -> float | torch.Tensor | None:
    """The number that a reported value stands for, on its device: a scalar, or the mean of several; None for none.

    Raises:
        UserError: If it stands for no number.
    """
    if isinstance(value, int | float):
        return value
    try:
        values = torch.as_tensor(value) if not isinstance(value, torch.Tensor) else value
        if values.is_complex():
            raise TypeError
        return values.detach().float().mean() if values.numel() else None
    except (TypeError, ValueError, RuntimeError):
        raise UserError(
            f"The environment reports {name!r} as a {type(value).__name__} in extras; report a number, or a tensor, an "
            "array or a list of numbers."
        ) from None


def _tag(name: str) -> str:
    """Return a metric tag: names with an inner slash as they are, others below ``Task``."""
    name = name.strip("/")
    return name if "/" in name else f"Task/{name}"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scalars that environments report in every step's ``extras``, without reading the device before an iteration ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class ExtrasMeans:
    """Mean over an iteration of the scalars in ``extras["episode"]`` or ``extras["log"]``, as rsl_rl reads them."""

    def __init__(self) -> None:
        self._sums: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def step(self, extras: Mapping[str, Any]) -> None:
        """Add one step's scalars; tensors of more than one element count with their mean."""
        for name, value in (extras.get("episode") or extras.get("log") or {}).items():
            if isinstance(value, torch.Tensor):
                if value.numel() == 0:
                    continue
                value = value.detach().float().mean()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Any]:
        """Return the means (numbers or scalar tensors) since the last call.

        A key without a slash is put into the group ``Task``.
        """
        means = {_tag(name): total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


def _tag(name: str) -> str:
    """Return a metric tag: names with an inner slash as they are, others below ``Task``."""
    name = name.strip("/")
    return name if "/" in name else f"Task/{name}"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Watches for numbers that are not finite or absurd on the device, so that none costs a host sync."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class FiniteGuard:
    """Remembers per environment which tensor went bad first and at which step of the rollout.

    Args:
        num_envs: N.
        device: Device of the tensors.
    """

    NEVER = 1 << 30
    """Marks an environment in which nothing went wrong."""

    def __init__(self, num_envs: int, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.num_envs = num_envs
        self._first: dict[str, Tensor] = {}
        self._raw: dict[str, Tensor] = {}
        self.flag = torch.zeros((), device=device)

    def clean(self, name: str, tensor: Tensor, step: int, most: float = math.inf) -> tuple[Tensor, Tensor]:
        """Note environments with an entry that is not finite or beyond a magnitude.

        Args:
            name: What the tensor is, for the report.
            tensor: [N] or [N, ...].
            step: Step within the rollout.
            most: Largest magnitude that is not absurd.

        Returns:
            The tensor with such entries set to 0, and the environments that had any, bool [N].
        """
        good = torch.isfinite(tensor) if most == math.inf else tensor.abs() <= most
        bad = ~(good if tensor.dim() == 1 else good.flatten(1).all(1))
        newly = self.note(name, bad, step)
        if name not in self._raw:
            self._raw[name] = torch.zeros_like(tensor)
        raw = self._raw[name]
        raw.copy_(torch.where(newly.view(-1, *[1] * (tensor.dim() - 1)), tensor, raw))
        return torch.where(good, tensor, 0.0), bad

    def note(self, name: str, bad: Tensor, step: int) -> Tensor:
        """Note bad environments [N] at a step of the rollout; return those that were not yet noted for ``name``."""
        if name not in self._first:
            self._first[name] = torch.full((self.num_envs,), self.NEVER, device=self.device, dtype=torch.int64)
        first = self._first[name]
        newly = bad & (first == self.NEVER)
        first.copy_(torch.where(newly, step, first))
        return newly

    def hold_back(self, bad: Tensor) -> None:
        """Say that the iteration must not change the weights if any environment is bad, bool [N]."""
        self.flag = torch.maximum(self.flag, bad.any().to(self.flag.dtype))

    def report(self, *names: str) -> dict[str, Any] | None:
        """Which of the named tensors went bad first, at which step, where; None if none did. Reads the device.

        Returns:
            ``tensor``, ``step`` and ``env_ids``; and ``finite``, the largest number, if they were absurd but finite.
        """
        steps = {name: int(self._first[name].min()) for name in names if name in self._first}
        found = [(step, name) for name, step in steps.items() if step < self.NEVER]
        if not found:
            return None
        step, name = min(found, key=lambda item: item[0])
        envs = (self._first[name] == step).nonzero().flatten().tolist()
        report = {"tensor": name, "step": step, "env_ids": envs}
        if name in self._raw and bool((raw := self._raw[name][envs].flatten()).isfinite().all()):
            report["finite"] = float(raw[raw.abs().argmax()])
        return report

    def raw(self, env_ids: list[int]) -> dict[str, Tensor]:
        """The untouched entries of environments when each tensor first went bad in any of them, by name."""
        noted = {name: bool((self._first[name][env_ids] < self.NEVER).any()) for name in self._raw}
        return {name: raw[env_ids] for name, raw in self._raw.items() if noted[name]}

    def clear(self) -> None:
        """Forget everything, at the start of a rollout."""
        for first in self._first.values():
            first.fill_(self.NEVER)
        self.flag = torch.zeros((), device=self.device)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Watches for non-finite numbers on the device, so that none reaches the weights and none costs a host sync."""

from __future__ import annotations

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

    def clean(self, name: str, tensor: Tensor, step: int) -> Tensor:
        """Note environments with a non-finite entry and return the tensor with such entries set to 0.

        Args:
            name: What the tensor is, for the report.
            tensor: [N] or [N, ...].
            step: Step within the rollout.
        """
        finite = torch.isfinite(tensor)
        bad = ~(finite if tensor.dim() == 1 else finite.flatten(1).all(1))
        if name not in self._first:
            self._first[name] = torch.full((self.num_envs,), self.NEVER, device=self.device, dtype=torch.int64)
            self._raw[name] = torch.zeros_like(tensor)
        first, raw = self._first[name], self._raw[name]
        newly = (bad & (first == self.NEVER)).view(-1, *[1] * (tensor.dim() - 1))
        raw.copy_(torch.where(newly, tensor, raw))
        first.copy_(torch.where(bad & (first == self.NEVER), step, first))
        self.flag = torch.maximum(self.flag, bad.any().to(self.flag.dtype))
        return torch.where(finite, tensor, 0.0)

    def report(self) -> dict[str, Any] | None:
        """The first tensor that went bad: its name, step and environments; None if nothing did. Reads the device."""
        found = [(int(f.min()), name) for name, f in self._first.items() if int(f.min()) < self.NEVER]
        if not found:
            return None
        step, name = min(found, key=lambda item: item[0])
        envs = (self._first[name] == step).nonzero().flatten().tolist()
        return {"tensor": name, "step": step, "env_ids": envs}

    def raw(self, env_ids: list[int]) -> dict[str, Tensor]:
        """The untouched entries of environments when each tensor first went bad in any of them, by name."""
        return {
            name: self._raw[name][env_ids] for name, f in self._first.items() if bool((f[env_ids] < self.NEVER).any())
        }

    def clear(self) -> None:
        """Forget everything, at the start of a rollout."""
        for first in self._first.values():
            first.fill_(self.NEVER)
        self.flag = torch.zeros((), device=self.device)

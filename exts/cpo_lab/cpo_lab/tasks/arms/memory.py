# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an observation shows of the rules' state: its values before the step's reward, or those of a new episode."""

from __future__ import annotations

import torch


class Memory:
    """Values kept from the middle of a step for its observation, renewed where an episode began."""

    def __init__(self, num_envs: int, device: str) -> None:
        """Remember nothing; all N environments are about to begin an episode."""
        self.values: dict[str, torch.Tensor] = {}
        """Values by name, each [N, ...]."""
        self.fresh = torch.ones(num_envs, dtype=torch.bool, device=device)
        """Environments whose values are those of an episode that has ended [N]."""
        self.is_stale = True
        """Whether there may be any, known without asking the device."""

    def keep(self, values: dict[str, torch.Tensor]) -> None:
        """Take over the values of all environments."""
        self.values = values

    def forget(self, mask: torch.Tensor) -> None:
        """Note that episodes begin where ``mask`` [N] is set."""
        self.fresh = self.fresh | mask
        self.is_stale = True

    def renew(self, values: dict[str, torch.Tensor]) -> None:
        """Take over values where an episode has begun, and everywhere if nothing was kept before."""
        if self.values:
            fresh = self.fresh.unsqueeze(-1)
            values = {name: torch.where(fresh, values[name], kept) for name, kept in self.values.items()}
        self.values = values
        self.fresh = torch.zeros_like(self.fresh)
        self.is_stale = False

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an algorithm draws, from generators of its own that continue exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cpo_rl.distributed import Ranks


class Randomness:
    """Generators of one process.

    Args:
        seed: The run's seed.
        ranks: Processes that train together; noise differs between them, drawn followers do not.
        device: Device of noise and shuffling.
    """

    def __init__(self, seed: int, ranks: Ranks, device: torch.device) -> None:
        self.ranks, self.device = ranks, device
        # far apart, because Isaac Lab already adds the local rank to the seed
        self.noise = torch.Generator(device).manual_seed(seed + 1 + 1_000_003 * ranks.rank)
        self.shuffle = torch.Generator(device).manual_seed(seed)
        self.follower = torch.Generator("cpu").manual_seed(seed)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise of a tensor's shape and type."""
        return torch.randn(like.shape, device=self.device, dtype=like.dtype, generator=self.noise)

    def followers(self, count: int, drawn: int) -> list[int]:
        """Different followers of ``count``, drawn uniformly and alike on all ranks (docs/algorithms.md)."""
        return torch.randperm(count, generator=self.follower)[:drawn].tolist() if drawn else []

    def broadcast(self) -> None:
        """Give every rank rank 0's drawing of followers."""
        state = self.follower.get_state().to(self.device)
        self.ranks.broadcast([state])
        self.follower.set_state(state.cpu())

    def rank_state(self) -> dict[str, Tensor]:
        """The generators that every rank has for itself."""
        return {"noise": self.noise.get_state(), "shuffle": self.shuffle.get_state()}

    def state_dict(self) -> dict[str, Tensor]:
        """All generators."""
        return {**self.rank_state(), "follower": self.follower.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore those generators that a state holds."""
        for name, value in state.items():
            getattr(self, name).set_state(value.cpu())

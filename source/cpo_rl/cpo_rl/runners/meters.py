# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Accumulation of what every environment step reports, without reading the device before the iteration ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class EpisodeMeter:
    """Mean return and length of the episodes that finish during an iteration, over all environments.

    Args:
        num_envs: Number of environments N.
        device: Device of rewards and dones.
    """

    def __init__(self, num_envs: int, device: str | torch.device) -> None:
        self.reward = torch.zeros(num_envs, device=device)
        """Reward collected in the running episode, [N]."""
        self.length = torch.zeros(num_envs, device=device)
        """Steps of the running episode, [N]."""
        self._sums = torch.zeros(3, device=device)  # finished episodes: count, sum of returns, sum of lengths

    def step(self, rewards: torch.Tensor, dones: torch.Tensor) -> None:
        """Add one step: rewards [N] and ends of episodes [N] (nonzero where one ended)."""
        ended = (dones > 0).to(self.reward.dtype)
        self.reward += rewards
        self.length += 1
        # where(), not a product: an infinite reward times zero would be NaN in the environments that did not finish
        zero = torch.zeros((), device=self.reward.device)
        self._sums += torch.stack(
            [
                ended.sum(),
                torch.where(ended > 0, self.reward, zero).sum(),
                torch.where(ended > 0, self.length, zero).sum(),
            ]
        )
        self.reward.masked_fill_(ended > 0, 0.0)
        self.length.masked_fill_(ended > 0, 0.0)

    def read(self) -> torch.Tensor:
        """Return [count, sum of returns, sum of lengths] of episodes finished since the last call, on the device."""
        sums = self._sums.clone()
        self._sums.zero_()
        return sums

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the running episodes, for a checkpoint."""
        return {"reward": self.reward, "length": self.length}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> bool:
        """Continue the running episodes; return False (and start new ones) if the number of environments differs."""
        if state["reward"].shape != self.reward.shape:
            self.reset()
            return False
        self.reward.copy_(state["reward"])
        self.length.copy_(state["length"])
        return True

    def reset(self) -> None:
        """Forget the running episodes."""
        self.reward.zero_()
        self.length.zero_()


class ExtrasMeter:
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

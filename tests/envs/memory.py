# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A recall task that a policy without memory cannot solve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tests.envs.base import TorchEnvCfg, TorchVecEnv

__all__ = ["MemoryEnv", "MemoryEnvCfg"]


@dataclass
class MemoryEnvCfg(TorchEnvCfg):
    """Timing of the recall task."""

    max_episode_length: int = 10
    """Episode length in steps, above ``recall_steps`` + 1. Not a divisor of usual rollout lengths, so that episodes
    start and end inside rollouts."""

    recall_steps: int = 3
    """Number of last steps of an episode at which the cue must be reproduced, at least 1."""

    reward_width: float = 0.5
    """Standard deviation of the reward bump around the correct action, > 0."""


class MemoryEnv(TorchVecEnv):
    """A cue of +1 or -1 is shown at the first step only; the action of the last steps must equal it.

    Observation [N, 3]: the cue (0 after the first step), 1 during recall, time in the episode from 0 to 1. Action
    [N, 1]. Reward during recall: exp(-(a - cue)^2 / (2 width^2)); before it: the same bump around 0. Nothing but the
    first observation tells the cue.
    """

    num_obs = 3
    num_actions = 1
    ends_by_time_out = False
    cfg: MemoryEnvCfg

    def __init__(self, cfg: MemoryEnvCfg | None = None) -> None:
        """See :class:`TorchVecEnv`.

        Raises:
            ValueError: If the recall period does not leave at least one step between cue and recall.
        """
        cfg = cfg or MemoryEnvCfg()
        if not 1 <= cfg.recall_steps <= cfg.max_episode_length - 2:
            raise ValueError("recall_steps must be at least 1 and at most max_episode_length - 2.")
        super().__init__(cfg)

    @property
    def best_return(self) -> float:
        """Return of perfect recall: 1 at every step."""
        return float(self.cfg.max_episode_length)

    @property
    def memoryless_return(self) -> float:
        """Best expected return without memory: perfect waiting, and the best constant action for a coin-flip cue."""
        cfg = self.cfg
        a = torch.linspace(-1.5, 1.5, 3001, dtype=torch.float64)
        width = 2.0 * cfg.reward_width**2
        guess = 0.5 * (torch.exp(-((a - 1) ** 2) / width) + torch.exp(-((a + 1) ** 2) / width))
        return cfg.max_episode_length - cfg.recall_steps * (1.0 - float(guess.max()))

    @property
    def solved_return(self) -> float:
        """Return required of the noise-free policy: 90 % of what memory is worth above the memoryless optimum."""
        return self.memoryless_return + 0.9 * (self.best_return - self.memoryless_return)

    def _allocate(self) -> None:
        self.cue = self._buffer("cue")

    def _reset_state(self, mask: torch.Tensor) -> None:
        cue = torch.where(self._uniform() >= 0.0, 1.0, -1.0)
        self.cue.copy_(torch.where(mask, cue, self.cue))

    @property
    def _recalling(self) -> torch.Tensor:
        return self.episode_length_buf >= self.max_episode_length - self.cfg.recall_steps

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        target = torch.where(self._recalling, self.cue, torch.zeros_like(self.cue))
        rewards = torch.exp(-((actions[:, 0] - target) ** 2) / (2.0 * self.cfg.reward_width**2))
        return rewards, torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)

    def _observe(self) -> torch.Tensor:
        shown = torch.where(self.episode_length_buf == 0, self.cue, torch.zeros_like(self.cue))
        time = self.episode_length_buf.float() / self.max_episode_length
        return torch.stack([shown, self._recalling.float(), time], dim=-1)

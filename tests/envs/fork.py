# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A choice between roads that look alike where they begin: what one mean action decides, and no noise undoes.

Straight roads lead from the origin of a plane, two in opposite directions unless more are asked for. The further out on
a road, the higher the reward, and up to the end of the shortest road all are the same. Each road goes further than the
one before. Nothing tells which is which, and it is the same in every episode.

A policy with a unimodal distribution takes one road, by the chance of its first steps. At its end going back is a loss,
and the way to a better road leads through a valley, so it stays. Noise does not help: it is white, steps are bounded,
and so a random walk hardly gets to where roads differ, however wide it is. Clipping does not help either. Only a policy
whose *mean* leads down another road meets what lies at its end. Whether a leader can then follow depends on how far
from it that policy is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from tests.envs.base import TorchEnvCfg, TorchVecEnv

__all__ = ["ForkEnv", "ForkEnvCfg"]


@dataclass
class ForkEnvCfg(TorchEnvCfg):
    """Geometry of the roads. A length of 1 is what the fastest policy covers in a step."""

    max_episode_length: int = 64
    """Episode length in steps: enough to get to the end of the longest road and stay for a while."""

    lengths: tuple[float, ...] = (14.0, 28.0)
    """Lengths of the roads from one side of the fan to the other, > 0; two or more, none shorter than the one before.
    A random walk gets 8 steps far within an episode, as a root mean square."""

    direction: float = 0.3
    """Angle of the middle of the fan [rad]; not an axis of the actions."""

    spacing: float = math.pi
    """Angle from one road to the next [rad], > 0."""

    road_width: float = 3.0
    """Standard deviation of the reward across a road, > 0."""

    reward_noise: float = 0.3
    """Standard deviation of the noise on every reward, >= 0. Without it the little that a policy loses by its own noise
    is all that an advantage consists of at the end of a road, and policies stop exploring."""


class ForkEnv(TorchVecEnv):
    """Walking in the plane with a bounded speed; roads that differ only far out.

    Observation [N, 2]: position / longest length. Action [N, 2]: displacement, at most 1 long. Reward: height
    of the best road there, from 0 at the origin to 1 at the end of the longest. Episodes end by time-out.
    """

    num_obs = 2
    num_actions = 2
    cfg: ForkEnvCfg

    def __init__(self, cfg: ForkEnvCfg | None = None) -> None:
        """See :class:`TorchVecEnv`.

        Raises:
            ValueError: If there is no choice between shorter and longer roads.
        """
        cfg = cfg or ForkEnvCfg()
        if len(cfg.lengths) < 2 or cfg.lengths[0] <= 0.0 or list(cfg.lengths) != sorted(cfg.lengths):
            raise ValueError("ForkEnvCfg.lengths must be two or more positive lengths, in order.")
        middle = (len(cfg.lengths) - 1) / 2.0
        angles = cfg.direction + cfg.spacing * (torch.arange(len(cfg.lengths)) - middle)
        self.directions = torch.stack([angles.cos(), angles.sin()], -1).to(cfg.device)  # [roads, 2]
        self.lengths = torch.tensor(cfg.lengths, device=cfg.device)
        super().__init__(cfg)

    def walk_return(self, road: int) -> float:
        """Undiscounted return of walking down a road at full speed and staying at its end."""
        steps = torch.arange(1, self.cfg.max_episode_length + 1, dtype=torch.float32, device=self.device)
        along = steps.clamp(max=float(self.lengths[road]))
        return float(self._height(along[:, None] * self.directions[road]).sum())

    @property
    def best_return(self) -> float:
        """Return of the straight walk down the last road."""
        return self.walk_return(-1)

    @property
    def solved_return(self) -> float:
        """Half-way between the best road and the second best."""
        return 0.5 * (self.walk_return(-2) + self.best_return)

    def _allocate(self) -> None:
        self.position = self._buffer("position", 2)

    def _reset_state(self, mask: torch.Tensor) -> None:
        self.position.copy_(torch.where(mask[:, None], self._uniform(2), self.position))

    def _height(self, position: torch.Tensor) -> torch.Tensor:
        """Height of the best road at ``position`` [..., 2]; beyond its end a road falls as it rose; [...]."""
        along = position @ self.directions.T
        across = position.square().sum(-1, keepdim=True) - along.square()
        height = torch.minimum(along, 2.0 * self.lengths - along).clamp(min=0.0) / self.lengths[-1]
        return (height * torch.exp(-across / (2.0 * self.cfg.road_width**2))).amax(-1)

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.position.add_(actions / actions.norm(dim=-1, keepdim=True).clamp(min=1.0))
        noise = torch.randn(self.num_envs, generator=self._generator, device=self.device)
        rewards = self._height(self.position) + self.cfg.reward_noise * noise
        return rewards, torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)

    def _observe(self) -> torch.Tensor:
        return self.position / self.lengths[-1]

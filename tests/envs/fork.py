# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A choice between roads that look alike where they begin: what one mean action decides, and no noise undoes.

Several straight roads lead away from the origin of a plane, evenly spread. The further out on a road, the higher the
reward, and up to the fork's end all roads are the same. There all but one are closed; the open one leads on to twice
the height. Which one is open is told by nothing, and is the same in every episode.

A policy with a unimodal distribution takes one road, by chance. At its end going back is a loss, so it stays. Noise
does not help: it is white, steps are bounded, and so a random walk hardly gets to where roads differ, however wide it
is. Clipping does not help either. Only policies whose *means* lead down different roads meet the open one. Whether a
leader can then follow depends on how far from it that policy is.
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
    """Episode length in steps: enough to get to the end of the open road and stay for a while."""

    roads: int = 6
    """Number of roads, at least 2; road 0 is the open one."""

    direction: float = 0.3
    """Angle of the open road [rad]; not an axis of the actions. Which road a policy takes depends on its seed."""

    closed_at: float = 20.0
    """Length of the closed roads, > 0; more than twice the root mean square of the widest random walk."""

    open_until: float = 40.0
    """Length of the open road, above ``closed_at``; well below ``max_episode_length``, or nobody profits from it."""

    road_width: float = 4.0
    """Standard deviation of the reward across a road, > 0. Wide enough for noisy walks."""


class ForkEnv(TorchVecEnv):
    """Walking in the plane with a bounded speed; roads that differ only far out.

    Observation [N, 2]: position / ``open_until``. Action [N, 2]: displacement, shortened to length 1. Reward: height of
    the best road there, from 0 at the origin to 1 at the end of the open road. Episodes end by time-out.
    """

    num_obs = 2
    num_actions = 2
    cfg: ForkEnvCfg

    def __init__(self, cfg: ForkEnvCfg | None = None) -> None:
        """See :class:`TorchVecEnv`.

        Raises:
            ValueError: If there is no choice between a shorter and a longer road.
        """
        cfg = cfg or ForkEnvCfg()
        if cfg.roads < 2 or not 0.0 < cfg.closed_at < cfg.open_until:
            raise ValueError("ForkEnvCfg needs roads >= 2 and 0 < closed_at < open_until.")
        angles = 2.0 * math.pi * torch.arange(cfg.roads) / cfg.roads + cfg.direction
        self.directions = torch.stack([angles.cos(), angles.sin()], -1).to(cfg.device)  # [roads, 2]
        self.lengths = torch.full((cfg.roads,), cfg.closed_at, device=cfg.device)
        self.lengths[0] = cfg.open_until
        super().__init__(cfg)

    def walk_return(self, road: int) -> float:
        """Undiscounted return of walking down a road at full speed and staying at its end."""
        steps = torch.arange(1, self.cfg.max_episode_length + 1, dtype=torch.float32, device=self.device)
        along = steps.clamp(max=float(self.lengths[road]))
        return float(self._height(along[:, None] * self.directions[road]).sum())

    @property
    def best_return(self) -> float:
        """Return of the straight walk down the open road."""
        return self.walk_return(0)

    @property
    def closed_return(self) -> float:
        """Return of the straight walk down a closed road, where a policy that took one ends up."""
        return self.walk_return(1)

    @property
    def solved_return(self) -> float:
        """Half-way between the end of a closed road and that of the open one."""
        return 0.5 * (self.closed_return + self.best_return)

    def _allocate(self) -> None:
        self.position = self._buffer("position", 2)

    def _reset_state(self, mask: torch.Tensor) -> None:
        self.position.copy_(torch.where(mask[:, None], self._uniform(2), self.position))

    def _height(self, position: torch.Tensor) -> torch.Tensor:
        """Height of the best road at ``position`` [..., 2]; a closed road falls beyond its end as it rose; [...]."""
        along = position @ self.directions.T
        across = position.square().sum(-1, keepdim=True) - along.square()
        height = torch.minimum(along, 2.0 * self.lengths - along).clamp(min=0.0) / self.cfg.open_until
        return (height * torch.exp(-across / (2.0 * self.cfg.road_width**2))).amax(-1)

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.position.add_(actions / actions.norm(dim=-1, keepdim=True).clamp(min=1.0))
        return self._height(self.position), torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)

    def _observe(self) -> torch.Tensor:
        return self.position / self.cfg.open_until

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A navigation task with a local optimum, made for the mechanism ensembles claim to have.

A point starts near the origin of a plane. A wide hill of small reward lies close by on the left (the decoy), a narrow hill
of large reward far away on the right (the goal), and the decoy's slope points away from the goal everywhere a typical
random walk gets to. Each half of the task defeats one kind of single policy:

* with little exploration noise the policy climbs the decoy within a few updates and its noise then never reaches the goal;
* with much exploration noise it does meet the goal, but a policy whose noise stays that large cannot stay on a narrow hill.

A leader without entropy bonus that also learns from noisy followers has a way out: followers meet the goal, and the
leader's critic and policy learn from their relabelled data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import TorchEnvCfg, TorchVecEnv

__all__ = ["DeceptiveEnv", "DeceptiveEnvCfg"]


@dataclass
class DeceptiveEnvCfg(TorchEnvCfg):
    """Geometry and rewards of the deceptive task. Lengths are in units of the plane."""

    goal_distance: float = 3.0
    """Distance of the goal hill from the origin, > 0."""

    goal_width: float = 0.5
    """Standard deviation of the goal hill, > 0."""

    goal_reward: float = 1.0
    """Reward per step on top of the goal hill."""

    decoy_distance: float = 1.0
    """Distance of the decoy hill from the origin, on the other side, > 0."""

    decoy_width: float = 1.0
    """Standard deviation of the decoy hill, > 0."""

    decoy_reward: float = 0.2
    """Reward per step on top of the decoy hill."""

    step_size: float = 0.15
    """Distance moved per unit of action, > 0."""

    max_action: float = 3.0
    """Each action component is clipped to this magnitude; above 1 so that larger noise means wider exploration."""

    arena: float = 4.5
    """Half the side of the square the point cannot leave."""


class DeceptiveEnv(TorchVecEnv):
    """Point navigation in the plane with a near decoy and a far goal.

    Observation [N, 2]: position / arena. Action [N, 2]: displacement in units of ``step_size``. Reward: decoy hill plus goal
    hill. Episodes end by time-out.
    """

    num_obs = 2
    num_actions = 2
    cfg: DeceptiveEnvCfg

    def __init__(self, cfg: DeceptiveEnvCfg | None = None) -> None:
        cfg = cfg or DeceptiveEnvCfg()
        super().__init__(cfg)

    @property
    def solved_return(self) -> float:
        """Half the return of walking straight to the goal and staying there; the decoy cannot give it."""
        return 0.5 * self.best_return

    @property
    def best_return(self) -> float:
        """Undiscounted return of the straight walk at full speed from the origin, then standing on the goal."""
        cfg = self.cfg
        speed = cfg.step_size * cfg.max_action
        steps = torch.arange(1, cfg.max_episode_length + 1, dtype=torch.float64)
        x = torch.clamp(steps * speed, max=cfg.goal_distance)
        return float(self._reward(torch.stack([x, torch.zeros_like(x)], dim=-1)).sum())

    @property
    def decoy_return(self) -> float:
        """Undiscounted return of standing on the decoy for a whole episode: what the local optimum is worth at most."""
        return self.cfg.decoy_reward * self.cfg.max_episode_length

    def _allocate(self) -> None:
        self.position = self._buffer("position", 2)

    def _reset_state(self, mask: torch.Tensor) -> None:
        start = 0.1 * self._uniform(2)
        self.position.copy_(torch.where(mask[:, None], start, self.position))

    def _reward(self, position: torch.Tensor) -> torch.Tensor:
        """Sum of the two hills at ``position`` [..., 2]; returns [...]."""
        cfg = self.cfg
        x, y = position[..., 0], position[..., 1]
        goal = torch.exp(-((x - cfg.goal_distance) ** 2 + y**2) / (2.0 * cfg.goal_width**2))
        decoy = torch.exp(-((x + cfg.decoy_distance) ** 2 + y**2) / (2.0 * cfg.decoy_width**2))
        return cfg.goal_reward * goal + cfg.decoy_reward * decoy

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cfg = self.cfg
        moved = self.position + cfg.step_size * actions.clamp(-cfg.max_action, cfg.max_action)
        self.position.copy_(moved.clamp(-cfg.arena, cfg.arena))
        return self._reward(self.position), torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)

    def _observe(self) -> torch.Tensor:
        return self.position / self.cfg.arena

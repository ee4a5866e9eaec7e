# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A navigation task with a local optimum, made for the mechanism ensembles claim to have.

A point starts near the origin of a plane. Every action costs its squared magnitude, and the only reward is a narrow
hill far away. Standing still is a local optimum: near the start, less movement is always better, and a policy that
follows that gradient also shrinks its noise, after which it never meets the hill. Noise that is kept large by an
entropy bonus does meet it, but is paid for at every step.

A leader without entropy bonus that also learns from noisy followers has a way out: followers meet the hill, and the
leader's critic and policy learn from their relabelled data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tests.envs.base import TorchEnvCfg, TorchVecEnv

__all__ = ["DeceptiveEnv", "DeceptiveEnvCfg"]


@dataclass
class DeceptiveEnvCfg(TorchEnvCfg):
    """Geometry and rewards of the deceptive task. Lengths are in units of the plane."""

    goal_distance: float = 4.0
    """Distance of the goal hill from the origin, > 0."""

    goal_width: float = 0.5
    """Standard deviation of the goal hill, > 0."""

    goal_reward: float = 1.0
    """Reward per step on top of the goal hill."""

    action_cost: float = 0.02
    """Cost per step and per squared unit of action before clipping, >= 0."""

    reward_noise: float = 0.2
    """Standard deviation of the noise on every reward, which no action explains; >= 0. Without it the action cost,
    however small, is all the normalized advantage consists of before the hill is met, and no entropy bonus can balance
    it."""

    step_size: float = 0.15
    """Distance moved per unit of action, > 0."""

    max_action: float = 3.0
    """Each action component is clipped to this magnitude; above 1 so that larger noise means wider exploration."""

    arena: float = 6.0
    """Half the side of the square the point cannot leave."""


class DeceptiveEnv(TorchVecEnv):
    """Point navigation in the plane with costly actions and a far goal.

    Observation [N, 2]: position / arena. Action [N, 2]: displacement in units of ``step_size``. Reward: goal hill minus
    action cost, plus noise. Episodes end by time-out.
    """

    num_obs = 2
    num_actions = 2
    cfg: DeceptiveEnvCfg

    def __init__(self, cfg: DeceptiveEnvCfg | None = None) -> None:
        super().__init__(cfg or DeceptiveEnvCfg())

    @property
    def solved_return(self) -> float:
        """Half the return of walking straight to the goal and staying there. Standing still gives 0."""
        return 0.5 * self.best_return

    @property
    def best_return(self) -> float:
        """Undiscounted return of the straight walk at full speed from the origin, then standing on the goal.

        A slower walk pays less for its actions and may be a little better; this is the yardstick, not a bound.
        """
        cfg = self.cfg
        steps = torch.arange(cfg.max_episode_length + 1, dtype=torch.float64)
        x = torch.clamp(steps * cfg.step_size * cfg.max_action, max=cfg.goal_distance)
        actions = torch.stack([x.diff() / cfg.step_size, torch.zeros_like(x[1:])], dim=-1)
        return float(self._reward(torch.stack([x[1:], torch.zeros_like(x[1:])], dim=-1), actions).sum())

    def _allocate(self) -> None:
        self.position = self._buffer("position", 2)

    def _reset_state(self, mask: torch.Tensor) -> None:
        start = 0.1 * self._uniform(2)
        self.position.copy_(torch.where(mask[:, None], start, self.position))

    def _reward(self, position: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Goal hill at ``position`` [..., 2] minus the cost of ``actions`` [..., 2]; returns [...]."""
        cfg = self.cfg
        distance = (position[..., 0] - cfg.goal_distance) ** 2 + position[..., 1] ** 2
        hill = cfg.goal_reward * torch.exp(-distance / (2.0 * cfg.goal_width**2))
        return hill - cfg.action_cost * actions.square().sum(dim=-1)

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cfg = self.cfg
        moved = self.position + cfg.step_size * actions.clamp(-cfg.max_action, cfg.max_action)
        self.position.copy_(moved.clamp(-cfg.arena, cfg.arena))
        noise = torch.randn(self.num_envs, generator=self._generator, device=self.device)
        rewards = self._reward(self.position, actions) + cfg.reward_noise * noise
        return rewards, torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)

    def _observe(self) -> torch.Tensor:
        return self.position / self.cfg.arena

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An easy, fast control task for tests of the training machinery rather than of learning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from tests.envs.base import TorchEnvCfg, TorchVecEnv

__all__ = ["TrackingEnv", "TrackingEnvCfg"]


@dataclass
class TrackingEnvCfg(TorchEnvCfg):
    """Dynamics of the tracking task."""

    num_axes: int = 2
    """Number of independent axes (= actions), at least 1."""

    step_dt: float = 0.1
    """Integration step in s."""

    damping: float = 1.0
    """Velocity damping in 1/s."""

    escape_distance: float = 3.0
    """Tracking error in m from which the episode is terminated."""

    random_start: bool = False
    """Draw the start phase of every episode; otherwise the dynamics use no randomness at all."""


class TrackingEnv(TorchVecEnv):
    """Unit point masses, pushed by the action, that must follow a target circling with period 3.2 s.

    With ``random_start`` off, everything is a function of the environment index and the actions. Observation
    [N, 3 * axes]: target position - position, velocity, target position. Reward: exp(-|error|^2). An error beyond
    ``escape_distance`` terminates the episode; the last step of an episode is a time-out.
    """

    cfg: TrackingEnvCfg

    def __init__(self, cfg: TrackingEnvCfg | None = None) -> None:
        cfg = cfg or TrackingEnvCfg()
        self.num_actions = cfg.num_axes
        self.num_obs = 3 * cfg.num_axes
        super().__init__(cfg)

    @property
    def solved_return(self) -> float:
        """Return of a mean reward of 0.7 per step."""
        return 0.7 * self.cfg.max_episode_length

    def _allocate(self) -> None:
        self.position = self._buffer("position", self.num_actions)
        self.velocity = self._buffer("velocity", self.num_actions)
        self.phase = self._buffer("phase")
        self._index_phase = torch.arange(self.num_envs, device=self.device) * (2.0 * math.pi / self.num_envs)
        self._axis_phase = torch.arange(self.num_actions, device=self.device) * (0.5 * math.pi)

    def _reset_state(self, mask: torch.Tensor) -> None:
        phase = math.pi * self._uniform() if self.cfg.random_start else self._index_phase
        self.phase.copy_(torch.where(mask, phase, self.phase))
        self.position.masked_fill_(mask[:, None], 0.0)
        self.velocity.masked_fill_(mask[:, None], 0.0)

    def _target(self) -> torch.Tensor:
        time = self.episode_length_buf.float() * self.cfg.step_dt
        return torch.sin(2.0 * math.pi / 3.2 * time[:, None] + self.phase[:, None] + self._axis_phase)

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        dt = self.cfg.step_dt
        force = 5.0 * actions.clamp(-1.0, 1.0)
        self.velocity.add_(dt * (force - self.cfg.damping * self.velocity))
        self.position.add_(dt * self.velocity)
        error = (self._target() - self.position).norm(dim=-1)
        return torch.exp(-(error**2)), error > self.cfg.escape_distance

    def _observe(self) -> torch.Tensor:
        target = self._target()
        return torch.cat([target - self.position, self.velocity, target], dim=-1)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Common machinery of the simulator-free test environments.

The environments are plain batched torch code: stepping ten thousand of them costs well under a millisecond, they run on
any device, and everything random comes from one ``torch.Generator`` that belongs to the environment. Their whole state
(buffers and generator) can be written to and read from a checkpoint, so that exact resumption can be tested.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

__all__ = ["TorchEnvCfg", "TorchVecEnv"]


@dataclass
class TorchEnvCfg:
    """What every test environment can be asked for."""

    num_envs: int = 96
    """Number of parallel environments, at least 1."""

    max_episode_length: int = 32
    """Episode length in steps, at least 1."""

    seed: int = 0
    """Seed of the environment's own generator."""

    device: str = "cpu"
    """Torch device of all buffers."""

    stagger: bool = True
    """Start the environments at random points of their first episode, so that resets are spread over time and fall
    inside rollouts; rsl_rl's ``init_at_random_ep_len`` does the same from outside."""


class TorchVecEnv(VecEnv):
    """A vectorized environment in plain torch following rsl_rl's ``VecEnv``.

    Subclasses allocate their buffers with :meth:`_buffer` (which makes them part of the checkpoint), and implement
    :meth:`_reset_state`, :meth:`_advance` and :meth:`_observe`. All buffers are changed in place: rsl_rl steps under
    ``torch.inference_mode`` and a tensor created there could not be written to outside of it.

    An episode ends after ``max_episode_length`` steps, reported as a time-out when :attr:`ends_by_time_out` is true, or
    earlier when :meth:`_advance` says so. The observation returned for an environment whose episode ended is the first
    one of its next episode.
    """

    num_obs: int
    """Width of the observation group ``policy``."""

    ends_by_time_out: bool = True
    """Whether reaching the last step is a time limit (bootstrapped by the learner) or a true end of the episode."""

    solved_return: float
    """Mean undiscounted episode return from which on the task counts as solved."""

    def __init__(self, cfg: TorchEnvCfg) -> None:
        """Allocate the buffers and start the first episodes.

        Args:
            cfg: Size, episode length, seed and device.

        Raises:
            ValueError: If ``num_envs`` or ``max_episode_length`` is below 1.
        """
        if cfg.num_envs < 1 or cfg.max_episode_length < 1:
            raise ValueError("num_envs and max_episode_length must be at least 1.")
        self.cfg = cfg
        self.num_envs = cfg.num_envs
        self.max_episode_length = cfg.max_episode_length
        self.device = torch.device(cfg.device)
        self.unwrapped = self
        self._generator = torch.Generator(device=self.device)
        self._generator.manual_seed(cfg.seed)
        self._buffers: dict[str, torch.Tensor] = {}
        self._buffer("episode_length", dtype=torch.long)
        self.episode_return = self._buffer("episode_return")
        self.last_return = self._buffer("last_return")
        self._allocate()
        self._reset_state(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        if cfg.stagger:
            self.episode_length_buf.random_(0, cfg.max_episode_length, generator=self._generator)

    checkpoint_is_exact: bool = True
    """A restored environment continues as if it had never stopped."""

    # -- to be implemented ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _allocate(self) -> None:
        """Create the task's buffers with :meth:`_buffer`."""

    @abstractmethod
    def _reset_state(self, mask: torch.Tensor) -> None:
        """Start a new episode where ``mask`` [N] is true; must draw the same number of random values for any mask."""

    @abstractmethod
    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Apply ``actions`` [N, A]; return rewards [N] and termination flags [N] (bool)."""

    @abstractmethod
    def _observe(self) -> torch.Tensor:
        """Return the observation [N, D] of the current state as a new tensor."""

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Steps done in the current episode [N] (long). Assigning copies into the buffer that is checkpointed."""
        return self._buffers["episode_length"]

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        self._buffers["episode_length"].copy_(value)

    # -- VecEnv --------------------------------------------------------------------------------------------------------

    def get_observations(self) -> TensorDict:
        """Return the current observations as ``{"policy": [N, D]}``."""
        return TensorDict({"policy": self._observe()}, batch_size=[self.num_envs], device=self.device)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance every environment by one step.

        Args:
            actions: Unclipped actions [N, A].

        Returns:
            Observations, rewards [N], dones [N] (long) and extras with ``time_outs`` [N] (bool), ``log`` (scalars) and
            ``episode_metrics`` (per environment, of its last finished episode; 0 before the first).

        Raises:
            ValueError: If the actions have the wrong shape.
        """
        if actions.shape != (self.num_envs, self.num_actions):
            expected = (self.num_envs, self.num_actions)
            raise ValueError(f"actions must have shape {expected}, got {tuple(actions.shape)}.")
        rewards, terminated = self._advance(actions.to(self.device))
        self.episode_length_buf.add_(1)
        self.episode_return.add_(rewards)
        at_end = self.episode_length_buf >= self.max_episode_length
        dones = at_end | terminated
        time_outs = at_end & ~terminated if self.ends_by_time_out else torch.zeros_like(at_end)
        self.last_return.copy_(torch.where(dones, self.episode_return, self.last_return))
        self.episode_return.masked_fill_(dones, 0.0)
        self.episode_length_buf.masked_fill_(dones, 0)
        self._reset_state(dones)
        extras = {
            "time_outs": time_outs,
            "log": {"/episode/return": self.last_return.mean()},
            "episode_metrics": {"solved": (self.last_return >= self.solved_return).float()},
        }
        return self.get_observations(), rewards, dones.long(), extras

    def restart(self) -> None:
        """Start a new episode everywhere, at step 0."""
        self.episode_length_buf.zero_()
        self.episode_return.zero_()
        self._reset_state(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Return the complete state as clones: all buffers and the generator's state."""
        return {
            "buffers": {name: buffer.clone() for name, buffer in self._buffers.items()},
            "generator": self._generator.get_state().clone(),
        }

    def restore_from_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Continue from a state returned by :meth:`state_for_checkpoint`.

        Raises:
            ValueError: If the state belongs to another kind or number of environments.
        """
        buffers = state["buffers"]
        if buffers.keys() != self._buffers.keys():
            raise ValueError("the checkpoint holds the state of another kind of environment.")
        for name, buffer in self._buffers.items():
            if buffers[name].shape != buffer.shape:
                raise ValueError(f"the checkpoint's buffer {name!r} has another shape; use the same number of envs.")
        for name, buffer in self._buffers.items():
            buffer.copy_(buffers[name])
        self._generator.set_state(state["generator"].cpu())

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _buffer(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Create a zero buffer [N, *shape] that is part of the checkpoint."""
        self._buffers[name] = torch.zeros(self.num_envs, *shape, dtype=dtype, device=self.device)
        return self._buffers[name]

    def _uniform(self, *shape: int) -> torch.Tensor:
        """Draw U(-1, 1) of shape [N, *shape] from the environment's generator."""
        return torch.rand(self.num_envs, *shape, generator=self._generator, device=self.device) * 2.0 - 1.0

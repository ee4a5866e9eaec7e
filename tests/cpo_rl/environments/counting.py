# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium environments whose every number is known: they count steps and end when told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class CountingEnv(gymnasium.Env):
    """Observes [its number, episode, step]; an episode ends after as many steps as its lengths say, in turn.

    Args:
        number: Its number.
        lengths: Lengths of its episodes, in turn; a negative one ends by time.
        low, high: Bounds of its two actions.
        as_dict: Observe the same as a Dict.
    """

    def __init__(
        self, number: int = 0, lengths: Sequence[int] = (3, -4), low: Any = -2.0, high: Any = 4.0, as_dict: bool = False
    ) -> None:
        self.number, self.lengths, self.as_dict = number, list(lengths), as_dict
        row = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        one = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = spaces.Dict({"row": row, "noise": one}) if as_dict else row
        bounds = (np.broadcast_to(np.float32(bound), (2,)) for bound in (low, high))
        self.action_space = spaces.Box(*bounds, dtype=np.float32)
        self.episode, self.steps, self.actions = -1, 0, []
        self.noise = 0.0

    def _observe(self) -> Any:
        row = np.array([self.number, self.episode, self.steps], np.float64)
        return {"row": row, "noise": np.float32([self.noise])} if self.as_dict else row

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        self.noise = float(self.np_random.normal())
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(np.array(action))
        self.steps += 1
        length = self.lengths[self.episode % len(self.lengths)]
        ends = self.steps == abs(length)
        reward = 100.0 * self.number + 10.0 * self.episode + self.steps
        return self._observe(), reward, ends and length > 0, ends and length < 0, {"score": reward, "text": "x"}


def counting(
    mode: AutoresetMode = AutoresetMode.SAME_STEP, lengths: Sequence[Sequence[int]] = ((3, -4), (-2, 5)), **kwargs: Any
) -> SyncVectorEnv:
    """One environment per entry of ``lengths``."""
    makers = [lambda n=n, own=own: CountingEnv(n, own, **kwargs) for n, own in enumerate(lengths)]
    return SyncVectorEnv(makers, autoreset_mode=mode)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The moments of a rollout, and which of them to show. Knows neither a viewer nor a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpo_rl.algorithms.episodes import CountedStep

_SETTLED = 10
"""Steps after a reset before a moment is worth a picture."""


@dataclass(frozen=True)
class Shot:
    """One step of a rollout."""

    moment: Any
    """Where everything was after it."""
    captions: dict[int, Any]
    """What to write onto each shown environment, by index."""
    scores: dict[int, float]
    """How good the step was in each shown environment; minus infinity right after a reset."""


@dataclass
class Film:
    """Shots in order.

    Args:
        shown: Indices of the shown environments.
    """

    shown: Sequence[int]
    shots: list[Shot] = field(default_factory=list)

    def add(self, moment: Any, captions: dict[int, Any], counted: CountedStep) -> None:
        """Add a step.

        Args:
            moment: Where everything was after it.
            captions: What to write onto each shown environment.
            counted: What the step did.
        """
        self.shots.append(Shot(moment, captions, {index: _score(counted, index) for index in self.shown}))

    def best(self, index: int) -> Shot:
        """Return the shot of an environment whose step had the highest reward, which is where a goal was reached.

        Where all are right after a reset, the last one.
        """
        return max(reversed(self.shots), key=lambda shot: shot.scores[index])

    def best_part(self, count: int) -> list[Shot]:
        """Return ``count`` shots in a row: those with the fewest resets and, of these, the highest rewards.

        The first third of a part does not count, so that one sees how its best moment comes about.
        """
        if count >= len(self.shots):
            return self.shots
        values = [[shot.scores[index] for index in self.shown] for shot in self.shots]
        resets = [sum(score == -math.inf for score in scores) for scores in values]
        worth = [sum(score for score in scores if score > -math.inf) for scores in values]

        def value(start: int) -> tuple[int, float]:
            return -sum(resets[start : start + count]), sum(worth[start + count // 3 : start + count])

        start = max(range(len(self.shots) - count + 1), key=value)
        return self.shots[start : start + count]


def _score(counted: CountedStep, index: int) -> float:
    """Return how good a step was in an environment."""
    if bool(counted.done[index]) or float(counted.lengths[index]) < _SETTLED:
        return -math.inf
    reward = float(counted.rewards[index])
    return reward if math.isfinite(reward) else -math.inf

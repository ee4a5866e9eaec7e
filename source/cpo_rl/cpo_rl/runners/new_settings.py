# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a configuration says now although the checkpoint that a run goes on from holds a value of its own.

A checkpoint brings the state of everything, also of what settings started: the learning rate, which a schedule has
moved since, and random generators. A setting that differs from what the checkpoint was trained with is meant, so it
acts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rsl_rl.algorithms import PPO

from cpo_rl.contracts import Algorithm
from cpo_rl.runs.configs import changes


class NewSettings:
    """The settings of a run beside those of the checkpoint that it goes on from.

    Args:
        before: The runner's configuration that the checkpoint was trained with, as plain values; empty if not known.
        now: The runner's configuration now.
        asked: Fields of the algorithm that act even if they are what they were, because a user has just given them.
    """

    def __init__(self, before: Mapping[str, Any], now: Mapping[str, Any], asked: Collection[str] = ()) -> None:
        self.changes = changes("agent", before, now)
        """What differs: key, such as ``agent.algorithm.gamma``, to the value before and now."""
        self._before, self._now, self._asked = before, now, asked

    @property
    def reseeds(self) -> bool:
        """Whether another seed is asked for, so that generators start from it instead of where they stood."""
        return self._before.get("seed") not in (None, self._now.get("seed"))

    @property
    def sets_learning_rate(self) -> bool:
        """Whether training goes on with the configured learning rate instead of the checkpoint's."""
        before, now = (_section(cfg).get("learning_rate") for cfg in (self._before, self._now))
        return "learning_rate" in self._asked or (bool(_section(self._before)) and before != now)


def _section(cfg: Mapping[str, Any]) -> Mapping[str, Any]:
    algorithm = cfg.get("algorithm")
    return algorithm if isinstance(algorithm, Mapping) else {}


def set_learning_rate(algorithm: Algorithm, rate: float) -> bool:
    """Let training go on with a learning rate; return False where the algorithm offers no way."""
    alg = algorithm.base
    if algorithm.is_mutable:
        alg.set_hyperparameters({"learning_rate": rate})
        alg.learning_rate = rate
        return True
    if isinstance(alg, PPO):
        alg.learning_rate = rate
        for group in alg.optimizer.param_groups:
            group["lr"] = rate
        return True
    return False


def keep_generators(payload: dict[str, Any], algorithm: Algorithm, rank: int) -> None:
    """Put this process's own generators of an algorithm in the place of a checkpoint's, before that is loaded.

    Args:
        payload: Content of the checkpoint; changed in place.
        algorithm: The algorithm, seeded anew.
        rank: Rank of this process.
    """
    if "generators" not in payload:
        return
    payload["generators"] = algorithm.base.save()["generators"]
    own, ranks = algorithm.rank_state(), (payload.get("runner") or {}).get("ranks") or []
    if own is not None and rank < len(ranks) and "algorithm" in ranks[rank]:
        ranks[rank]["algorithm"] = {**ranks[rank]["algorithm"], "generators": own["generators"]}

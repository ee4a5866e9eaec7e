# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Says when an ensemble looks lost, and what to change.

A KL on its target does not prove a healthy ensemble: leader and followers may run away together. What gives that away
are the leader's noise, how much followers' data are worth to the leader, and how many of them its clip range leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cpo_rl.config import EnsembleCfg
from cpo_rl.contracts import Algorithm
from cpo_rl.runs.curves import LEAST_ESS, MOST_CLIPPED
from cpo_rl.runs.metric_names import CLIPPED_BORROWED, ESS_POOLED, LEADER_STD

NOISE_SHARE = 0.5
"""Share of ``action_std_max`` above which the leader's noise has run away."""

IN_A_ROW = 3
"""Measurements in a row that must say so."""


@dataclass
class _Sign:
    """One thing that gives a lost ensemble away."""

    tag: str
    """The metric."""
    limit: float
    """Value beyond which it is bad."""
    above: bool
    """Whether larger values are bad, or smaller ones."""
    what: str
    """What is wrong, with places for value and limit."""
    seen: int = 0
    """Bad measurements in a row."""

    def begins(self, value: float) -> bool:
        """Count a measurement; whether it is the one that makes the alarm."""
        bad = value > self.limit if self.above else value < self.limit
        self.seen = self.seen + 1 if bad else 0
        return self.seen == IN_A_ROW


class EnsembleWatch:
    """Looks at the metrics of every iteration.

    Args:
        alg: The algorithm; another one than the ensemble's is not judged.
    """

    def __init__(self, alg: Algorithm) -> None:
        self._cfg = alg.cfg if isinstance(alg.cfg, EnsembleCfg) else None
        self._signs: list[_Sign] = []
        if self._cfg is not None:
            most = NOISE_SHARE * self._cfg.action_std_max
            self._signs = [
                _Sign(LEADER_STD, most, True, "the leader's noise is {0:.3g}, above {1:g}"),
                _Sign(ESS_POOLED, LEAST_ESS, False, "followers' data are worth {0:.1%} of their number, below {1:.0%}"),
                _Sign(CLIPPED_BORROWED, MOST_CLIPPED, True, "{0:.1%} of the borrowed rows are clipped, above {1:.0%}"),
            ]

    def check(self, iteration: int, metrics: Mapping[str, float]) -> list[str]:
        """Judge an iteration.

        Args:
            iteration: Finished iterations.
            metrics: Its metrics; what it did not measure counts neither way.

        Returns:
            A sentence for every alarm that begins; one that goes on is not repeated.
        """
        begun = [sign for sign in self._signs if sign.tag in metrics and sign.begins(metrics[sign.tag])]
        return [
            f"The ensemble looks lost in iteration {iteration}: "
            f"{sign.what.format(metrics[sign.tag], sign.limit)} ({sign.tag}); {self._advice(sign.tag)}."
            for sign in begun
        ]

    def _advice(self, tag: str) -> str:
        """What to change, by what is set."""
        assert self._cfg is not None
        if tag == LEADER_STD:
            return "lower agent.algorithm.entropy_coef_scale, or take agent.algorithm.borrowed_clip_center=old_leader"
        if self._cfg.adversarial_coef > 0.0:
            return "lower agent.algorithm.adversarial_coef, or take --agent cpo"
        if self._cfg.coupling_target_kl > 0.0:
            return "lower agent.algorithm.coupling_target_kl or agent.algorithm.entropy_coef_scale"
        return "take --agent cpo_regulated, or lower agent.algorithm.entropy_coef_scale"

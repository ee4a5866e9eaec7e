# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a member of a population knows about itself between decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from cpo_rl.pbt.mutation import DEFAULT_RULES, Parameters, Rule, mutate, scale
from cpo_rl.pbt.selection import Decision, MemberState, decide
from cpo_rl.pbt.settings import PbtCfg


class Member:
    """Counts towards the next decision and takes it.

    Args:
        index: Its number, from 0.
        cfg: Settings of population-based training.
        configured: Configured values of the hyper-parameters that mutate; those without a rule of their own are scaled.
        seed: Seed of the run; the member's draws depend on it and on ``index``.
    """

    def __init__(self, index: int, cfg: PbtCfg, configured: Parameters, seed: int) -> None:
        self.index, self.cfg = index, cfg
        self.configured = dict(configured)
        self.rules: dict[str, Rule] = {name: DEFAULT_RULES.get(name, scale) for name in configured}
        self.rng = Random(f"{seed}/{index}")
        self.parameters: dict[str, float] = mutate(self.configured, self.rules, cfg, self.rng)
        """Hyper-parameters in effect; every member starts from a mutation of the configured ones."""
        self.decided_at = 0
        """Own environment steps at the last decision."""
        self.best: float | None = None
        """Best objective within the running interval."""
        self.restarted_at = 0
        """Own environment steps at the last restart."""
        self.restarts = 0
        """Restarts so far, with a donor's weights or its own."""

    def observe(self, env_steps: int, objective: float | None) -> bool:
        """Note the state after an iteration.

        Args:
            env_steps: Own environment steps since the beginning.
            objective: Current score, None while unknown.

        Returns:
            Whether a decision is due: an interval has ended and the score is known.
        """
        if objective is None:
            return False
        self.best = objective if self.best is None else max(self.best, objective)
        return env_steps // self.cfg.interval_steps > self.decided_at // self.cfg.interval_steps

    def horizon(self, env_steps: int) -> int:
        """Environment steps at which the running interval ends; what others did from then on does not count yet."""
        return (env_steps // self.cfg.interval_steps + 1) * self.cfg.interval_steps

    def decide(self, env_steps: int, objective: float, others: Sequence[MemberState]) -> Decision:
        """Decide what to do at the end of an interval, and begin the next one.

        Args:
            env_steps: Own environment steps since the beginning.
            objective: Own score.
            others: Newest known state of every member in order; the own entry is replaced.

        Returns:
            The decision; the caller carries it out and then calls :meth:`restart`.
        """
        states = [MemberState(o.objective, {n: o.parameters.get(n, v) for n, v in self.parameters.items()})
                  for o in others]  # fmt: skip
        states[self.index] = MemberState(objective, self.parameters)
        steps_since_restart = env_steps - self.restarted_at
        decision = decide(self.index, states, env_steps, steps_since_restart, self.best, self.cfg, self.rules, self.rng)
        self.decided_at, self.best = env_steps, None
        return decision

    def restart(self, env_steps: int, parameters: Parameters) -> None:
        """Go on with other hyper-parameters from this many own environment steps."""
        self.parameters, self.restarted_at, self.restarts = dict(parameters), env_steps, self.restarts + 1

    def state_dict(self) -> dict[str, Any]:
        """Everything that must survive a resume, as plain values."""
        return {
            "index": self.index,
            "parameters": dict(self.parameters),
            "decided_at": self.decided_at,
            "best": self.best,
            "restarted_at": self.restarted_at,
            "restarts": self.restarts,
            "random": self.rng.getstate(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Hyper-parameters that no longer mutate go back to their configured values; new ones start there.
        """
        self.parameters = {n: state["parameters"].get(n, value) for n, value in self.configured.items()}
        self.decided_at, self.best = state["decided_at"], state["best"]
        self.restarted_at, self.restarts = state["restarted_at"], state["restarts"]
        version, numbers, gauss = state["random"]
        self.rng.setstate((version, tuple(numbers), gauss))

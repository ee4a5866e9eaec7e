# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a member of a population decides: how hyper-parameters mutate, who copies whom, and what it remembers for that.

Everything here follows from its arguments and a ``random.Random``; moving checkpoints is the caller's business.

Source: ``isaacgymenvs/pbt/mutation.py`` and ``isaacgymenvs/pbt/pbt.py`` of the reference; docs/pbt.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import pstdev
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.pbt.settings import PbtCfg

# -- how hyper-parameters mutate ---------------------------------------------------------------------------------------

Parameters = Mapping[str, float]
"""Values of the mutable hyper-parameters by name."""

Rule = Callable[[float, PbtCfg, Random], float]
"""Maps a value to its mutated value."""


def scale(value: float, cfg: PbtCfg, rng: Random) -> float:
    """Multiply or divide, with equal probability, by a factor drawn from U(change_min, change_max)."""
    factor = rng.uniform(cfg.change_min, cfg.change_max)
    return value * factor if rng.random() < 0.5 else value / factor


def scale_clip(value: float, cfg: PbtCfg, rng: Random) -> float:
    """As :func:`scale`, kept in [0.01, 0.3]: for clip ranges."""
    return min(max(scale(value, cfg, rng), 0.01), 0.3)


def step_count(value: float, cfg: PbtCfg, rng: Random) -> int:
    """One more or one less, kept in [1, 8]: for passes over the batch."""
    del cfg
    return min(max(int(value) + (1 if rng.random() < 0.5 else -1), 1), 8)


def scale_horizon(value: float, cfg: PbtCfg, rng: Random) -> float:
    """Multiply or divide 1 - value by a factor drawn from U(change_min, discount_change_max): for discounts."""
    factor = rng.uniform(cfg.change_min, cfg.discount_change_max)
    rest = (1.0 - value) * factor if rng.random() < 0.5 else (1.0 - value) / factor
    return 1.0 - min(rest, 0.999)


DEFAULT_RULES: dict[str, Rule] = {
    "max_grad_norm": scale,
    "value_loss_coef": scale,
    "bound_loss_coef": scale,
    "desired_kl": scale,
    "clip_param": scale_clip,
    "num_learning_epochs": step_count,
    "gamma": scale_horizon,
}
"""Rules for the fields of ``EnsembleCfg`` that the reference mutates on every task.

A task adds its reward weights with :func:`scale`. The reference also lists the learning rate, which its restart
overwrites, and an entropy coefficient of 0, which no factor changes; both are left out.
"""


def mutate(parameters: Parameters, rules: Mapping[str, Rule], cfg: PbtCfg, rng: Random) -> dict[str, float]:
    """Mutate every hyper-parameter with probability ``mutation_rate``, independently.

    Args:
        parameters: Current values; every one needs a rule.
        rules: Rule by name.
        cfg: Settings.
        rng: Source of randomness.

    Returns:
        New values, in the order of ``parameters``.

    Raises:
        UserError: If a hyper-parameter has no rule.
    """
    missing = [name for name in parameters if name not in rules]
    if missing:
        raise UserError(f"Hyper-parameter {missing[0]!r} has no mutation rule; give one of {', '.join(sorted(rules))}.")
    return {
        name: rules[name](value, cfg, rng) if rng.random() < cfg.mutation_rate else value
        for name, value in parameters.items()
    }


# -- who copies whom ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemberState:
    """What one member has published."""

    objective: float | None
    """Score to maximize: mean over its environments of the last finished episode; None while unknown."""

    parameters: Parameters
    """Its hyper-parameters."""

    def __post_init__(self) -> None:
        """Count a score that is no number as unknown, so that a diverged member cannot be copied."""
        if self.objective is not None and not math.isfinite(self.objective):
            object.__setattr__(self, "objective", None)


@dataclass(frozen=True)
class Decision:
    """What a member must do now."""

    restart: bool
    """Whether to restart with ``parameters`` (and, if given, the donor's weights); otherwise nothing changes."""

    donor: int | None
    """Member whose checkpoint to load; None to keep one's own weights."""

    parameters: dict[str, float]
    """Hyper-parameters to go on with."""

    reason: str
    """Why, for the log."""


def ranking(objectives: Sequence[float | None]) -> list[int]:
    """Members from best to worst; unknown objectives last, equal ones in the order of their index."""
    return sorted(range(len(objectives)), key=lambda i: (objectives[i] is None, -(objectives[i] or 0.0), i))


def best_and_worst(objectives: Sequence[float | None], cfg: PbtCfg) -> tuple[list[int], list[int]]:
    """The ceil(fraction * P) members that may be copied, best first, and those that may be changed, best first."""
    order = ranking(objectives)
    # rounded first: 0.07 * 100 is 7.000000000000001 in floating point
    counts = [math.ceil(round(f * len(order), 9)) for f in (cfg.replace_fraction_best, cfg.replace_fraction_worst)]
    return order[: counts[0]], order[len(order) - counts[1] :]


def objective_spread(objectives: Sequence[float | None], cfg: PbtCfg) -> float:
    """Standard deviation (of the population) of the known objectives without the lowest ``std_drop_fraction``.

    Returns:
        The spread; 0 if none is known.
    """
    known = sorted(o for o in objectives if o is not None)
    kept = known[int(cfg.std_drop_fraction * len(known)) :]
    return pstdev(kept) if kept else 0.0


def leads_enough(own: float | None, donor: float, spread: float, cfg: PbtCfg) -> bool:
    """Whether a donor's lead exceeds both thresholds; an unknown own objective always counts as behind."""
    if own is None:
        return True
    lead = donor - own
    return lead > cfg.replace_threshold_frac_std * spread and lead > cfg.replace_threshold_frac_absolute * abs(donor)


def decide(
    index: int,
    members: Sequence[MemberState],
    own_steps: int,
    steps_since_restart: int,
    best_of_interval: float | None,
    cfg: PbtCfg,
    rules: Mapping[str, Rule],
    rng: Random,
) -> Decision:
    """Decide for one member at the end of its interval.

    Args:
        index: The member.
        members: Newest published state of every member, its own included.
        own_steps: Environment steps this member made since the beginning.
        steps_since_restart: Environment steps since it was last restarted.
        best_of_interval: Its best objective within this interval, or None.
        cfg: Settings.
        rules: Mutation rules.
        rng: Source of randomness.

    Returns:
        The decision. A member among the worst restarts with mutated hyper-parameters, on a donor's weights if the donor
        leads by enough and on its own otherwise; everybody else goes on.
    """
    own = members[index]
    objectives = [m.objective for m in members]
    best, worst = best_and_worst(objectives, cfg)

    def keep(reason: str) -> Decision:
        return Decision(False, None, dict(own.parameters), reason)

    if steps_since_restart < cfg.start_after:
        return keep("too soon after its last restart")
    if own_steps < cfg.initial_delay:
        return keep("too soon after the start")
    if index not in worst:
        return keep("not among the worst")
    known = [o for o in objectives if o is not None]
    if len(known) <= max(2, len(members) // 2):
        return keep("too few members are known")
    threshold = min(o for o in (objectives[i] for i in best) if o is not None)
    if best_of_interval is not None and best_of_interval >= threshold:
        return keep("was as good as the best within this interval")
    donor = rng.choice(best)
    donor_objective = objectives[donor]
    replaces = (
        donor != index
        and donor_objective is not None
        and leads_enough(own.objective, donor_objective, objective_spread(objectives, cfg), cfg)
    )
    from_donor = replaces and rng.random() < cfg.donor_parameters_probability
    start = members[donor].parameters if from_donor else own.parameters
    reason = f"member {donor} leads by enough" if replaces else f"member {donor} does not lead by enough"
    return Decision(True, donor if replaces else None, mutate(start, rules, cfg, rng), reason)


# -- what a member remembers between decisions -------------------------------------------------------------------------


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
        self.followed = ""
        """Last order that was followed, where an engine outside decides."""

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
        states = [
            MemberState(other.objective, {n: other.parameters.get(n, v) for n, v in self.parameters.items()})
            for other in others
        ]
        states[self.index] = MemberState(objective, self.parameters)
        steps_since_restart = env_steps - self.restarted_at
        decision = decide(self.index, states, env_steps, steps_since_restart, self.best, self.cfg, self.rules, self.rng)
        self.begin_interval(env_steps)
        return decision

    def begin_interval(self, env_steps: int) -> None:
        """Begin the next interval: what was reached in the last one is decided on."""
        self.decided_at, self.best = env_steps, None

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
            "followed": self.followed,
            "random": self.rng.getstate(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state_dict`.

        Hyper-parameters that no longer mutate go back to their configured values; new ones start there.
        """
        self.parameters = {n: state["parameters"].get(n, value) for n, value in self.configured.items()}
        self.decided_at, self.best = state["decided_at"], state["best"]
        self.restarted_at, self.restarts = state["restarted_at"], state["restarts"]
        self.followed = state.get("followed", "")
        version, numbers, gauss = state["random"]
        self.rng.setstate((version, tuple(numbers), gauss))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Population-based training in DexPBT's style: who copies whom, and how hyper-parameters mutate.

P members train on their own and meet only through the scores, parameters and checkpoints they leave behind; there is
no controller. From time to time each member calls :func:`decide` with what it knows about all, itself included, and
acts on the answer. Everything here is a pure function of its arguments and a ``random.Random``; moving checkpoints is
the caller's business.

Source: ``isaacgymenvs/pbt/pbt.py`` and ``mutation.py`` of the reference, with the launcher's defaults
(``experiment_args.py:68-72, 140``); docs/algorithms.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from random import Random
from statistics import pstdev

from cpo_rl.errors import UserError

Parameters = Mapping[str, float]
"""Values of the mutable hyper-parameters by name."""


@dataclass(frozen=True)
class PbtCfg:
    """Settings of population-based training; the defaults are those the reference's launcher uses."""

    interval_steps: int = 20_000_000
    """Own environment steps between two decisions of a member, at least 1."""

    start_after: int = 50_000_000
    """Own environment steps since the last restart before a member may be changed, at least 0."""

    initial_delay: int = 200_000_000
    """Own environment steps since the beginning before a member may be changed, at least 0."""

    replace_fraction_worst: float = 0.3
    """Share of the population, rounded up, that may be changed, in (0, 1]."""

    replace_fraction_best: float = 0.3
    """Share of the population, rounded up, that may be copied, in (0, 1]."""

    replace_threshold_frac_std: float = 0.5
    """Lead a donor needs, in standard deviations of the population's objectives, at least 0."""

    replace_threshold_frac_absolute: float = 0.05
    """Lead a donor needs, as a share of its own objective, at least 0."""

    std_drop_fraction: float = 0.2
    """Share of the lowest objectives, rounded down, that is left out of that standard deviation, in [0, 1)."""

    donor_parameters_probability: float = 0.5
    """Probability that a replaced member starts from its donor's hyper-parameters, in [0, 1]."""

    mutation_rate: float = 0.15
    """Probability that a hyper-parameter mutates, in [0, 1]."""

    change_min: float = 1.1
    """Smallest factor of a mutation, at least 1."""

    change_max: float = 1.5
    """Largest factor of a mutation, at least ``change_min``."""

    discount_change_max: float = 1.2
    """Largest factor of a mutation of 1 - gamma, at least ``change_min``."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UserError: naming the first field that is out of range.
        """
        limits: dict[str, tuple[float, float]] = {
            "interval_steps": (1, math.inf),
            "replace_fraction_worst": (1e-9, 1.0),
            "replace_fraction_best": (1e-9, 1.0),
            "std_drop_fraction": (0.0, 1.0 - 1e-9),
            "donor_parameters_probability": (0.0, 1.0),
            "mutation_rate": (0.0, 1.0),
            "change_min": (1.0, math.inf),
            "change_max": (self.change_min, math.inf),
            "discount_change_max": (self.change_min, math.inf),
        }
        for f in fields(self):
            value = getattr(self, f.name)
            low, high = limits.get(f.name, (0.0, math.inf))
            if not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"pbt field {f.name}={value!r} must lie between {low:g} and {high:g}.")


# -- mutation ----------------------------------------------------------------------------------------------------------

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
        parameters: current values; every one needs a rule.
        rules: rule by name.
        cfg: settings.
        rng: source of randomness.

    Returns:
        New values, in the order of ``parameters``.

    Raises:
        UserError: if a hyper-parameter has no rule.
    """
    missing = [name for name in parameters if name not in rules]
    if missing:
        raise UserError(f"Hyper-parameter {missing[0]!r} has no mutation rule; give one of {', '.join(sorted(rules))}.")
    return {
        name: rules[name](value, cfg, rng) if rng.random() < cfg.mutation_rate else value
        for name, value in parameters.items()
    }


# -- selection ---------------------------------------------------------------------------------------------------------


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
        index: the member.
        members: newest published state of every member, its own included.
        own_steps: environment steps this member made since the beginning.
        steps_since_restart: environment steps since it was last restarted.
        best_of_interval: its best objective within this interval, or None.
        cfg: settings.
        rules: mutation rules.
        rng: source of randomness.

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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Who copies whom: the decision of one member of a population, from what it knows about all.

Everything here is a pure function of its arguments and a ``random.Random``; moving checkpoints is the caller's
business.

Source: ``isaacgymenvs/pbt/pbt.py`` of the reference; docs/pbt.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import pstdev

from cpo_rl.pbt.mutation import Parameters, Rule, mutate
from cpo_rl.pbt.settings import PbtCfg


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

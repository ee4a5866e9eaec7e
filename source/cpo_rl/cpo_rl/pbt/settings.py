# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of population-based training; the defaults are those the reference's launcher uses.

Source: ``experiment_args.py:68-72, 140`` of the reference; docs/pbt.md.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from cpo_rl.errors import UserError

MUTABLE = (
    "max_grad_norm",
    "value_loss_coef",
    "bound_loss_coef",
    "desired_kl",
    "clip_param",
    "num_learning_epochs",
    "gamma",
)
"""Fields of :class:`~cpo_rl.config.EnsembleCfg` that can mutate, each by a rule of :mod:`~cpo_rl.pbt.mutation`."""

LEAST_MEMBERS = 3
"""Members below which nobody is ever replaced, because a decision needs more than two known objectives."""

PREFIX = "pbt."
"""What a setting on the command line starts with."""


@dataclass(frozen=True)
class PbtCfg:
    """Settings of one member; members of a population should agree on them."""

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

    parameters: tuple[str, ...] = MUTABLE
    """Hyper-parameters that mutate, among :data:`MUTABLE`; the others stay as configured."""

    mutate_rewards: bool = True
    """Whether the reward's settings mutate too, on tasks that offer it because their score does not depend on them."""

    keep_published: int = 5
    """Newest published checkpoints that a member keeps for others to copy, at least 1."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        unknown = [name for name in self.parameters if name not in MUTABLE]
        if unknown:
            raise UserError(f"pbt field parameters names {unknown[0]!r}; known ones are {', '.join(MUTABLE)}.")
        limits: dict[str, tuple[float, float]] = {
            "interval_steps": (1, math.inf),
            "keep_published": (1, math.inf),
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
            if f.name not in ("parameters", "mutate_rewards") and not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"pbt field {f.name}={value!r} must lie between {low:g} and {high:g}.")


def pbt_settings(tokens: Iterable[str]) -> dict[str, Any]:
    """Read settings as they are written on a command line.

    Args:
        tokens: Such as ``pbt.interval_steps=2e6`` and ``pbt.parameters=gamma,clip_param``; the last of a name counts.

    Returns:
        Values by field of :class:`PbtCfg`, whose constructor checks their range.

    Raises:
        UserError: Naming the first setting that is no field or whose value is of the wrong kind.
    """
    kinds = {f.name: str(f.type) for f in fields(PbtCfg)}
    values: dict[str, Any] = {}
    for token in tokens:
        name, _, text = token.removeprefix(PREFIX).partition("=")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known fields are {', '.join(kinds)}."
            raise UserError(f"Unknown pbt field {name!r}; {hint}")
        values[name] = _value(name, kinds[name], text)
    return values


def _value(name: str, kind: str, text: str) -> Any:
    """Return the value that a text means for a field of the given kind."""
    if kind.startswith("tuple"):
        return tuple(part.strip(" '\"") for part in text.strip("[]()").split(",") if part.strip())
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise UserError(f"pbt field {name}={text} must be true or false.")
        return text.lower() == "true"
    try:
        number = float(text)
        if kind == "int" and number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(f"pbt field {name}={text} must be {'an integer' if kind == 'int' else 'a number'}.") from None
    return int(number) if kind == "int" else number

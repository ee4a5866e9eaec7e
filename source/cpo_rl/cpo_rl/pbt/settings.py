# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of population-based training; the defaults are those the reference's launcher uses.

Source: ``experiment_args.py:68-72, 140`` of the reference; docs/pbt.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cpo_rl.fields import check_fields, read_values, require, setting

MUTABLE = (
    "max_grad_norm",
    "value_loss_coef",
    "bound_loss_coef",
    "desired_kl",
    "clip_param",
    "num_learning_epochs",
    "gamma",
)
"""Fields of :class:`~cpo_rl.config.EnsembleCfg` that can mutate, each by a rule of :mod:`~cpo_rl.pbt.decision`."""

LEAST_MEMBERS = 3
"""Members below which nobody is ever replaced, because a decision needs more than two known objectives."""

PREFIX = "pbt."
"""What a setting on the command line starts with."""


@dataclass(frozen=True)
class PbtCfg:
    """Settings of one member; members of a population should agree on them."""

    interval_steps: int = setting(20_000_000, at_least=1)
    """Own environment steps between two decisions of a member."""

    start_after: int = setting(50_000_000, at_least=0)
    """Own environment steps since the last restart before a member may be changed."""

    initial_delay: int = setting(200_000_000, at_least=0)
    """Own environment steps since the beginning before a member may be changed."""

    replace_fraction_worst: float = setting(0.3, above=0.0, at_most=1.0)
    """Share of the population, rounded up, that may be changed."""

    replace_fraction_best: float = setting(0.3, above=0.0, at_most=1.0)
    """Share of the population, rounded up, that may be copied."""

    replace_threshold_frac_std: float = setting(0.5, at_least=0.0)
    """Lead a donor needs, in standard deviations of the population's objectives."""

    replace_threshold_frac_absolute: float = setting(0.05, at_least=0.0)
    """Lead a donor needs, as a share of its own objective."""

    std_drop_fraction: float = setting(0.2, at_least=0.0, below=1.0)
    """Share of the lowest objectives, rounded down, that is left out of that standard deviation."""

    donor_parameters_probability: float = setting(0.5, at_least=0.0, at_most=1.0)
    """Probability that a replaced member starts from its donor's hyper-parameters."""

    mutation_rate: float = setting(0.15, at_least=0.0, at_most=1.0)
    """Probability that a hyper-parameter mutates."""

    change_min: float = setting(1.1, at_least=1.0)
    """Smallest factor of a mutation."""

    change_max: float = setting(1.5, at_least=1.0)
    """Largest factor of a mutation, at least ``change_min``."""

    discount_change_max: float = setting(1.2, at_least=1.0)
    """Largest factor of a mutation of 1 - gamma, at least ``change_min``."""

    parameters: tuple[str, ...] = setting(MUTABLE, choices=MUTABLE)
    """Hyper-parameters that mutate; the others stay as configured."""

    mutate_rewards: bool = True
    """Whether the reward's settings mutate too, on tasks that offer it because their score does not depend on them."""

    keep_published: int = setting(5, at_least=1)
    """Newest published checkpoints that a member keeps for others to copy."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        check_fields(self, "pbt")
        for name in ("change_max", "discount_change_max"):
            require(self, "pbt", name, getattr(self, name) >= self.change_min, "be at least change_min")


def pbt_settings(tokens: Iterable[str]) -> dict[str, Any]:
    """Read settings as they are written on a command line.

    Args:
        tokens: Such as ``pbt.interval_steps=2e6`` and ``pbt.parameters=gamma,clip_param``; the last of a name counts.

    Returns:
        Values by field of :class:`PbtCfg`, whose constructor checks their range.

    Raises:
        UserError: Naming the first setting that is no field or whose value is of the wrong kind.
    """
    texts = {}
    for token in tokens:
        name, _, text = token.removeprefix(PREFIX).partition("=")
        texts[name] = text
    return read_values(PbtCfg, texts, "pbt")

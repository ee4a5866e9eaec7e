# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How hyper-parameters mutate.

Source: ``isaacgymenvs/pbt/mutation.py`` of the reference; docs/pbt.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from cpo_rl.errors import UserError
from cpo_rl.pbt.settings import PbtCfg

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

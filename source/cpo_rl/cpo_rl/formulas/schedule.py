# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How a coefficient follows what it is to hold, as pure functions of tensors: step size, coupling."""

from __future__ import annotations

import torch
from torch import Tensor

STRENGTH_START, STRENGTH_MIN, STRENGTH_MAX = 5.0e-3, 5.0e-4, 3.0
"""Begin and bounds of what :func:`regulate` changes: a penalty at the target, in units of normalized advantages."""

WAITING = 0.98
"""Share of the least penalty that is left after a step while the KL has not yet risen to its target."""

LEAD = 3.0
"""Steps of growth by which :func:`regulate` looks ahead."""


def adapt(rate: Tensor, kl: Tensor, desired: float, lowest: float, highest: float) -> Tensor:
    """Divide by 1.5 above twice the desired KL, multiply by 1.5 below half of it; a NaN changes nothing.

    Args:
        rate: Learning rate, scalar.
        kl: Measured KL between successive policies [nat], scalar.
        desired: Wanted KL [nat], above 0.
        lowest: Least learning rate, above 0.
        highest: Largest learning rate, at least ``lowest``.

    Returns:
        The new learning rate, scalar. Source: schedulers.py (AdaptiveScheduler).
    """
    slower = (rate / 1.5).clamp(min=lowest)
    faster = (rate * 1.5).clamp(max=highest)
    return torch.where(kl > 2.0 * desired, slower, torch.where(kl < 0.5 * desired, faster, rate))


def regulate(strength: Tensor, log_kl: Tensor, growth: Tensor, rate: float, lowest: Tensor) -> Tensor:
    """Raise a penalty while what it penalizes is above its target, lower it below, by at most ``exp(rate)`` a step.

    log s += rate clip(log(D / target) + lead g, -1, 1), where g is how much log D has grown since the last step: a KL
    that is on its way past the target is braked before it gets there. What is not finite changes nothing.

    Args:
        strength: Penalty at the target, s = coefficient times target, [n].
        log_kl: Log of the measured KL over the target, log(D / target), [n].
        growth: g, [n]; 0 where there is no last step.
        rate: Largest change of log s, above 0.
        lowest: Least strength, above 0, [n].

    Returns:
        The new strength, [n] (docs/algorithms.md).
    """
    error = log_kl + LEAD * growth
    changed = torch.maximum(strength * torch.exp(rate * error.clamp(-1.0, 1.0)), lowest).clamp(max=STRENGTH_MAX)
    return torch.where(torch.isfinite(error), changed, strength)

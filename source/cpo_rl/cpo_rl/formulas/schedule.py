# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How the learning rate follows the change of the policy, as a pure function of tensors."""

from __future__ import annotations

import torch
from torch import Tensor


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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Means and variances over valid entries only; of all entries, bit for bit, where none is void (on a CPU).

``valid`` is 1 for entries that count and 0 for void ones, of the shape of what it goes with or broadcast to it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def valid_count(valid: Tensor, dim: int | None = None) -> Tensor:
    """Number of valid entries, at least 1, so that one may divide by it; scalar, or without ``dim``."""
    total = valid.sum(dtype=torch.float64) if dim is None else valid.sum(dim, dtype=torch.float64)
    return total.clamp(min=1.0).to(valid.dtype)


def valid_mean(x: Tensor, valid: Tensor, dim: int | None = None) -> Tensor:
    """Mean of valid entries of a finite tensor, over all or over ``dim``; 0 where there are none."""
    weighted = x * valid
    return (weighted.sum() if dim is None else weighted.sum(dim)) / valid_count(valid.expand_as(x), dim)


def valid_variance(x: Tensor, valid: Tensor, dim: int | None = None, unbiased: bool = True) -> Tensor:
    """Variance of valid entries of a finite tensor, over all or over ``dim``.

    Args:
        x: Samples.
        valid: 1 or 0 per sample, the shape of ``x``.
        dim: Axis; None for all.
        unbiased: Whether the squared deviations are divided by one less than their number.

    Returns:
        Variance, scalar or without ``dim``.
    """
    if dim is None:
        x, valid, dim = x.flatten(), valid.flatten(), 0
    count = valid_count(valid, dim)
    squares = ((x - valid_mean(x, valid, dim).unsqueeze(dim)).square() * valid).sum(dim)
    of_valid = squares / ((count - 1.0).clamp(min=1.0) if unbiased else count)
    return torch.where((valid > 0).all(dim), x.var(dim, unbiased=unbiased), of_valid)

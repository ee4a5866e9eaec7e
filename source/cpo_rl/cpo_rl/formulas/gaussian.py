# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Diagonal Gaussians given by mean and log standard deviation, as pure functions.

Shapes: ``mean``, ``action`` are [..., A]; ``log_std`` is [..., A] or broadcasts to it. Sums run over the last axis.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of an action [nat], shape [...] (docs/algorithms.md: the negative of ``neglogp``)."""
    z = (action - mean) * torch.exp(-log_std)
    return -(0.5 * z.square() + log_std + _HALF_LOG_2PI).sum(-1)


def entropy(log_std: Tensor) -> Tensor:
    """Differential entropy [nat], shape [...] of ``log_std`` [..., A] (docs/algorithms.md)."""
    return (log_std + 0.5 + _HALF_LOG_2PI).sum(-1)


def kl(mean_p: Tensor, log_std_p: Tensor, mean_q: Tensor, log_std_q: Tensor) -> Tensor:
    """KL(p || q) [nat], shape [...] (docs/algorithms.md)."""
    ratio = torch.exp(log_std_p - log_std_q)
    z = (mean_p - mean_q) * torch.exp(-log_std_q)
    return (log_std_q - log_std_p + 0.5 * (ratio.square() + z.square()) - 0.5).sum(-1)


def mean_kl(mean_p: Tensor, mean_q: Tensor, log_std_q: Tensor) -> Tensor:
    """The part of KL(p || q) that different means make, 0.5 sum ((mu_p - mu_q) / sigma_q)^2 [nat], shape [...]."""
    z = (mean_p - mean_q) * torch.exp(-log_std_q)
    return 0.5 * z.square().sum(-1)

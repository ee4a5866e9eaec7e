# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How far policies are from each other and how useful their data is to the leader: the paper's own evidence."""

from __future__ import annotations

import torch
from torch import Tensor

from cpo_rl.formulas import gaussian
from cpo_rl.formulas.means import valid_count, valid_mean, valid_variance


def kl_matrix(means: Tensor, log_std: Tensor, valid: Tensor | None = None) -> Tensor:
    """Closed-form inter-policy KL.

    Args:
        means: Mean of policy j on states of block i, [M_i, M_j, n, A].
        log_std: [M, A].
        valid: 1 for states that count, 0 for void ones, [M_i, n]; None for all.

    Returns:
        Entry (i, j) = mean over valid states of block i of KL(pi_i || pi_j) [nat], [M, M] (docs/algorithms.md).
    """
    count = means.shape[0]
    own = means[torch.arange(count), torch.arange(count)].unsqueeze(1)  # [M, 1, n, A]
    kl = gaussian.kl(own, log_std[:, None, None], means, log_std[None, :, None])
    return kl.mean(-1) if valid is None else valid_mean(kl, valid.unsqueeze(1), -1)


def kl_to_leader(
    mean: Tensor, log_std: Tensor, leader_mean: Tensor, leader_log_std: Tensor, means_only: bool
) -> Tensor:
    """Closed-form KL(pi_i || pi_L) of followers to the leader, or the part of it that different means make.

    Args:
        mean: Followers' means, [..., A].
        log_std: Followers' log standard deviations, [..., A] or broadcast to it; not read for the means alone.
        leader_mean: [..., A].
        leader_log_std: [A].
        means_only: Whether noise may differ for free, as the ladder of entropy bonuses wants it to.

    Returns:
        KL [nat], [...] (docs/algorithms.md).
    """
    if means_only:
        return gaussian.mean_kl(mean, leader_mean, leader_log_std)
    return gaussian.kl(mean, log_std, leader_mean, leader_log_std)


def effective_sample_size(weights: Tensor, valid: Tensor | None = None) -> Tensor:
    """(sum w)^2 / (n sum w^2) over valid samples of the last axis, in (0, 1] (Kong 1992); w is divided by max w.

    Args:
        weights: w, [..., n].
        valid: 1 for samples that count, 0 for void ones, [..., n]; None for all.
    """
    valid = torch.ones_like(weights) if valid is None else valid
    weights = weights * valid
    scaled = weights / weights.amax(-1, keepdim=True).clamp(min=1.0e-30)
    return scaled.sum(-1).square() / (valid_count(valid, -1) * scaled.square().sum(-1)).clamp(min=1.0e-30)


def importance_summary(log_ratio: Tensor, valid: Tensor | None = None) -> dict[str, Tensor]:
    """Spread of importance ratios per follower.

    Args:
        log_ratio: Log pi_L - log pi_i on follower i's actions, [M-1, n].
        valid: 1 for samples that count, 0 for void ones, [M-1, n]; None for all.

    Returns:
        ``ess`` and ``importance_deviation`` (mean |w - 1|), ``importance_log_var`` (variance of log w), each [M-1], and
        ``ess_pooled`` over all followers' data, scalar.
    """
    valid = torch.ones_like(log_ratio) if valid is None else valid
    weights = log_ratio.exp()
    return {
        "ess": effective_sample_size(weights, valid),
        "importance_deviation": valid_mean((weights - 1.0).abs(), valid, -1),
        "importance_log_var": valid_variance(log_ratio, valid, -1, unbiased=False),
        "ess_pooled": effective_sample_size(weights.flatten(), valid.flatten()),
    }


def clipped(ratio: Tensor, center: Tensor | float, clip: float) -> Tensor:
    """Whether a row's ratio lies outside its clip range, |rho / c - 1| > eps, as 0 or 1; shape of ``ratio``."""
    return ((ratio / center - 1.0).abs() > clip).to(ratio.dtype)


def gradient_flow(row_loss: Tensor, advantage: Tensor, ratio: Tensor) -> Tensor:
    """|d surrogate / d log pi| = |A| rho where the clip is inactive, else 0: what a row gives the network.

    Args:
        row_loss: The rows' surrogate, [n].
        advantage: [n].
        ratio: Importance ratio, [n].

    Returns:
        Flow [n].
    """
    unclipped = -advantage * ratio
    return torch.where(row_loss == unclipped, unclipped.abs(), 0.0)

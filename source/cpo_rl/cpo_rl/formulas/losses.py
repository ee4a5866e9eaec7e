# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Losses and bonuses of PPO, SAPG and CPO per row, as pure functions of tensors.

Every loss maps rows to rows, [n] -> [n], so that the caller decides how roles are weighted and averaged. ``A`` is
the normalized advantage, ``rho`` the importance ratio pi(a|s, id) / pi_old(a|s), ``eps`` the clip range. The released
code's place is given as file:line; ``docs/algorithms.md`` maps formulas to functions and tests.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def surrogate(advantage: Tensor, ratio: Tensor, clip: float, center: Tensor | float = 1.0) -> Tensor:
    """Clipped surrogate max(-A rho, -A clip(rho, (1-eps) c, (1+eps) c)).

    Args:
        advantage: [n].
        ratio: Importance ratio, [n].
        clip: eps in (0, 1).
        center: c, 1 for on-policy rows; [n] or scalar.

    Returns:
        Loss [n]. Source: PPO (Schulman et al. 2017, eq. 7); for borrowed rows SAPG with c = 1 as released
        (a2c_continuous.py:152-389).
    """
    if isinstance(center, Tensor):
        clipped = torch.minimum(torch.maximum(ratio, center * (1.0 - clip)), center * (1.0 + clip))
    else:
        clipped = ratio.clamp(center * (1.0 - clip), center * (1.0 + clip))
    return torch.maximum(-advantage * ratio, -advantage * clipped)


def sampled_kl_surrogate(
    advantage: Tensor, ratio: Tensor, log_prob: Tensor, leader_log_prob: Tensor, kl_coef: float, clip: float
) -> Tensor:
    """Surrogate on A - lambda (log pi_i - log pi_L), the released single-sample form of the KL penalty.

    The gradient flows through ``log_prob`` inside the bracket, so it remains when the clipped branch is active; none
    flows through the leader.

    Args:
        advantage: [n].
        ratio: [n].
        log_prob: Current log pi_i(a|s), [n].
        leader_log_prob: Current log pi_L(a|s), [n]; treated as a constant.
        kl_coef: lambda, at least 0.
        clip: eps in (0, 1).

    Returns:
        Loss [n]. Source: common_losses.py:102-159.
    """
    return surrogate(advantage - kl_coef * (log_prob - leader_log_prob.detach()), ratio, clip)


def awac_weight(advantage: Tensor, temperature: float, weight_max: float) -> Tensor:
    """Regression weight min(exp(A / lambda), cap), [n]; a constant of the loss.

    It projects the solution pi* ~ pi_L exp(A / lambda) of max E[A] - lambda KL(pi || pi_L) onto a follower
    (docs/algorithms.md). The exponent is capped first, so a huge advantage cannot overflow.
    """
    return torch.exp(advantage.div(temperature).clamp(max=math.log(weight_max)))


def awac(weight: Tensor, log_prob: Tensor) -> Tensor:
    """Advantage-weighted regression -w log pi_i(a|s), [n]. Source: common_losses.py:102-159."""
    return -weight.detach() * log_prob


def value(prediction: Tensor, old: Tensor, target: Tensor, clip: float | None) -> Tensor:
    """Squared value error, optionally with the prediction kept within ``clip`` of the rollout's.

    Args:
        prediction: [n], normalized units.
        old: Rollout estimate, [n].
        target: [n].
        clip: Largest move in normalized units, or None for the plain error.

    Returns:
        max((v-R)^2, (v_clipped-R)^2), [n]. Source: common_losses.py (default_critic_loss).
    """
    error = (prediction - target).square()
    if clip is None:
        return error
    clipped = old + (prediction - old).clamp(-clip, clip)
    return torch.maximum(error, (clipped - target).square())


def bound(mean: Tensor, limit: float) -> Tensor:
    """Soft bound sum_d max(|mu_d| - limit, 0)^2 of action means [n, A] -> [n] (docs/algorithms.md)."""
    return (mean.abs() - limit).clamp(min=0.0).square().sum(-1)


def entropy_ladder(num_policies: int, coef: float, scale: float) -> list[float]:
    """Entropy coefficient c_i = coef + 0.5 scale (M-1-i)/(M-1) of every policy, follower 0 first, leader last.

    Args:
        num_policies: M, at least 1.
        coef: Coefficient that all policies have, at least 0.
        scale: s, at least 0; a single policy has no ladder.

    Returns:
        M coefficients (docs/algorithms.md).
    """
    last = num_policies - 1
    return [coef + (0.5 * scale * (last - i) / last if last else 0.0) for i in range(num_policies)]


def diversity_bonus(log_posterior: Tensor, labels: Tensor, coef: float, leader: int) -> Tensor:
    """Coef (log q(i|s,a) + ln M) for followers, exactly 0 for the leader.

    Zero when the discriminator knows nothing, at most ``coef * ln M``. The released code has no ln M, a softmax too
    many and labels by time (docs/algorithms.md).

    Args:
        log_posterior: Log q of all policies, [n, M].
        labels: Policy that acted, [n].
        coef: Weight, at least 0.
        leader: Id that gets no bonus.

    Returns:
        Bonus [n], in units of the scaled reward.
    """
    own = log_posterior.gather(1, labels.unsqueeze(1)).squeeze(1)
    return torch.where(labels == leader, 0.0, coef * (own + math.log(log_posterior.shape[1])))

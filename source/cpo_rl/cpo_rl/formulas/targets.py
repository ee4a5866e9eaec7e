# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Value targets, advantages and how well values explain returns, as pure functions of env-major tensors [N, T].

``dones[n, t]`` says that the episode of environment n ended with action t, as in rsl_rl; what follows belongs to the
next episode.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cpo_rl.formulas.means import valid_variance


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    dones: Tensor,
    last_values: Tensor,
    gamma: float,
    lam: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Generalized advantage estimates.

    delta_t = r_t + gamma m_t V_{t+1} - V_t and A_t = v_t (delta_t + gamma lam m_t A_{t+1}) with m_t = 1 - done_t. A
    void step (v_t = 0) has advantage 0, so the step before it ends like a truncated one, with V(s_t).

    Args:
        rewards: [N, T].
        values: V(s_t), [N, T].
        dones: [N, T], bool or 0/1.
        last_values: V(s_T), [N].
        gamma: Discount in (0, 1].
        lam: Decay in [0, 1].
        valid: v_t, 1 or 0 for a void step, [N, T]; None for all valid. A void step must be done as well.

    Returns:
        Advantages [N, T]; returns are advantages plus values. Source: a2c_common.py:634-649.
    """
    horizon = rewards.shape[1]
    alive = 1.0 - dones.to(rewards.dtype)
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(last_values)
    next_values = last_values
    for t in reversed(range(horizon)):
        delta = rewards[:, t] + gamma * alive[:, t] * next_values - values[:, t]
        running = delta + gamma * lam * alive[:, t] * running
        if valid is not None:
            running = running * valid[:, t]
        advantages[:, t] = running
        next_values = values[:, t]
    return advantages


def one_step_returns(rewards: Tensor, dones: Tensor, values: Tensor, gamma: float) -> Tensor:
    """One-step targets r_t + gamma (1 - done_t) V(s_{t+1}) for relabelled rows.

    Args:
        rewards: [N, T].
        dones: [N, T], bool or 0/1.
        values: V of the target policy at s_0 .. s_T, [N, T+1].
        gamma: Discount in (0, 1].

    Returns:
        Targets [N, T]; exactly r_t where the episode ended (SAPG eq. for off-policy data; a2c_common.py:1195-1387).
    """
    return torch.where(dones.bool(), rewards, rewards + gamma * values[:, 1:])


def with_time_outs(rewards: Tensor, values: Tensor, time_outs: Tensor, gamma: float) -> Tensor:
    """Rewards r_t + gamma V where an episode ended by time, r_t elsewhere.

    Args:
        rewards: [N].
        values: V of the state that the episode ended in or, where nobody knows that one, V(s_t), [N].
        time_outs: [N], bool or 0/1.
        gamma: Discount in (0, 1].

    Returns:
        Rewards [N].
    """
    return rewards + gamma * values * time_outs.to(rewards)


def mean_and_std(count: Tensor, total: Tensor, total_square: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased standard deviation from sums, which add up over processes.

    Args:
        count: Number of samples, scalar.
        total: Sum of samples, scalar.
        total_square: Sum of squared samples, scalar.

    Returns:
        Mean and standard deviation, scalars.
    """
    mean = total / count
    variance = (total_square - total * mean) / (count - 1).clamp(min=1)
    return mean, variance.clamp(min=0.0).sqrt()


def explained_variance(values: Tensor, returns: Tensor, valid: Tensor | None = None) -> Tensor:
    """1 - Var(R - V) / Var(R); NaN where R does not vary.

    Args:
        values: V, any shape.
        returns: R, the same shape.
        valid: 1 for entries that count, 0 for void ones, the same shape; None for all.
    """
    valid = torch.ones_like(returns) if valid is None else valid
    variance = valid_variance(returns, valid)
    return torch.where(variance > 0, 1.0 - valid_variance(returns - values, valid) / variance, torch.nan)

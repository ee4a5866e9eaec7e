# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an episode would have been worth that a time limit cut off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cpo_rl.config import EnsembleCfg
from cpo_rl.formulas.targets import with_time_outs
from cpo_rl.models.actor_critic import EnsembleActorCritic
from cpo_rl.step_extras import final_observations


def bootstrapped(
    rewards: Tensor,
    values: Tensor,
    extras: Mapping[str, Any],
    model: EnsembleActorCritic,
    cfg: EnsembleCfg,
    env_policy: Tensor,
    state: Any,
) -> Tensor:
    """Add the value of the state that an episode ended in to its last reward, where it ended by time.

    That state is the final observation where the environment hands it over. Isaac Lab's do not: what they return
    belongs to the next episode already, and s_t has to do, as in rsl_rl.

    Args:
        rewards: Scaled rewards of the step, [N].
        values: V(s_t) in units of the scaled reward, [N].
        extras: The step's extras.
        model: The actor-critic.
        cfg: Algorithm settings; without ``bootstrap_time_outs`` the rewards stay as they are.
        env_policy: Policy of each environment, [N].
        state: Recurrent state after the last action.

    Returns:
        Rewards, [N].
    """
    if not cfg.bootstrap_time_outs or "time_outs" not in extras:
        return rewards
    final = final_observations(extras)
    if final is not None:
        raw = model.read_obs(final.to(values.device)).to(values.dtype)
        good = (raw.abs() <= cfg.absurd_observation).all(-1)
        seen = model.normalize_obs(torch.where(good.unsqueeze(-1), raw, 0.0))
        out = model.evaluate(seen.unsqueeze(1), env_policy, state)
        assert out.value is not None
        values = torch.where(good, model.denormalize_value(out.value.squeeze(1)), values)
    return with_time_outs(rewards, values, extras["time_outs"], cfg.gamma)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Evaluating what one policy experienced under another policy's id."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation, clear_state

MAX_ROWS = 262_144
"""Rows evaluated at once, which bounds the memory of a pass."""


class Relabelled(NamedTuple):
    """A block of environments seen by another policy."""

    values: Tensor
    """V(s_0) .. V(s_T) of the target policy in reward units, [B, T+1]."""

    means: Tensor
    """Action means of the target policy at s_0 .. s_{T-1}, [B, T, A]."""


@torch.no_grad()
def relabel(
    model: EnsembleActorCritic, rollout: Rollout, envs: slice, own: int, target: int, relabel_state: str
) -> Relabelled:
    """Evaluate a block of environments under ``target``'s id.

    Args:
        model: actor-critic with the parameters and statistics of the rollout.
        rollout: The full rollout.
        envs: The block.
        own: Policy that acted in it.
        target: Policy to evaluate.
        relabel_state: For recurrent models, ``target`` runs one sequence pass under the target id from the state at the
            start of the rollout; ``behavior`` evaluates every step from the state of the policy that acted, as released
            (docs/algorithms.md).

    Returns:
        Values and means of the target policy.
    """
    starts = range(envs.start, envs.stop, max(MAX_ROWS // (rollout.horizon + 1), 1))
    parts = [
        _relabel_some(model, rollout, slice(s, min(s + starts.step, envs.stop)), own, target, relabel_state)
        for s in starts
    ]
    return Relabelled(torch.cat([p.values for p in parts]), torch.cat([p.means for p in parts]))


def _relabel_some(
    model: EnsembleActorCritic, rollout: Rollout, envs: slice, own: int, target: int, relabel_state: str
) -> Relabelled:
    rows, last, dones = rollout.inputs[envs], rollout.last_input[envs], rollout.dones[envs]
    ids = torch.full((len(rows),), target, device=rows.device)
    rows = model.mark(torch.cat((rows, last), 1), ids)
    if not model.is_recurrent:
        return _result(model, model.evaluate_inputs(rows))
    first_chunk = torch.arange(envs.start, envs.stop, device=rows.device) * rollout.num_chunks
    state = rollout.start_states(first_chunk)
    if relabel_state == "target":
        resets = torch.cat((torch.zeros_like(dones[:, :1]), dones), 1)
        return _result(model, model.evaluate_inputs(rows, state, resets))
    own_rows = model.mark(rows.clone(), torch.full_like(ids, own))
    steps = []
    for t in range(rollout.horizon + 1):
        steps.append(model.evaluate_inputs(rows[:, t : t + 1], state))
        if t < rollout.horizon:
            state = clear_state(model.evaluate_inputs(own_rows[:, t : t + 1], state).state, dones[:, t])
    values = torch.cat([s.value for s in steps], 1)  # type: ignore[misc]
    return _result(model, steps[0]._replace(mean=torch.cat([s.mean for s in steps], 1), value=values))


def _result(model: EnsembleActorCritic, out: Evaluation) -> Relabelled:
    assert out.value is not None
    return Relabelled(model.denormalize_value(out.value), out.mean[:, :-1])

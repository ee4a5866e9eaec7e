# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a recorded rollout to the targets of every training row, relabelled rows included."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.roles import RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian, losses
from cpo_rl.formulas.means import valid_mean
from cpo_rl.formulas.targets import explained_variance, generalized_advantages, mean_and_std, one_step_returns
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation, clear_state

MAX_ROWS = 262_144
"""Rows evaluated at once, which bounds the memory of a pass."""


class RowTargets:
    """Computes values, returns, advantages and regression weights of all roles (docs/algorithms.md).

    Args:
        model: The actor-critic, with the parameters the rollout was made with.
        cfg: Algorithm settings.
        tables: Role tables.
        ranks: Processes that train together.
    """

    def __init__(self, model: EnsembleActorCritic, cfg: EnsembleCfg, tables: RoleTables, ranks: Ranks) -> None:
        self.model, self.cfg, self.tables, self.ranks = model, cfg, tables, ranks

    @torch.no_grad()
    def compute(self, rollout: Rollout, borrowed: list[int], bonus: Tensor | None, metrics: DeviceMetrics) -> None:
        """Fill the target rows.

        Args:
            rollout: Recorded steps, last observations and last values.
            borrowed: The drawn followers.
            bonus: Diversity reward [N, T] of on-policy rows, or None; relabelled rows never see it.
            metrics: Receives what is measured on the way.
        """
        self._on_policy(rollout, bonus, metrics)
        self._borrowed(rollout, borrowed)
        raw_weights, awac_returns = self._awac(rollout)
        self._normalize_values(rollout, awac_returns)
        self._normalize_advantages(rollout, raw_weights, metrics)

    def _on_policy(self, rollout: Rollout, bonus: Tensor | None, metrics: DeviceMetrics) -> None:
        rewards = rollout.rewards if bonus is None else rollout.rewards + bonus
        advantages = generalized_advantages(
            rewards, rollout.values, rollout.dones, rollout.last_values, self.cfg.gamma, self.cfg.lam, rollout.valid
        )
        rollout.advantages.copy_(advantages)
        rollout.returns.copy_(advantages + rollout.values)
        metrics.add("Value/explained_variance", explained_variance(rollout.values, rollout.returns, rollout.valid))

    def _borrowed(self, rollout: Rollout, borrowed: list[int]) -> None:
        """One-step targets of borrowed rows under the leader's value, and the leader's own distribution there."""
        leader, rows = self.tables.num_policies - 1, self.tables.per_block
        for k, follower in enumerate(borrowed):
            envs = self.tables.follower_envs(follower)
            seen = relabel(self.model, rollout, envs, follower, leader, self.cfg.relabel_state)
            returns = one_step_returns(rollout.rewards[envs], rollout.dones[envs], seen.values, self.cfg.gamma)
            target = slice(self.tables.num_sequences + k * rows, self.tables.num_sequences + (k + 1) * rows)
            shape = rollout.target_values[target].shape
            rollout.target_values[target] = seen.values[:, :-1].reshape(shape)
            rollout.target_returns[target] = returns.reshape(shape)
            rollout.target_valid[target] = rollout.valid[envs].reshape(shape)
            rollout.target_advantages[target] = (returns - seen.values[:, :-1]).reshape(shape)
            means = self._first_means(rollout, envs, leader, seen.means)
            log_prob = gaussian.log_prob(rollout.actions[envs], means, self.model.log_std[leader])
            rollout.borrowed_log_probs[k * rows : (k + 1) * rows] = log_prob.reshape(shape)
            means = means if self.cfg.borrowed_reference == "leader" else rollout.means[envs]
            rollout.target_means[target] = means.reshape(*shape, -1)

    def _first_means(self, rollout: Rollout, envs: slice, target: int, means: Tensor) -> Tensor:
        """Means of the target policy as the first gradient step will find them, [B, T, A].

        A gradient step starts a sequence from the state of the policy that acted and goes on under the target id. Where
        that is not what :func:`relabel` did for ``means``, rows would otherwise be clipped, and move the learning
        rate, before the network has changed.
        """
        both = self.cfg.borrowed_clip_center, self.cfg.borrowed_reference
        same = not self.model.is_recurrent or (self.cfg.relabel_state == "target" and rollout.num_chunks == 1)
        if same or both == ("one", "behavior"):
            return means
        chunks, parts = rollout.num_chunks, []
        for start in range(envs.start, envs.stop, max(MAX_ROWS // rollout.horizon, 1)):
            stop = min(start + max(MAX_ROWS // rollout.horizon, 1), envs.stop)
            pick = torch.arange(start * chunks, stop * chunks, device=means.device)
            rows = self.model.mark(rollout.sequences(rollout.inputs)[pick], torch.full_like(pick, target))
            resets = rollout.resets
            assert resets is not None
            parts.append(self.model.evaluate_inputs(rows, rollout.start_states(pick), resets[pick], num_values=0).mean)
        return torch.cat(parts).view_as(means)

    def _awac(self, rollout: Rollout) -> tuple[Tensor, list[Tensor]]:
        """Raw advantages of the leader's transitions under each follower's value, written over the weights."""
        returns_seen = []
        leader = self.tables.num_policies - 1
        envs, rows = self.tables.follower_envs(leader), self.tables.per_block
        if self.tables.num_awac:
            for follower in range(leader):
                seen = relabel(self.model, rollout, envs, leader, follower, self.cfg.relabel_state)
                returns = one_step_returns(rollout.rewards[envs], rollout.dones[envs], seen.values, self.cfg.gamma)
                part = rollout.awac_weights[follower * rows : (follower + 1) * rows]
                part.copy_((returns - seen.values[:, :-1]).reshape(part.shape))
                if self.cfg.statistics_rows == "all":
                    returns_seen.append(returns)
        return rollout.awac_weights, returns_seen

    def _counted(self, target_rows: Tensor) -> Tensor:
        """The part of an array of target rows that counts in statistics."""
        return target_rows[: self.tables.num_sequences] if self.cfg.statistics_rows == "on_policy" else target_rows

    def _awac_valid(self, rollout: Rollout) -> Tensor:
        """Which steps of the regression's rows are valid, [awac, q]."""
        leader = self.tables.num_policies - 1
        valid = rollout.valid[self.tables.follower_envs(leader)]
        return valid.reshape(self.tables.per_block, -1).repeat(leader, 1)

    def _normalize_values(self, rollout: Rollout, awac_returns: list[Tensor]) -> None:
        """Update the value statistics from returns and express values and returns in normalized units."""
        if not self.cfg.normalize_values:
            return
        normalizer = self.model.value_normalizer
        normalizer.gather(self._counted(rollout.target_returns).reshape(-1, 1), self._counted(rollout.target_valid))
        for returns in awac_returns:
            leader = self.tables.follower_envs(self.tables.num_policies - 1)
            normalizer.gather(returns.reshape(-1, 1), rollout.valid[leader])
        normalizer.commit(self.ranks)
        for rows in (rollout.target_values, rollout.target_returns):
            rows.copy_(normalizer.normalize(rows.unsqueeze(-1)).squeeze(-1))

    def _normalize_advantages(self, rollout: Rollout, awac_advantages: Tensor, metrics: DeviceMetrics) -> None:
        """Scale advantages over the counted rows; turn those of awac rows into weights with the same constants."""
        if self.cfg.normalize_advantages:
            counted = [(self._counted(rollout.target_advantages), self._counted(rollout.target_valid))]
            if self.cfg.statistics_rows == "all" and self.tables.num_awac:
                counted.append((awac_advantages, self._awac_valid(rollout)))
            ones = [valid.to(torch.float64) for _, valid in counted]
            exact = [rows.to(torch.float64) * one for (rows, _), one in zip(counted, ones, strict=True)]
            sums = torch.stack(
                [torch.stack([part.sum() for part in parts]).sum() for parts in (ones, exact, map(torch.square, exact))]
            )
            mean, std = mean_and_std(*self.ranks.sum(sums))
            scale = (1.0 / (std + 1.0e-8)).to(rollout.target_advantages.dtype)
            shift = mean.to(rollout.target_advantages.dtype)
            for rows in (rollout.target_advantages, awac_advantages):
                rows.sub_(shift).mul_(scale)
        if self.tables.num_awac:
            weights = losses.awac_weight(awac_advantages, self.cfg.awac_temperature, self.cfg.awac_weight_max)
            valid, saturated = self._awac_valid(rollout), weights >= 0.999 * self.cfg.awac_weight_max
            metrics.add("Ensemble/awac_weight", valid_mean(weights, valid))
            metrics.add("Ensemble/awac_saturation", valid_mean(saturated.to(valid.dtype), valid))
            awac_advantages.copy_(weights)


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
        model: The actor-critic with the parameters and statistics of the rollout.
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

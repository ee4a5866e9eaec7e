# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A learning rate that follows how far the policy moves, decided on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from cpo_rl.algorithms.roles import MiniBatch, RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import ROW_SETS, EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian
from cpo_rl.formulas.means import valid_mean
from cpo_rl.formulas.schedule import adapt
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation


class AdaptiveLearningRate:
    """Measures the KL of every gradient step and adapts the rate after each pass or step.

    The reference distribution of a row is the one it had at its last visit (``previous_epoch``) or in the rollout.
    Means are kept per row; log standard deviations depend only on policy and time of the visit, so a table per
    mini-batch of the previous pass is enough.

    Args:
        cfg: Algorithm settings.
        tables: Role tables.
        model: The actor-critic.
        ranks: Processes that train together.
    """

    def __init__(self, cfg: EnsembleCfg, tables: RoleTables, model: EnsembleActorCritic, ranks: Ranks) -> None:
        self.cfg, self.ranks, self.model = cfg, ranks, model
        device = model.log_std.device
        self.rate = torch.tensor(cfg.learning_rate, device=device, dtype=torch.float32)
        self._visits = torch.zeros(tables.num_targets, dtype=torch.int64, device=device)
        self._history = model.log_std.detach().repeat(cfg.num_mini_batches, 1, 1)
        self._next_visits, self._next_history = self._visits.clone(), self._history.clone()
        self._kl_sum, self._kl_count = torch.zeros(2, device=device, dtype=torch.float64).unbind()

    def start(self) -> None:
        """Begin an iteration: the rollout's log standard deviations are the reference of every row."""
        self._history.copy_(self.model.log_std.detach().expand_as(self._history))
        self._visits.zero_()
        self._kl_sum.zero_()
        self._kl_count.zero_()

    @torch.no_grad()
    def measure(self, batch: MiniBatch, out: Evaluation, rollout: Rollout, own_policy: Tensor) -> Tensor:
        """Mean KL(new || reference) of valid steps of the configured rows of a mini-batch, before its gradient step.

        Args:
            batch: The mini-batch.
            out: Evaluation of its rows by the current network.
            rollout: Holds the reference means, which are rolled forward.
            own_policy: Policy whose log standard deviation a row's reference has, [n_gradient].

        Returns:
            Scalar [nat].
        """
        n = batch.num_gradient
        mean, log_std = out.mean[:n].to(rollout.target_means.dtype), out.log_std[:n].to(rollout.target_means.dtype)
        reference_log_std = self._history[self._visits[batch.target], own_policy].unsqueeze(1)
        row_kl = gaussian.kl(mean, log_std, rollout.target_means[batch.target], reference_log_std)
        counted = slice(0, sum(batch.sizes[: len(ROW_SETS[self.cfg.learning_rate_rows])]))
        kl = self.ranks.mean(valid_mean(row_kl[counted], rollout.target_valid[batch.target[counted]]))
        if self._rolls_forward:
            rollout.target_means[batch.target] = mean
            self._next_visits[batch.target] = batch.index
            self._next_history.index_copy_(0, batch.index, self.model.log_std.detach().unsqueeze(0))
        self._kl_sum += kl
        self._kl_count += 1.0
        if self.cfg.learning_rate_update == "mini_batch":
            self._adapt()
        return kl

    def end_pass(self) -> None:
        """Adapt after a pass where configured, and make this pass's policies the reference of the next."""
        if self.cfg.learning_rate_update == "epoch":
            self._adapt()
        if self._rolls_forward:
            self._visits.copy_(self._next_visits)  # in place, because a replayed step knows addresses
            self._history.copy_(self._next_history)

    @property
    def _rolls_forward(self) -> bool:
        return self.cfg.learning_rate_reference == "previous_epoch"

    def _adapt(self) -> None:
        if self.cfg.learning_rate_schedule == "adaptive":
            kl, c = self._kl_sum / self._kl_count, self.cfg
            self.rate.copy_(adapt(self.rate, kl, c.desired_kl, c.learning_rate_min, c.learning_rate_max))
        self._kl_sum.zero_()
        self._kl_count.zero_()

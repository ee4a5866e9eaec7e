# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Inter-policy diagnostics of a rollout, on a sample small enough not to slow training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.roles import RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.formulas import gaussian
from cpo_rl.formulas.coupling import importance_summary, kl_matrix
from cpo_rl.models.actor_critic import EnsembleActorCritic

SAMPLE_SHARE = 2.0
"""Rows evaluated per inspection, as a multiple of the rollout's rows."""

MAX_SAMPLE = 4096
"""Most rows sampled of a block."""


class EnsembleDiagnostics:
    """Evaluates every policy on a sample of every block.

    The sample is evenly spaced sequences of each block, so it needs no random numbers. Its size keeps the cost at about
    :data:`SAMPLE_SHARE` forward passes over the rollout, against the tens that an update makes.

    Args:
        model: The actor-critic.
        cfg: Algorithm settings.
        tables: Role tables.
    """

    def __init__(self, model: EnsembleActorCritic, cfg: EnsembleCfg, tables: RoleTables) -> None:
        self.model, self.cfg, self.tables = model, cfg, tables
        count = cfg.num_policies
        wanted = int(SAMPLE_SHARE * tables.num_sequences / count**2)
        most = max(MAX_SAMPLE // cfg.sequence_length, 1)
        self.per_block = max(min(wanted, most, tables.per_block), min(64, tables.per_block))
        picks = torch.linspace(0, tables.per_block - 1, self.per_block, device=tables.device).long()
        starts = torch.arange(count, device=tables.device).unsqueeze(1) * tables.per_block
        self._sequences = (starts + picks).flatten()  # [M * n]

    @torch.no_grad()
    def measure(self, rollout: Rollout, metrics: DeviceMetrics) -> None:
        """Measure the rollout with the parameters it was made with; results go to the device metrics."""
        count = self.cfg.num_policies
        if count == 1:
            return
        model, pick = self.model, self._sequences
        rows = rollout.sequences(rollout.inputs)[pick]
        state, resets = rollout.start_states(pick), rollout.resets
        resets = None if resets is None else resets[pick]
        means = torch.stack([self._means(rows, j, state, resets) for j in range(count)])  # [M_j, M_i, n*q, A]
        means = means.transpose(0, 1)
        valid = rollout.sequences(rollout.valid)[pick].view(count, -1)
        metrics.array("kl_matrix", kl_matrix(means, model.log_std, valid))
        actions = rollout.sequences(rollout.actions)[pick].view(count, -1, model.num_actions)
        behavior = rollout.sequences(rollout.log_probs)[pick].view(count, -1)
        leader = gaussian.log_prob(actions, means[:, -1], model.log_std[-1])
        for name, value in importance_summary((leader - behavior)[:-1], valid[:-1]).items():
            metrics.array(name, value)

    def _means(self, rows: Tensor, policy: int, state: Any, resets: Tensor | None) -> Tensor:
        self.model.mark(rows, torch.full((len(rows),), policy, device=rows.device))
        mean = self.model.evaluate_inputs(rows, state, resets, num_values=0).mean
        return mean.reshape(self.cfg.num_policies, -1, self.model.num_actions)

    def summarize(self, arrays: dict[str, Tensor], scalars: dict[str, float]) -> dict[str, Any]:
        """Turn the arrays read from the device into scalars (added in place) and plain lists."""
        if "kl_matrix" not in arrays:
            return {}
        matrix = arrays["kl_matrix"]
        count = self.cfg.num_policies
        scalars["Ensemble/kl_mean"] = float(matrix.sum().numpy()) / (count * (count - 1))
        scalars["Ensemble/ess_pooled"] = float(arrays["ess_pooled"].numpy())
        columns = {"kl_to_leader": matrix[:-1, -1].tolist()}
        columns.update({n: arrays[n].tolist() for n in ("ess", "importance_deviation", "importance_log_var")})
        for name, values in columns.items():
            scalars.update({f"Ensemble/{name}_{i}": value for i, value in enumerate(values)})
        return {"kl_matrix": matrix.tolist(), "ess_pooled": float(arrays["ess_pooled"].numpy()), **columns}

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The gradient steps of one iteration: gather a mini-batch, weigh the losses of its roles, step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cpo_rl import gaussian, losses
from cpo_rl.algorithms.learning_rate import AdaptiveLearningRate
from cpo_rl.config import EnsembleCfg
from cpo_rl.diagnostics.metrics import DeviceMetrics
from cpo_rl.distributed import Ranks
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation
from cpo_rl.storage.roles import MiniBatch, RoleTables
from cpo_rl.storage.rollout import Rollout


class PolicyUpdate:
    """Optimizes the actor-critic on a prepared rollout, without asking the device for anything.

    Args:
        model: the actor-critic.
        cfg: algorithm settings.
        tables: role tables.
        rollout: buffers that hold data and targets when :meth:`run` is called.
        ranks: processes that train together.
    """

    def __init__(
        self, model: EnsembleActorCritic, cfg: EnsembleCfg, tables: RoleTables, rollout: Rollout, ranks: Ranks
    ) -> None:
        self.model, self.cfg, self.tables, self.rollout, self.ranks = model, cfg, tables, rollout, ranks
        self.learning_rate = AdaptiveLearningRate(cfg, tables, model, ranks)
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.learning_rate.rate, fused=True)
        self.skipped = torch.zeros((), device=model.log_std.device)
        self._entropy_coefs = model.log_std.new_tensor(cfg.entropy_coefs())
        self._loss: Callable[..., tuple[Tensor, dict[str, Tensor]]] = self._weigh
        if cfg.compile:
            self._loss = torch.compile(self._weigh, dynamic=True)

    def run(self, borrowed: list[int], generator: torch.Generator, bad: Tensor, metrics: DeviceMetrics) -> None:
        """Make all gradient steps of an iteration.

        Args:
            borrowed: the drawn followers.
            generator: shuffles the mini-batches.
            bad: 1 if the rollout held a non-finite number: no step changes the weights then; scalar.
            metrics: receives losses and statistics.
        """
        self.learning_rate.start()
        self.skipped.zero_()
        resets = self.rollout.resets()
        plans = self.tables.passes(borrowed, self.cfg.num_learning_epochs, self.cfg.num_mini_batches, generator)
        for number, plan in enumerate(plans):
            for batch in plan:
                self._step(batch, number, resets, bad, metrics)
            self.learning_rate.end_pass()

    def _step(self, batch: MiniBatch, number: int, resets: Tensor | None, bad: Tensor, metrics: DeviceMetrics) -> None:
        n, rollout, q = batch.num_gradient, self.rollout, self.rollout.sequence_length
        obs = rollout.sequences(rollout.observations)[batch.source]
        state = rollout.start_states(batch.source)
        clear = None if resets is None else resets[batch.source]
        device_type = obs.device.type
        with torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.cfg.mixed_precision):
            out = self.model.evaluate(obs, batch.policy, state, clear, num_values=n)
            leader_mean = self._leader_means(obs, state, clear, batch)
        exact = self.model.log_std.dtype  # losses are computed in the parameters' precision
        out = Evaluation(out.mean.to(exact), out.log_std.to(exact), out.value.to(exact), None)  # type: ignore[union-attr]
        data = {
            "action": rollout.sequences(rollout.actions)[batch.source],
            "old_log_prob": rollout.sequences(rollout.log_probs)[batch.source[:n]],
            "advantage": rollout.target_advantages[batch.target],
            "old_value": rollout.target_values[batch.target],
            "return": rollout.target_returns[batch.target],
            "awac_weight": rollout.awac_weights[batch.weight],
            "leader_mean": leader_mean,
            "center": self._clip_center(batch),
            "policy_count": (batch.policy[:n, None] == self.model._policies).sum(0) * q,
        }
        loss, parts = self._loss(out, data, batch.sizes)
        kl = self.learning_rate.measure(batch, out, rollout, self._reference_policy(batch, number))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.cfg.max_grad_norm, foreach=True)
        found = torch.maximum((~torch.isfinite(norm)).to(bad.dtype), bad)
        self.optimizer.found_inf = found  # type: ignore[attr-defined]  # Adam leaves weights and moments alone if set
        self.optimizer.step()
        self.skipped += found
        for name, value in parts.items():
            metrics.add(name, value)
        metrics.add("Optimization/kl", kl)
        metrics.add("Optimization/grad_norm", norm)

    def _leader_means(self, obs: Tensor, state: Any, clear: Tensor | None, batch: MiniBatch) -> Tensor | None:
        """Current leader's means on the followers' rows, [n_follower, q, A]; None unless the KL penalty is on."""
        count = batch.sizes[0]
        if self.cfg.kl_coef == 0.0 or count == 0:
            return None
        ids = torch.full_like(batch.policy[:count], self.model.num_policies - 1)
        part = None if state is None else tuple(tuple(t[:, :count] for t in pair) for pair in state)
        with torch.no_grad():
            return self.model.evaluate(
                obs[:count], ids, part, None if clear is None else clear[:count], num_values=0
            ).mean.to(self.model.log_std.dtype)

    def _clip_center(self, batch: MiniBatch) -> Tensor | None:
        """Old leader over acting follower of borrowed rows, [n_borrowed, q]; None where the center is 1."""
        if self.cfg.borrowed_clip_center == "one" or not batch.sizes[2]:
            return None
        rows = batch.rows("borrowed")
        old_leader = self.rollout.borrowed_log_probs[batch.target[rows] - self.tables.num_sequences]
        acting = self.rollout.sequences(self.rollout.log_probs)[batch.source[rows]]
        return torch.exp(old_leader - acting)

    def _reference_policy(self, batch: MiniBatch, number: int) -> Tensor:
        """Policy whose noise belongs to each row's reference distribution, [n_gradient]."""
        n = batch.num_gradient
        first = number == 0 or self.cfg.learning_rate_reference == "rollout"
        if self.cfg.borrowed_reference == "behavior" and first:
            return torch.div(batch.source[:n], self.tables.per_block, rounding_mode="floor")
        return batch.policy[:n]

    def _weigh(
        self, out: Evaluation, data: dict[str, Any], sizes: tuple[int, int, int, int]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss of a mini-batch and what it is made of (docs/algorithms.md).

        Every row of a role counts with the role's weight; sums are divided by the number of rows that carry the
        surrogate, or by all rows (``loss_normalization``).
        """
        c = self.cfg
        n, n_follower, n_awac = sum(sizes[:3]), sizes[0], sizes[3]
        q = out.mean.shape[1]
        log_prob = gaussian.log_prob(data["action"], out.mean, out.log_std)
        log_ratio = log_prob[:n] - data["old_log_prob"]
        ratio, advantage = log_ratio.exp(), data["advantage"]
        parts: dict[str, Tensor] = {}
        policy_loss = log_prob.new_zeros(())
        weights = (c.follower_weight, c.leader_weight, c.borrowed_weight)
        start = 0
        for name, size, weight in zip(("follower", "leader", "borrowed"), sizes, weights, strict=False):
            rows = slice(start, start + size)
            start += size
            if not size:
                continue
            if name == "follower" and c.kl_coef > 0:
                row_loss, kl = self._regularized(out, data, ratio, log_prob, n_follower)
                parts["Loss/kl"] = kl.mean()
            else:
                center = data["center"] if name == "borrowed" and data["center"] is not None else 1.0
                row_loss = losses.surrogate(advantage[rows], ratio[rows], c.clip_param, center)
            policy_loss = policy_loss + weight * row_loss.sum()
            parts[f"Loss/surrogate_{name}"] = row_loss.mean()
            parts[f"Ensemble/clipped_fraction_{name}"] = (
                ((ratio[rows] - 1.0).abs() > c.clip_param).to(log_prob.dtype).mean()
            )
        if n_awac and c.awac_coef > 0:
            regression = losses.awac(data["awac_weight"], log_prob[n:])
            policy_loss = policy_loss + c.awac_coef / c.awac_fraction * regression.sum()
            parts["Loss/awac"] = regression.mean()
        value_loss = losses.value(
            out.value,
            data["old_value"],
            data["return"],
            c.clip_param if c.use_clipped_value_loss else None,  # type: ignore[arg-type]
        )
        bound = losses.bound(out.mean[:n], c.bound_limit)
        policy_entropy = gaussian.entropy(self.model.log_std)
        entropy = (policy_entropy * self._entropy_coefs * data["policy_count"]).sum()
        rows_counted = q * (n if c.loss_normalization == "gradient_rows" else n + n_awac / c.awac_fraction)
        total = (
            policy_loss + c.value_loss_coef * value_loss.sum() - entropy + c.bound_loss_coef * bound.sum()
        ) / rows_counted
        parts["Loss/value"] = value_loss.mean()
        parts["Loss/bound"] = bound.mean()
        parts["Loss/entropy"] = policy_entropy.mean()
        if sizes[2]:
            parts["Ensemble/borrowed_gradient_share"] = self._borrowed_share(ratio, advantage, data["center"], sizes)
        return total, {name: value.detach() for name, value in parts.items()}

    def _regularized(
        self, out: Evaluation, data: dict[str, Any], ratio: Tensor, log_prob: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """Followers' loss with the explicit KL to the leader, and that KL, both [n_follower, q]."""
        c = self.cfg
        leader_log_std = self.model.log_std[-1].detach()
        mean, log_std = out.mean[:count], out.log_std[:count]
        advantage = data["advantage"][:count]
        kl = gaussian.kl(mean, log_std, data["leader_mean"], leader_log_std)
        if c.kl_form == "sampled":
            leader_log_prob = gaussian.log_prob(data["action"][:count], data["leader_mean"], leader_log_std)
            row_loss = losses.sampled_kl_surrogate(
                advantage, ratio[:count], log_prob[:count], leader_log_prob, c.kl_coef, c.clip_param
            )
        else:
            row_loss = losses.surrogate(advantage, ratio[:count], c.clip_param) + c.kl_coef * kl
        return row_loss, kl

    def _borrowed_share(
        self, ratio: Tensor, advantage: Tensor, center: Tensor | None, sizes: tuple[int, int, int, int]
    ) -> Tensor:
        """Share of the leader's policy gradient that borrowed rows supply.

        Measured where the gradient enters the network: the sum over rows of |d loss / d log pi| = |A| rho of rows whose
        clip is inactive, borrowed over borrowed plus own.
        """
        c = self.cfg
        own = slice(sizes[0], sizes[0] + sizes[1])
        borrowed = slice(own.stop, own.stop + sizes[2])
        gradient = (advantage * ratio).detach().abs()

        def flows(rows: slice, middle: Tensor | float) -> Tensor:
            r, a = ratio[rows].detach(), advantage[rows]
            stopped = ((a > 0) & (r > (1 + c.clip_param) * middle)) | ((a < 0) & (r < (1 - c.clip_param) * middle))
            return torch.where(stopped, 0.0, gradient[rows]).sum()

        lent = c.borrowed_weight * flows(borrowed, 1.0 if center is None else center)
        return lent / (lent + c.leader_weight * flows(own, 1.0)).clamp(min=1.0e-12)

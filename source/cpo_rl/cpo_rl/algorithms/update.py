# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The gradient steps of one iteration: gather a mini-batch, weigh the losses of its roles, step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.cuda_graph import StepGraph
from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.learning_rate import AdaptiveLearningRate
from cpo_rl.algorithms.roles import MiniBatch, RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian, losses
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation


class PolicyUpdate:
    """Optimizes the actor-critic on a prepared rollout, without asking the device for anything.

    Args:
        model: The actor-critic.
        cfg: Algorithm settings.
        tables: Role tables.
        rollout: Buffers that hold data and targets when :meth:`run` is called.
        ranks: Processes that train together.
    """

    def __init__(
        self, model: EnsembleActorCritic, cfg: EnsembleCfg, tables: RoleTables, rollout: Rollout, ranks: Ranks
    ) -> None:
        self.model, self.cfg, self.tables, self.rollout, self.ranks = model, cfg, tables, rollout, ranks
        self.learning_rate = AdaptiveLearningRate(cfg, tables, model, ranks)
        self.parameters = list(model.parameters())
        on_gpu = model.log_std.is_cuda
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.learning_rate.rate, fused=True, capturable=on_gpu)
        self.skipped = torch.zeros((), device=model.log_std.device)
        self._entropy_coefs = model.log_std.new_tensor(cfg.entropy_coefs())
        self._loss: Callable[..., tuple[Tensor, dict[str, Tensor]]] = self._weigh
        if cfg.compile:
            self._loss = torch.compile(self._weigh, dynamic=True)
        use_graph = cfg.cuda_graph and on_gpu and not ranks.several and not cfg.compile
        self.graph = StepGraph(self._gradient_step, model.log_std.device) if use_graph else None
        resets = rollout.resets()
        self._resets = None if resets is None else resets.clone()
        self._bad = torch.zeros((), device=model.log_std.device)

    def run(self, borrowed: list[int], generator: torch.Generator, bad: Tensor, metrics: DeviceMetrics) -> None:
        """Make all gradient steps of an iteration.

        Args:
            borrowed: The drawn followers.
            generator: Shuffles the mini-batches.
            bad: 1 if the rollout held a non-finite number: no step changes the weights then; scalar.
            metrics: Receives losses and statistics.
        """
        self.learning_rate.start()
        self.skipped.zero_()
        if self._resets is not None:
            self._resets.copy_(self.rollout.resets())  # type: ignore[arg-type]
        self._bad.copy_(bad)
        plans = self.tables.passes(borrowed, self.cfg.num_learning_epochs, self.cfg.num_mini_batches, generator)
        for number, plan in enumerate(plans):
            for batch in plan:
                reference = self._reference_policy(batch, number)
                step = self.graph or self._gradient_step
                step(batch, reference, metrics)
            self.learning_rate.end_pass()

    def _gradient_step(self, batch: MiniBatch, reference: Tensor, metrics: DeviceMetrics) -> None:
        """One step on a mini-batch; reads and writes only tensors at fixed addresses, so that it can be replayed.

        Args:
            batch: The mini-batch.
            reference: Policy whose noise belongs to each row's reference distribution, [n_gradient].
            metrics: Receives losses and statistics.
        """
        n, rollout, q = batch.num_gradient, self.rollout, self.rollout.sequence_length
        rows = torch.index_select(rollout.sequences(rollout.inputs), 0, batch.source)
        self.model.mark(rows, batch.policy)
        state = rollout.start_states(batch.source)
        clear = None if self._resets is None else self._resets[batch.source]
        with torch.autocast(rows.device.type, dtype=torch.bfloat16, enabled=self.cfg.mixed_precision):
            out = self.model.evaluate_inputs(rows, state, clear, num_values=n)
            leader_mean = self._leader_means(rows, state, clear, batch)
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
        kl = self.learning_rate.measure(batch, out, rollout, reference)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.cfg.max_grad_norm, foreach=True)
        found = torch.maximum((~torch.isfinite(norm)).to(self._bad.dtype), self._bad)
        self.optimizer.found_inf = found  # type: ignore[attr-defined]  # Adam leaves weights and moments alone if set
        self.optimizer.step()
        self.skipped += found
        metrics.add_all({**parts, "Optimization/kl": kl, "Optimization/grad_norm": norm})

    def _leader_means(self, rows: Tensor, state: Any, clear: Tensor | None, batch: MiniBatch) -> Tensor | None:
        """Current leader's means on the followers' rows, [n_follower, q, A]; None unless the KL penalty is on."""
        count = batch.sizes[0]
        if self.cfg.kl_coef == 0.0 or count == 0:
            return None
        ids = torch.full_like(batch.policy[:count], self.model.num_policies - 1)
        part = None if state is None else tuple(tuple(t[:, :count] for t in pair) for pair in state)
        with torch.no_grad():
            marked = self.model.mark(rows[:count].clone(), ids)
            part_clear = None if clear is None else clear[:count]
            return self.model.evaluate_inputs(marked, part, part_clear, num_values=0).mean.to(self.model.log_std.dtype)

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
        n, n_awac, q = sum(sizes[:3]), sizes[3], out.mean.shape[1]
        log_prob = gaussian.log_prob(data["action"], out.mean, out.log_std)
        ratio = (log_prob[:n] - data["old_log_prob"]).exp()
        center: Tensor | float = 1.0
        if data["center"] is not None:
            center = torch.cat((torch.ones_like(ratio[: n - sizes[2]]), data["center"]))
        row_loss, kl = self._surrogate(out, data, ratio, log_prob, center, sizes[0])
        policy_loss, parts = self._by_role(row_loss, ratio, data["advantage"], center, sizes)
        if kl is not None:
            parts["Loss/kl"] = kl.mean()
            if c.kl_form == "closed_form":
                policy_loss = policy_loss + c.follower_weight * c.kl_coef * kl.sum()
        if n_awac and c.awac_coef > 0:
            regression = losses.awac(data["awac_weight"], log_prob[n:]).sum()
            policy_loss = policy_loss + c.awac_coef / c.awac_fraction * regression
            parts["Loss/awac"] = regression / (n_awac * q)
        clip = c.clip_param if c.use_clipped_value_loss else None
        value_loss = losses.value(out.value, data["old_value"], data["return"], clip).sum()  # type: ignore[arg-type]
        bound = losses.bound(out.mean[:n], c.bound_limit).sum()
        policy_entropy = gaussian.entropy(self.model.log_std)
        entropy = (policy_entropy * self._entropy_coefs * data["policy_count"]).sum()
        total = policy_loss + c.value_loss_coef * value_loss - entropy + c.bound_loss_coef * bound
        parts.update({"Loss/value": value_loss / (n * q), "Loss/bound": bound / (n * q),
                      "Loss/entropy": policy_entropy.mean()})  # fmt: skip
        counted = q * (n if c.loss_normalization == "gradient_rows" else n + n_awac / c.awac_fraction)
        return total / counted, {name: value.detach() for name, value in parts.items()}

    def _surrogate(
        self,
        out: Evaluation,
        data: dict[str, Any],
        ratio: Tensor,
        log_prob: Tensor,
        center: Tensor | float,
        count: int,
    ) -> tuple[Tensor, Tensor | None]:
        """Surrogate of every gradient row [n, q], and the followers' KL to the leader [n_follower, q] if it counts."""
        c, advantage = self.cfg, data["advantage"]
        if data["leader_mean"] is None:
            return losses.surrogate(advantage, ratio, c.clip_param, center), None
        leader_log_std = self.model.log_std[-1].detach()
        kl = gaussian.kl(out.mean[:count], out.log_std[:count], data["leader_mean"], leader_log_std)
        if c.kl_form == "closed_form":
            return losses.surrogate(advantage, ratio, c.clip_param, center), kl
        leader_log_prob = gaussian.log_prob(data["action"][:count], data["leader_mean"], leader_log_std)
        followers = losses.sampled_kl_surrogate(
            advantage[:count], ratio[:count], log_prob[:count], leader_log_prob, c.kl_coef, c.clip_param
        )
        rest = center[count:] if isinstance(center, Tensor) else center
        others = losses.surrogate(advantage[count:], ratio[count:], c.clip_param, rest)
        return torch.cat((followers, others)), kl

    def _by_role(
        self,
        row_loss: Tensor,
        ratio: Tensor,
        advantage: Tensor,
        center: Tensor | float,
        sizes: tuple[int, int, int, int],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the surrogate over roles, and its means, clipped fractions and flow of gradient by role.

        The share of the leader's policy gradient that borrowed rows supply is measured where the gradient enters the
        network: |d loss / d log pi| = |A| rho summed over rows whose clip is inactive, borrowed over borrowed plus own.
        """
        c = self.cfg
        weights = {"follower": c.follower_weight, "leader": c.leader_weight, "borrowed": c.borrowed_weight}
        with torch.no_grad():
            clipped = ((ratio / center - 1.0).abs() > c.clip_param).to(ratio.dtype).split(sizes[:3])
            unclipped = -advantage * ratio
            flow = torch.where(row_loss == unclipped, unclipped.abs(), 0.0).split(sizes[:3])
        total, parts = row_loss.new_zeros(()), {}
        for i, (name, rows) in enumerate(zip(weights, row_loss.split(sizes[:3]), strict=True)):
            if sizes[i]:
                loss = rows.sum()
                total = total + weights[name] * loss
                parts[f"Loss/surrogate_{name}"] = loss / rows.numel()
                parts[f"Ensemble/clipped_fraction_{name}"] = clipped[i].mean()
        if sizes[2]:
            own, lent = c.leader_weight * flow[1].sum(), c.borrowed_weight * flow[2].sum()
            parts["Ensemble/borrowed_gradient_share"] = lent / (lent + own).clamp(min=1.0e-12)
        return total, parts

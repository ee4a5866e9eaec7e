# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The gradient steps of one iteration: gather rows, evaluate them, weigh the losses of their roles, step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.cuda_graph import RecordedStep
from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.learning_rate import AdaptiveLearningRate
from cpo_rl.algorithms.optimizer_state import load_optimizer
from cpo_rl.algorithms.roles import MiniBatch, RoleTables
from cpo_rl.algorithms.rollout import Rollout, Rows
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import coupling, gaussian, losses
from cpo_rl.formulas.means import valid_count, valid_mean
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation

Loss = tuple[Tensor, dict[str, Tensor]]
"""A loss, scalar, and metrics of it by name, scalars."""

ExtraLosses = Callable[[Rows, Evaluation], dict[str, Tensor]]
"""Further terms of the loss, see :meth:`cpo_rl.algorithms.EnsemblePPO.extra_losses`."""


class PolicyUpdate:
    """Optimizes the actor-critic on a prepared rollout, without asking the device for anything.

    Args:
        model: The actor-critic.
        cfg: Algorithm settings.
        tables: Role tables.
        rollout: Buffers that hold data and targets when :meth:`run` is called.
        ranks: Processes that train together.
        extra_losses: Gives an own algorithm's terms of the loss.
        coupling_coefs: Coefficients of the followers' regulated KL penalty, [M-1], at a fixed address; None without.
    """

    def __init__(
        self,
        model: EnsembleActorCritic,
        cfg: EnsembleCfg,
        tables: RoleTables,
        rollout: Rollout,
        ranks: Ranks,
        extra_losses: ExtraLosses,
        coupling_coefs: Tensor | None = None,
    ) -> None:
        self.model, self.cfg, self.tables, self.rollout, self.ranks = model, cfg, tables, rollout, ranks
        self.extra_losses, self.coupling_coefs = extra_losses, coupling_coefs
        self.learning_rate = AdaptiveLearningRate(cfg, tables, model, ranks)
        self.parameters = list(model.parameters())
        device, on_gpu = model.log_std.device, model.log_std.is_cuda
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.learning_rate.rate, fused=True, capturable=on_gpu)
        self.skipped = torch.zeros((), device=device)
        self._bad = torch.zeros((), device=device)
        self._policies = torch.arange(cfg.num_policies, device=device)
        self._entropy_coefs = torch.zeros(cfg.num_policies, device=device, dtype=model.log_std.dtype)
        self._loss: Callable[[Rows, Evaluation, Tensor | None], Loss] = self._total_loss
        if cfg.compile:
            self._loss = torch.compile(self._total_loss, dynamic=True)
        recorded = cfg.cuda_graph and on_gpu and not ranks.several and not cfg.compile
        self.recorded = RecordedStep(self._gradient_step, device) if recorded else None
        self.settings_changed()

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
        self._bad.copy_(bad)
        step = self.recorded or self._gradient_step
        passes = self.tables.passes(borrowed, self.cfg.num_learning_epochs, self.cfg.num_mini_batches, generator)
        for number, batches in enumerate(passes):
            for batch in batches:
                step(batch, self._reference_policy(batch, number), metrics)
            self.learning_rate.end_pass()

    def settings_changed(self) -> None:
        """Take over settings that were changed between two iterations."""
        c = self.cfg
        ladder = losses.entropy_ladder(c.num_policies, c.entropy_coef, c.entropy_coef_scale)
        self._entropy_coefs.copy_(torch.tensor(ladder, dtype=self._entropy_coefs.dtype))
        if self.recorded:
            self.recorded.forget()  # recorded steps hold the old values

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Restore the optimizer's state and with it the learning rate.

        Raises:
            ValueError: If it is another one's.
        """
        load_optimizer(self.optimizer, state)
        rate, group = self.learning_rate.rate, self.optimizer.param_groups[0]
        rate.copy_(torch.as_tensor(group["lr"]))
        group["lr"] = rate  # loading replaced the tensor that the adaptation writes to
        if self.recorded:
            self.recorded.forget()  # recorded steps know the old tensors

    def _gradient_step(self, batch: MiniBatch, reference: Tensor, metrics: DeviceMetrics) -> None:
        """One step on a mini-batch; reads and writes only tensors at fixed addresses, so that it can be replayed.

        Args:
            batch: The mini-batch.
            reference: Policy whose noise belongs to each row's reference distribution, [g].
            metrics: Receives losses and statistics.
        """
        rows = self.rollout.gather(batch, self.cfg.borrowed_clip_center == "old_leader")
        out, leader_mean = self._evaluate(rows)
        loss, parts = self._loss(rows, out, leader_mean)
        kl = self.learning_rate.measure(batch, out, self.rollout, reference)
        norm = self._descend(loss)
        metrics.add_all({**parts, "Optimization/kl": kl, "Optimization/grad_norm": norm})

    def _evaluate(self, rows: Rows) -> tuple[Evaluation, Tensor | None]:
        """What the current network says about the rows, in the parameters' precision, and :meth:`_leader_means`."""
        with torch.autocast(rows.inputs.device.type, dtype=torch.bfloat16, enabled=self.cfg.mixed_precision):
            out = self.model.evaluate_inputs(rows.inputs, rows.state, rows.resets, num_values=sum(rows.sizes[:3]))
            leader_mean = self._leader_means(rows)
        exact = self.model.log_std.dtype
        return Evaluation(out.mean.to(exact), out.log_std.to(exact), out.value.to(exact), None), leader_mean  # type: ignore[union-attr]

    def _leader_means(self, rows: Rows) -> Tensor | None:
        """Current leader's means on the followers' rows, [follower, q, A]; None unless the KL penalty is on."""
        count = rows.sizes[0]
        if count == 0 or (self.cfg.kl_coef == 0.0 and not self._is_regulated):
            return None
        ids = torch.full_like(rows.policy[:count], self.model.num_policies - 1)
        state = None if rows.state is None else tuple(tuple(t[:, :count] for t in pair) for pair in rows.state)
        resets = None if rows.resets is None else rows.resets[:count]
        with torch.no_grad():
            marked = self.model.mark(rows.inputs[:count].clone(), ids)
            return self.model.evaluate_inputs(marked, state, resets, num_values=0).mean.to(self.model.log_std.dtype)

    @property
    def _is_regulated(self) -> bool:
        return self.coupling_coefs is not None and self.cfg.coupling_target_kl > 0.0

    def _descend(self, loss: Tensor) -> Tensor:
        """Step down a loss unless its gradient is not finite or the rollout was bad; return the gradient's norm.

        Noise is kept within its bound after the step, where a clamp in the loss would leave it without a gradient.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.parameters)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.cfg.max_grad_norm, foreach=True)
        found = torch.maximum((~torch.isfinite(norm)).to(self._bad.dtype), self._bad)
        self.optimizer.found_inf = found  # type: ignore[attr-defined]  # Adam leaves weights and moments alone if set
        self.optimizer.step()
        with torch.no_grad():
            self.model.log_std.clamp_(max=math.log(self.cfg.action_std_max))
        self.skipped += found
        return norm

    def _reference_policy(self, batch: MiniBatch, number: int) -> Tensor:
        """Policy whose noise belongs to each row's reference distribution in a pass, [g]."""
        n = batch.num_gradient
        first = number == 0 or self.cfg.learning_rate_reference == "rollout"
        if self.cfg.borrowed_reference == "behavior" and first:
            return torch.div(batch.source[:n], self.tables.per_block, rounding_mode="floor")
        return batch.policy[:n]

    # -- the loss ------------------------------------------------------------------------------------------------------

    def _total_loss(self, rows: Rows, out: Evaluation, leader_mean: Tensor | None) -> Loss:
        """Total loss of a mini-batch and what it is made of (docs/algorithms.md).

        Every valid step of a row counts with the role's weight; sums are divided by the number of valid steps that
        carry the surrogate, or by all valid steps (``loss_normalization``).

        Args:
            rows: The rows.
            out: What the current network says about them.
            leader_mean: Current leader's means on the followers' rows, [follower, q, A], or None.
        """
        c, n = self.cfg, sum(rows.sizes[:3])
        valid, valid_awac = rows.valid[:n], rows.valid[n:]
        steps, steps_awac = valid_count(valid), valid_count(valid_awac)
        log_prob = gaussian.log_prob(rows.action, out.mean, out.log_std)
        total, parts = self._policy_loss(rows, out, leader_mean, log_prob[:n])
        if rows.sizes[3] and c.awac_coef > 0:
            regression = (losses.awac(rows.awac_weight, log_prob[n:]) * valid_awac).sum()
            total = total + c.awac_coef / c.awac_fraction * regression
            parts["Loss/awac"] = regression / steps_awac
        clip = c.clip_param if c.use_clipped_value_loss else None
        value = (losses.value(out.value, rows.old_value, rows.return_, clip) * valid).sum()  # type: ignore[arg-type]
        bound = (losses.bound(out.mean[:n], c.bound_limit) * valid).sum()
        entropy = gaussian.entropy(self.model.log_std)  # by policy, [M]
        own = (rows.policy[:n, None] == self._policies).to(valid.dtype)
        bonus = (entropy * self._entropy_coefs * (own * valid.sum(1, keepdim=True)).sum(0)).sum()
        total = total + c.value_loss_coef * value - bonus + c.bound_loss_coef * bound
        parts.update({"Loss/value": value / steps, "Loss/bound": bound / steps, "Loss/entropy": entropy.mean()})
        every = c.loss_normalization == "all_rows" and rows.sizes[3] > 0
        loss = total / (steps + steps_awac / c.awac_fraction if every else steps)
        for name, term in self.extra_losses(rows, out).items():
            loss = loss + term
            parts[f"Loss/{name}"] = term
        return loss, {name: part.detach() for name, part in parts.items()}

    def _policy_loss(self, rows: Rows, out: Evaluation, leader_mean: Tensor | None, log_prob: Tensor) -> Loss:
        """Sum of the surrogate over the roles, and of the followers' KL to the leader where it is penalized."""
        c = self.cfg
        ratio = (log_prob - rows.old_log_prob).exp()
        center = self._clip_center(rows, ratio)
        row_loss, kl = self._surrogate(rows, out, leader_mean, log_prob, ratio, center)
        valid = rows.valid[: len(row_loss)]
        total, parts = self._by_role(row_loss, ratio, rows.advantage, center, rows.sizes, valid)
        if kl is not None:
            own = valid[: len(kl)]
            parts["Loss/kl"] = valid_mean(kl, own)
            if self._is_regulated:
                coefs = self.coupling_coefs[rows.policy[: len(kl)]].unsqueeze(1)  # type: ignore[index]
                total = total + (coefs * kl * own).sum()
            elif c.kl_form == "closed_form":
                total = total + c.follower_weight * c.kl_coef * (kl * own).sum()
        return total, parts

    def _clip_center(self, rows: Rows, ratio: Tensor) -> Tensor | float:
        """Center of every row's clip range, [g, q] or 1: old leader over acting follower of borrowed rows."""
        if rows.old_leader_log_prob is None or not rows.sizes[2]:
            return 1.0
        first = sum(rows.sizes[:2])
        borrowed = torch.exp(rows.old_leader_log_prob - rows.old_log_prob[first:])
        return torch.cat((torch.ones_like(ratio[:first]), borrowed))

    def _surrogate(
        self,
        rows: Rows,
        out: Evaluation,
        leader_mean: Tensor | None,
        log_prob: Tensor,
        ratio: Tensor,
        center: Tensor | float,
    ) -> tuple[Tensor, Tensor | None]:
        """Surrogate of every gradient row [g, q], and the followers' KL to the leader [follower, q] if it counts."""
        c, count = self.cfg, rows.sizes[0]
        if leader_mean is None:
            return losses.surrogate(rows.advantage, ratio, c.clip_param, center), None
        leader_log_std = self.model.log_std[-1].detach()
        means_only = self._is_regulated and c.coupling_kl == "means"
        kl = coupling.kl_to_leader(out.mean[:count], out.log_std[:count], leader_mean, leader_log_std, means_only)
        if self._is_regulated or c.kl_form == "closed_form":
            return losses.surrogate(rows.advantage, ratio, c.clip_param, center), kl
        leader_log_prob = gaussian.log_prob(rows.action[:count], leader_mean, leader_log_std)
        followers = losses.sampled_kl_surrogate(
            rows.advantage[:count], ratio[:count], log_prob[:count], leader_log_prob, c.kl_coef, c.clip_param
        )
        rest = center[count:] if isinstance(center, Tensor) else center
        others = losses.surrogate(rows.advantage[count:], ratio[count:], c.clip_param, rest)
        return torch.cat((followers, others)), kl

    def _by_role(
        self,
        row_loss: Tensor,
        ratio: Tensor,
        advantage: Tensor,
        center: Tensor | float,
        sizes: tuple[int, int, int, int],
        valid: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the surrogate's valid steps over roles, and its means and clipped fractions by role.

        The share of the leader's policy gradient that borrowed rows supply is measured where the gradient enters the
        network: the flow of borrowed rows over that of borrowed and own rows.
        """
        c = self.cfg
        weights = {"follower": c.follower_weight, "leader": c.leader_weight, "borrowed": c.borrowed_weight}
        with torch.no_grad():
            clipped = coupling.clipped(ratio, center, c.clip_param).split(sizes[:3])
            flow = (coupling.gradient_flow(row_loss, advantage, ratio) * valid).split(sizes[:3])
        total, parts = row_loss.new_zeros(()), {}
        by_role = zip(weights, (row_loss * valid).split(sizes[:3]), valid.split(sizes[:3]), clipped, strict=True)
        for size, (name, rows, valid_rows, clipped_rows) in zip(sizes, by_role, strict=False):
            if size:
                loss = rows.sum()
                total = total + weights[name] * loss
                parts[f"Loss/surrogate_{name}"] = loss / valid_count(valid_rows)
                parts[f"Ensemble/clipped_fraction_{name}"] = valid_mean(clipped_rows, valid_rows)
        if sizes[2]:
            own, lent = c.leader_weight * flow[1].sum(), c.borrowed_weight * flow[2].sum()
            parts["Ensemble/borrowed_gradient_share"] = lent / (lent + own).clamp(min=1.0e-12)
        return total, parts

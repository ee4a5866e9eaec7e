# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""CPO's diversity reward: followers are paid for being told apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.optimizer_state import load_optimizer
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import losses
from cpo_rl.formulas.means import valid_mean
from cpo_rl.models.actor_critic import EnsembleActorCritic
from cpo_rl.models.discriminator import Discriminator

VOID = -100
"""Label of transitions that the discriminator does not learn from; torch's cross-entropy leaves it out."""


class DiversityReward:
    """The discriminator, its optimizer and the reward it gives.

    Args:
        model: The actor-critic, for sizes.
        cfg: Algorithm settings.
        env_policy: Policy of each environment, [N].
        ranks: Processes that train together.
    """

    def __init__(self, model: EnsembleActorCritic, cfg: EnsembleCfg, env_policy: Tensor, ranks: Ranks) -> None:
        self.cfg, self.ranks = cfg, ranks
        self.env_policy = env_policy
        self.leader = model.num_policies - 1
        self.discriminator = Discriminator(
            model.num_obs, model.num_actions, model.num_policies, cfg.discriminator_hidden_dims
        ).to(env_policy.device, model.log_std.dtype)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=cfg.discriminator_learning_rate, fused=True
        )

    @torch.no_grad()
    def bonus(self, rollout: Rollout, metrics: DeviceMetrics) -> Tensor:
        """Reward of every transition, [N, T], from the discriminator as it is before this iteration's update.

        The reported mean is that before centering, which says how well followers are told apart.
        """
        rows = []
        for t in range(rollout.horizon):
            log_posterior = self.discriminator.log_posterior(rollout.observations[:, t], rollout.actions[:, t])
            rows.append(losses.diversity_bonus(log_posterior, self.env_policy, self.cfg.adversarial_coef, self.leader))
        bonus = torch.stack(rows, 1)
        followers = slice(0, bonus.shape[0] // (self.leader + 1) * self.leader)
        valid = rollout.valid[followers]
        metrics.add("Discriminator/bonus", valid_mean(bonus[followers], valid))
        if self.cfg.adversarial_centered:
            bonus[followers] -= self._means(bonus[followers], valid)
        return bonus

    def _means(self, bonus: Tensor, valid: Tensor) -> Tensor:
        """Mean reward of the follower that acts in each of the followers' environments, [N - B, 1], of all ranks."""
        by_follower = [x.reshape(self.leader, -1).sum(1) for x in (bonus * valid, valid)]
        total, count = self.ranks.sum(torch.stack(by_follower))
        return (total / count.clamp(min=1.0))[self.env_policy[: len(bonus)]].unsqueeze(1)

    def update(self, rollout: Rollout, generator: torch.Generator, bad: Tensor, metrics: DeviceMetrics) -> None:
        """One pass of cross-entropy over the rollout's valid transitions.

        Args:
            rollout: The transitions.
            generator: Shuffles them.
            bad: 1 if the rollout held a non-finite number, which leaves the weights alone; scalar.
            metrics: Receives loss, accuracy and chance.
        """
        obs, actions = rollout.observations.flatten(0, 1), rollout.actions.flatten(0, 1)
        valid = rollout.valid.flatten()
        order = torch.randperm(len(obs), generator=generator, device=obs.device)
        for rows in order.tensor_split(self.cfg.discriminator_mini_batches):
            labels = self.env_policy[torch.div(rows, rollout.horizon, rounding_mode="floor")]
            logits = self.discriminator(torch.cat((obs[rows], actions[rows]), -1))
            loss = F.cross_entropy(logits, torch.where(valid[rows] > 0, labels, VOID))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.ranks.average_gradients(self.discriminator.parameters())
            finite = torch.isfinite(
                torch.stack([p.grad.sum() for p in self.discriminator.parameters() if p.grad is not None])
            ).all()
            self.optimizer.found_inf = torch.maximum((~finite).to(bad.dtype), bad)  # type: ignore[attr-defined]
            self.optimizer.step()
            metrics.add("Discriminator/loss", loss)
            named = (logits.argmax(-1) == labels).to(valid.dtype)
            metrics.add("Discriminator/accuracy", valid_mean(named, valid[rows]))
        metrics.add("Discriminator/chance", torch.full_like(bad, 1.0 / (self.leader + 1)))

    def settings_changed(self) -> None:
        """Take over settings that were changed between two iterations."""
        self.optimizer.param_groups[0]["lr"] = self.cfg.discriminator_learning_rate

    def state_dict(self) -> dict:
        """Weights and optimizer."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict, with_optimizer: bool) -> None:
        """Restore :meth:`state_dict`."""
        self.discriminator.load_state_dict(state["discriminator"])
        if with_optimizer:
            load_optimizer(self.optimizer, state["optimizer"])
            self.settings_changed()  # loading brought the step size that was configured then

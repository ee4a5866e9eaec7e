# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Holds the followers at a wanted KL to the leader: measures it once per iteration, adapts an explicit penalty."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.roles import RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas.coupling import kl_to_leader
from cpo_rl.formulas.schedule import STRENGTH_MIN, STRENGTH_START, WAITING, regulate
from cpo_rl.models.actor_critic import EnsembleActorCritic

MAX_SAMPLE = 4096
"""Most rows of a follower that its KL is measured on."""

UNSEEN, BELOW, RISEN = 0.0, 1.0, 2.0
"""What a follower's KL has done: nothing yet, been below its target, risen to it from there."""

_STATE = ("strength", "lowest", "log_kl", "phase")


class CouplingRegulator:
    """Measures the KL of every follower to the leader and adapts the coefficients of its penalty.

    Followers begin alike and drift apart within tens of iterations. A coefficient that may fall to nothing meanwhile
    comes too late when they do, so its bound falls slowly until the KL has risen to its target once.

    Everything is a tensor that is changed in place, because recorded gradient steps know its address.

    Args:
        model: The actor-critic.
        cfg: Algorithm settings.
        tables: Role tables.
        ranks: Processes that train together.
    """

    def __init__(self, model: EnsembleActorCritic, cfg: EnsembleCfg, tables: RoleTables, ranks: Ranks) -> None:
        self.model, self.cfg, self.ranks = model, cfg, ranks
        self.followers = cfg.num_policies - 1
        like = model.log_std.detach()
        self.coef = like.new_zeros(self.followers)
        """Coefficients of the penalty by follower, [M-1]."""
        self.strength = like.new_full((self.followers,), STRENGTH_START)
        self.lowest = self.strength.clone()
        self.log_kl = like.new_full((self.followers,), math.nan)
        self.phase = like.new_full((self.followers,), UNSEEN)
        per_block = max(min(MAX_SAMPLE // cfg.sequence_length, tables.per_block), 1)
        picks = torch.linspace(0, tables.per_block - 1, per_block, device=like.device).long()
        starts = torch.arange(self.followers, device=like.device).unsqueeze(1) * tables.per_block
        self._sequences = (starts + picks).flatten()
        self.settings_changed()

    @torch.no_grad()
    def step(self, rollout: Rollout, bad: Tensor, metrics: DeviceMetrics) -> None:
        """Measure the rollout with the parameters it was made with, and adapt to it.

        Args:
            rollout: Recorded steps, with the means of the policies that acted.
            bad: 1 if the rollout held a non-finite number: nothing is adapted then; scalar.
            metrics: Receives KL and coefficient.
        """
        if self.cfg.coupling_target_kl == 0.0:
            return  # switched off in the course of the run
        measured = self.measure(rollout)
        kl = measured.mean().expand_as(measured) if self.cfg.coupling_shared else measured
        log_kl = torch.log(kl.clamp(min=1.0e-12) / self.cfg.coupling_target_kl)
        growth = torch.where(torch.isnan(self.log_kl), 0.0, log_kl - self.log_kl)
        phase = torch.where((self.phase == UNSEEN) & (log_kl < 0.0), BELOW, self.phase)
        phase = torch.where((self.phase == BELOW) & (log_kl >= 0.0), RISEN, phase)
        lowest = torch.where(phase == RISEN, 0.0, self.lowest * WAITING).clamp(min=STRENGTH_MIN)
        strength = regulate(self.strength, log_kl, growth, self.cfg.coupling_rate, lowest)
        sound = torch.isfinite(log_kl) & (bad == 0.0)
        for old, new in zip(
            (self.strength, self.lowest, self.log_kl, self.phase), (strength, lowest, log_kl, phase), strict=True
        ):
            old.copy_(torch.where(sound, new, old))
        self.settings_changed()
        metrics.add("Ensemble/coupling_kl", measured.mean())
        metrics.add("Ensemble/coupling_coef", self.coef.mean())
        for i in range(self.followers):
            metrics.add(f"Ensemble/coupling_kl_{i}", measured[i])
            metrics.add(f"Ensemble/coupling_coef_{i}", self.coef[i])

    @torch.no_grad()
    def measure(self, rollout: Rollout) -> Tensor:
        """Mean KL of every follower to the leader over valid steps of its own block, of all ranks [nat], [M-1].

        A recurrent leader starts every sequence from the state of the follower that acted, as in the penalty.
        """
        pick, leader = self._sequences, self.followers
        rows = rollout.sequences(rollout.inputs)[pick]
        self.model.mark(rows, torch.full((len(rows),), leader, device=rows.device))
        resets = None if rollout.resets is None else rollout.resets[pick]
        means = self.model.evaluate_inputs(rows, rollout.start_states(pick), resets, num_values=0).mean
        own = rollout.sequences(rollout.means)[pick]
        log_std = self.model.log_std[:leader].repeat_interleave(len(pick) // leader, 0).unsqueeze(1)
        kl = kl_to_leader(own, log_std, means, self.model.log_std[leader], self.cfg.coupling_kl == "means")
        valid = rollout.sequences(rollout.valid)[pick]
        sums = [x.reshape(leader, -1).sum(1, dtype=torch.float64) for x in (kl * valid, valid)]
        total, count = self.ranks.sum(torch.stack(sums))
        return (total / count).to(kl.dtype)  # NaN where nothing is valid, which adapts nothing

    def settings_changed(self) -> None:
        """Take over a changed target: the coefficient is what makes a penalty of ``strength`` at the target."""
        target = self.cfg.coupling_target_kl
        self.coef.copy_(self.strength / target if target > 0.0 else torch.zeros_like(self.coef))

    def state_dict(self) -> dict[str, Any]:
        """What a continuation needs; it belongs to the weights, with which it travels in a population."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        for name in _STATE:
            getattr(self, name).copy_(state[name])
        self.settings_changed()

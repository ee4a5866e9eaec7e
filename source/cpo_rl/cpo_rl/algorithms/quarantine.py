# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Quarantine: which transitions are void, how many there were, and when they are too many.

A transition (s_t, a_t, r_t, s_{t+1}) is void where the environment says so (:func:`cpo_rl.step_extras.quarantined`),
where its reward is not finite or beyond ``absurd_reward``, where its observation s_t is not finite or beyond
``absurd_observation``, and where s_{t+1} is, unless the episode ended. What the network itself says makes no transition
void: it holds the whole update back. Everything stays on the device: an iteration reads the counts together with its
other metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.finite_guard import FiniteGuard
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.models.actor_critic import EnsembleActorCritic
from cpo_rl.step_extras import idle, quarantine_reasons, quarantined

OWN = ("actions", "action noise", "values")
"""What the network says: its actions, their log-density, which tells of the noise, and its values."""


def most_of(cfg: EnsembleCfg) -> dict[str, float]:
    """Return the largest magnitudes of :data:`OWN` that are not absurd."""
    values = cfg.absurd_output if cfg.normalize_values else max(cfg.absurd_output, cfg.absurd_reward)
    return {"actions": cfg.absurd_output, "action noise": cfg.absurd_output, "values": values}


class Quarantine:
    """Judges every step of an iteration.

    Args:
        model: The actor-critic, which says how observations are read.
        cfg: Algorithm settings.
        guard: Remembers what was wrong first, for the report.
        ranks: Processes that train together.
        num_envs: Environments N of this process.
    """

    def __init__(
        self, model: EnsembleActorCritic, cfg: EnsembleCfg, guard: FiniteGuard, ranks: Ranks, num_envs: int
    ) -> None:
        self.model, self.cfg, self.guard, self.ranks, self.num_envs = model, cfg, guard, ranks, num_envs
        self.observation = torch.zeros(num_envs, model.num_read, device=guard.device)
        """Observations of the current step as they are learned from, [N, D + D_c]."""
        self._bad_observation = torch.zeros(num_envs, device=guard.device, dtype=torch.bool)
        self._next: tuple[TensorDict, Tensor, Tensor] | None = None
        self.void = self._bad_observation
        """Whether the last step was void, bool [N]."""
        self.touched = self._bad_observation
        """Environments with a void step in this iteration, bool [N]."""
        self._counts: dict[tuple[str, ...], Tensor] = {}
        self._declared: tuple[tuple[str, ...], Tensor] | None = None
        self._too_many = torch.zeros((), device=guard.device)
        self.held = torch.zeros((), device=guard.device)
        """1 if a number of our own was not finite or absurd in the last iteration, on any rank, else 0; scalar."""

    def begin(self) -> None:
        """Forget the last iteration."""
        self.guard.clear()
        self.touched = torch.zeros_like(self.touched)
        self._counts, self._next, self._declared = {}, None, None

    def observe(self, obs: TensorDict, step: int) -> Tensor:
        """Observations [N, D + D_c] that are acted on now, with what is not finite or absurd set to 0.

        Args:
            obs: Observations by group; those that :meth:`judge` has just seen are not looked at again.
            step: Step within the rollout.
        """
        if self._next is None or self._next[0] is not obs:
            self._next = self._look(obs, step)
        _, self.observation, self._bad_observation = self._next
        return self.observation

    def own(self, name: str, tensor: Tensor, step: int) -> Tensor:
        """Numbers [N, ...] that the network said, with what is not finite or absurd set to 0, and noted.

        Args:
            name: One of :data:`OWN`, for the report.
            tensor: The numbers; values as the critic says them.
            step: Step within the rollout.
        """
        tensor, bad = self.guard.clean(name, tensor, step, most_of(self.cfg)[name])
        self.guard.hold_back(bad)
        return tensor

    def judge(
        self, rewards: Tensor, next_obs: TensorDict, done: Tensor, extras: Mapping[str, Any], step: int
    ) -> tuple[Tensor, Tensor]:
        """Judge a step.

        Args:
            rewards: Unscaled rewards, [N].
            next_obs: Observations after it, by group.
            done: Whether an episode ended, so that ``next_obs`` belongs to the next one, bool [N].
            extras: The step's extras.
            step: Step within the rollout.

        Returns:
            Rewards with what is not finite or absurd set to 0, [N], and which steps are void, bool [N].
        """
        rewards, bad_reward = self.guard.clean("rewards", rewards, step, self.cfg.absurd_reward)
        self._next = self._look(next_obs, step + 1)
        found = {"reward": bad_reward, "observation": self._bad_observation | (self._next[2] & ~done)}
        void = found["reward"] | found["observation"]
        declared = quarantined(extras)
        if declared is not None:
            declared = declared.to(void.device)
            for name, where in quarantine_reasons(extras).items():
                where = where.to(void.device) & declared
                found[name] = found[name] | where if name in found else where
            void = void | declared
        self._count({"": void, **found}, declared, step)
        waiting = idle(extras)
        self.touched = self.touched | void
        self.void = void if waiting is None else void | waiting.to(void.device)  # no fault, so it is not counted
        return rewards, self.void

    def settle(self, metrics: DeviceMetrics) -> Tensor:
        """Report the iteration's counts; return 1 if its update must leave the weights alone, else 0, scalar.

        That is so if a number of our own was not finite, or if more than ``quarantine_stop_fraction`` of the
        environments of all ranks had a void step.
        """
        held, touched = self.ranks.sum(torch.stack((self.guard.flag, self.touched.sum().to(self.guard.flag.dtype))))
        most = self.cfg.quarantine_stop_fraction * self.num_envs * self.ranks.world_size
        self.held, self._too_many = held.clamp(max=1.0), (touched > most).to(held.dtype)
        for names, counts in self._counts.items():
            for name, count in zip(names, counts * self.ranks.world_size, strict=True):  # metrics are means over ranks
                metrics.add(f"Env/quarantined_{name}" if name else "Env/quarantined", count)
        return torch.maximum(self.held, self._too_many)

    def report(self) -> dict[str, Any] | None:
        """Why the last update was held back, as :class:`~cpo_rl.contracts.GuardedAlgorithm` says; reads the device."""
        first = self.guard.report(*OWN) if not float(self._too_many) else self.report_void()
        if first is None and float(self._too_many):
            return {"tensor": "environments of another process", "step": None, "env_ids": []}
        return first

    def report_void(self) -> dict[str, Any] | None:
        """The first number of this process that was not finite or absurd, whether or not it held an update back."""
        first = self.guard.report("environment", "observations", "rewards", *OWN)
        if first is not None and first["tensor"] == "environment" and self._declared:
            names, found = self._declared
            why = found[:, first["env_ids"]].any(1).tolist()
            first["reasons"] = [name for name, is_one in zip(names, why, strict=True) if name and is_one]
        return first

    def _look(self, obs: TensorDict, step: int) -> tuple[TensorDict, Tensor, Tensor]:
        """The observations, what is learned from of them [N, D + D_c], and where something had to be set to 0, [N]."""
        raw = self.model.read_obs(obs).to(self.model.log_std.dtype)
        return obs, *self.guard.clean("observations", raw, step, self.cfg.absurd_observation)

    def _count(self, found: dict[str, Tensor], declared: Tensor | None, step: int) -> None:
        """Count void steps by reason, and keep the reasons of what each environment first declared."""
        names, table = tuple(found), torch.stack(tuple(found.values()))
        counts = table.sum(1).to(torch.float64)
        self._counts[names] = self._counts[names] + counts if names in self._counts else counts
        if declared is not None:
            newly = self.guard.note("environment", declared, step)
            known = self._declared[1] if self._declared and self._declared[0] == names else torch.zeros_like(table)
            self._declared = names, torch.where(newly, table, known)

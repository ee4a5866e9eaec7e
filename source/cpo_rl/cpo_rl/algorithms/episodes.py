# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Returns, lengths and task metrics of finished episodes, per policy."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class EpisodeStatistics:
    """Keeps the outcome of each environment's last finished episode and averages it per policy.

    The outcome of an environment stays until its next episode ends, so a value exists in every iteration once each
    block finished an episode (common.py: the reference counts the last block only; here every policy is kept).

    Args:
        num_envs: N.
        num_policies: M, dividing N.
        device: Where episodes are counted.
    """

    def __init__(self, num_envs: int, num_policies: int, device: torch.device | str) -> None:
        self.num_policies = num_policies
        self.running_return = torch.zeros(num_envs, device=device)
        self.running_length = torch.zeros(num_envs, device=device)
        self.finished = torch.zeros(num_envs, device=device, dtype=torch.bool)
        self.last: dict[str, Tensor] = {
            "return": torch.zeros(num_envs, device=device),
            "episode_length": torch.zeros(num_envs, device=device),
        }

    def step(self, rewards: Tensor, dones: Tensor, task_metrics: dict[str, Tensor] | None) -> None:
        """Count one environment step.

        Args:
            rewards: Unscaled rewards, [N].
            dones: Episodes that ended, bool [N].
            task_metrics: The task's values of the last finished episode, each [N].
        """
        self.running_return += rewards
        self.running_length += 1
        outcomes = {"return": self.running_return, "episode_length": self.running_length, **(task_metrics or {})}
        for name, value in outcomes.items():
            value = value.to(self.running_return.device, torch.float32)
            if name not in self.last:
                self.last[name] = torch.zeros_like(self.running_return)
            self.last[name].copy_(torch.where(dones, value, self.last[name]))
        self.finished |= dones
        self.running_return.masked_fill_(dones, 0.0)
        self.running_length.masked_fill_(dones, 0.0)

    def per_policy(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Sum over each policy's finished episodes and their number, both [M], by name; sums add up over processes."""
        weight = self.finished.view(self.num_policies, -1).to(torch.float32)
        count = weight.sum(1)
        return {n: ((v.view(self.num_policies, -1) * weight).sum(1), count) for n, v in self.last.items()}

    def objective(self) -> float | None:
        """Score of all policies: mean over environments of the last finished episode; reads the device.

        Returns:
            The task's ``objective`` if it reports one, else its ``successes``, else the return; None until every
            environment has finished an episode since the start or :meth:`forget_finished`.
        """
        name = next(n for n in ("objective", "successes", "return") if n in self.last)
        unknown = torch.full_like(self.running_return[0], torch.nan)
        score = float(torch.where(self.finished.all(), self.last[name].mean(), unknown))
        return score if math.isfinite(score) else None

    def forget_finished(self) -> None:
        """Count outcomes of episodes that end from now on only."""
        self.finished.zero_()

    def forget_running(self) -> None:
        """Start counting new episodes; outcomes of finished ones stay."""
        self.running_return.zero_()
        self.running_length.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that must survive a resume."""
        return {
            "running_return": self.running_return,
            "running_length": self.running_length,
            "finished": self.finished,
            **{f"last/{n}": v for n, v in self.last.items()},
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore :meth:`state_dict`; another number of environments starts the statistics anew."""
        if state["finished"].shape != self.finished.shape:
            return
        self.running_return.copy_(state["running_return"])
        self.running_length.copy_(state["running_length"])
        self.finished.copy_(state["finished"])
        for name, value in state.items():
            if name.startswith("last/"):
                self.last[name.removeprefix("last/")] = value.to(self.finished.device).clone()

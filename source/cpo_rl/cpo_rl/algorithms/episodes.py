# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Episodes: one counter turns environment steps into finished episodes, and small views keep what each use needs.

:class:`EpisodeCounter` counts for training, evaluation and playback alike. Training looks at what it finished through
:class:`LastEpisodes` (per policy) and :class:`EpisodeSums` (per iteration). Everything stays on the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cpo_rl import step_extras
from cpo_rl.contracts import Environment


@dataclass(frozen=True)
class Ends:
    """How episodes ended; exactly one of the three holds where one ended, each bool [N]."""

    time_out: Tensor
    """By the time limit."""

    fall: Tensor
    """By a failure."""

    perfect: Tensor
    """By neither: the last goal was reached."""


@dataclass(frozen=True)
class CountedStep:
    """What one step did. Episodes are counted up to and including this step, also those that it ended."""

    done: Tensor
    """Whether an episode ended that counts: one with a void step does not, bool [N]."""

    rewards: Tensor
    """Rewards of the step in the task's units, [N]."""

    returns: Tensor
    """Sum of the episode's rewards, float [N]."""

    lengths: Tensor
    """Steps of the episode, float [N]."""

    metrics: Mapping[str, Tensor]
    """The task's own values of each environment's last finished episode, [N] by name; true where ``done``."""

    ends: Ends | None = None
    """How the episodes ended; None if the counter was not given an environment."""

    goals: Tensor | None = None
    """Goals reached in this step, float [N]; None without an environment that counts them."""

    first_goal: Tensor | None = None
    """Steps of the episode until its first goal, float [N], NaN before; None like ``goals``."""


class EpisodeCounter:
    """Counts running episodes and hands over each step what it knows about those that ended.

    Args:
        num_envs: N.
        device: Where episodes are counted.
        env: Says how episodes end and counts goals; without it both stay unknown.
    """

    def __init__(self, num_envs: int, device: torch.device | str, env: Environment | None = None) -> None:
        self.returns = torch.zeros(num_envs, device=device)
        """Sum of rewards of the running episode, [N]."""
        self.lengths = torch.zeros(num_envs, device=device)
        """Steps of the running episode, [N]."""
        self._goals = torch.zeros(num_envs, device=device)
        self._first_goal = torch.full((num_envs,), math.nan, device=device)
        self._env = env

    def step(
        self, rewards: Tensor, dones: Tensor, extras: Mapping[str, Any], void: Tensor | None = None
    ) -> CountedStep:
        """Count one environment step.

        An episode with a void step has no return. It is marked by NaN as its running return until it ends, and its end
        counts as none.

        Args:
            rewards: Rewards in the task's units, [N].
            dones: Ends of episodes, [N], nonzero where one ended.
            extras: The step's extras; ``episode_metrics`` (task values, [N] by name) and ``time_outs`` [N] are used.
            void: Void steps, bool [N]; what the extras say by default.
        """
        ended = dones.bool()
        void = step_extras.void(extras) if void is None else void
        metrics: Mapping[str, Tensor] = extras.get("episode_metrics") or {}
        self.returns += rewards
        self.lengths += 1
        if void is not None:
            self.returns.masked_fill_(void.to(self.returns.device), math.nan)
        done = ended & ~self.returns.isnan()
        counted = CountedStep(done, rewards, self.returns.clone(), self.lengths.clone(), metrics)
        if self._env is not None:
            counted = self._watch(self._env, counted, ended, extras)
        self.returns.masked_fill_(ended, 0.0)
        self.lengths.masked_fill_(ended, 0.0)
        return counted

    def _watch(self, env: Environment, counted: CountedStep, ended: Tensor, extras: Mapping[str, Any]) -> CountedStep:
        """Add what the environment knows: how episodes ended and which goals were reached.

        A new episode begins where one ``ended`` [N], also where that end does not count.
        """
        done, metrics = counted.done, counted.metrics
        terminated = env.terminated
        if terminated is None:
            time_outs = extras.get("time_outs")
            terminated = done if time_outs is None else done & ~time_outs.bool()
        fell = env.fell
        fall = done & (terminated if fell is None else fell)
        ends = Ends(time_out=done & ~terminated, fall=fall, perfect=done & terminated & ~fall)
        goals = first_goal = None
        if env.successes is not None:
            # the count of an episode that has just ended is kept in the task's metrics
            total = torch.where(done, metrics["successes"], env.successes) if "successes" in metrics else env.successes
            total = torch.where(ended & ~done, self._goals, total)
            goals = (total - self._goals).clamp(min=0.0)
            first_goal = torch.where((total > 0) & self._first_goal.isnan(), counted.lengths, self._first_goal)
            self._goals.copy_(total.masked_fill(ended, 0.0))
            self._first_goal.copy_(first_goal.masked_fill(ended, math.nan))
        return replace(counted, ends=ends, goals=goals, first_goal=first_goal)

    def forget(self) -> None:
        """Start counting new episodes everywhere."""
        for running in (self.returns, self.lengths, self._goals):
            running.zero_()
        self._first_goal.fill_(math.nan)


class LastEpisodes:
    """The outcome of each environment's last finished episode, averaged per policy.

    The outcome of an environment stays until its next episode ends, so a value exists in every iteration once each
    block finished an episode (common.py: the reference counts the last block only; here every policy is kept).

    Args:
        num_envs: N.
        num_policies: M, dividing N.
        device: Where episodes are counted.
    """

    def __init__(self, num_envs: int, num_policies: int, device: torch.device | str) -> None:
        self.num_policies = num_policies
        self.running = EpisodeCounter(num_envs, device)
        self.finished = torch.zeros(num_envs, device=device, dtype=torch.bool)
        self.last: dict[str, Tensor] = {
            "return": torch.zeros(num_envs, device=device),
            "episode_length": torch.zeros(num_envs, device=device),
        }

    def step(self, rewards: Tensor, dones: Tensor, extras: Mapping[str, Any], void: Tensor | None = None) -> None:
        """Count one environment step; arguments as for :meth:`EpisodeCounter.step`."""
        counted = self.running.step(rewards, dones, extras, void)
        outcomes = {"return": counted.returns, "episode_length": counted.lengths, **counted.metrics}
        for name, value in outcomes.items():
            value = value.to(counted.returns.device, torch.float32)
            if name not in self.last:
                self.last[name] = torch.zeros_like(counted.returns)
            self.last[name].copy_(torch.where(counted.done, value, self.last[name]))
        self.finished |= counted.done

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
        unknown = torch.full_like(self.last[name][0], torch.nan)
        score = float(torch.where(self.finished.all(), self.last[name].mean(), unknown))
        return score if math.isfinite(score) else None

    def forget_finished(self) -> None:
        """Count outcomes of episodes that end from now on only."""
        self.finished.zero_()

    def forget_running(self) -> None:
        """Start counting new episodes; outcomes of finished ones stay."""
        self.running.forget()

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that must survive a resume."""
        return {
            "running_return": self.running.returns,
            "running_length": self.running.lengths,
            "finished": self.finished,
            **{f"last/{n}": v for n, v in self.last.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore :meth:`state_dict`; another number of environments starts the statistics anew."""
        if any(tensor.shape != self.finished.shape for tensor in state.values()):
            return
        self.running.returns.copy_(state["running_return"])
        self.running.lengths.copy_(state["running_length"])
        self.finished.copy_(state["finished"])
        for name, value in state.items():
            if name.startswith("last/"):
                self.last[name.removeprefix("last/")] = value.to(self.finished.device).clone()


class EpisodeSums:
    """Number, summed return and summed length of the episodes that finish during an iteration, over all environments.

    Args:
        num_envs: N.
        device: Where episodes are counted.
    """

    def __init__(self, num_envs: int, device: torch.device | str) -> None:
        self.running = EpisodeCounter(num_envs, device)
        self._sums = torch.zeros(3, device=device)

    def step(self, rewards: Tensor, dones: Tensor, extras: Mapping[str, Any], void: Tensor | None = None) -> None:
        """Count one environment step; arguments as for :meth:`EpisodeCounter.step`."""
        counted = self.running.step(rewards, dones, extras, void)
        # where(), not a product: an infinite return times zero would be NaN in the environments that did not finish
        zero = torch.zeros_like(counted.returns[0])
        finished = [torch.where(counted.done, value, zero).sum() for value in (counted.returns, counted.lengths)]
        self._sums += torch.stack([counted.done.to(zero.dtype).sum(), *finished])

    def read(self) -> Tensor:
        """Return [count, sum of returns, sum of lengths] of episodes finished since the last call, on the device."""
        sums = self._sums.clone()
        self._sums.zero_()
        return sums

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running episodes, for a checkpoint."""
        return {"reward": self.running.returns, "length": self.running.lengths}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue the running episodes; new ones start if the number of environments differs."""
        if any(tensor.shape != self.running.returns.shape for tensor in state.values()):
            self.forget_running()
            return
        self.running.returns.copy_(state["reward"])
        self.running.lengths.copy_(state["length"])

    def forget_running(self) -> None:
        """Start counting new episodes."""
        self.running.forget()

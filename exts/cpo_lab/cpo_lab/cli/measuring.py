# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Counting episodes without favouring short ones, and without waiting for the device at every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cpo_rl.errors import UserError

_CHECK_INTERVAL = 16
"""Steps between two looks at whether all episodes are in; each look waits for the device."""


@dataclass
class Episodes:
    """Finished episodes, one entry per episode in each array."""

    policy: NDArray[np.int64]
    """Policy that acted."""
    shape: NDArray[np.int64]
    """Index of the object's shape; zeros where the task has one object."""
    values: dict[str, NDArray[np.float64]]
    """Per quantity one value per episode; NaN where it does not exist (no success, so no time to it).

    ``return``: sum of rewards. ``length``: steps. ``fall``: 1 if the episode was ended by failure. ``time_to_success``
    and ``time_per_success``: seconds. Others, such as ``successes``: the task's own episode metrics.
    """

    def select(self, policy: int | None = None, shape: int | None = None) -> Episodes:
        """The episodes of one policy or one shape; None for any."""
        chosen = np.ones(self.policy.size, dtype=bool)
        if policy is not None:
            chosen &= self.policy == policy
        if shape is not None:
            chosen &= self.shape == shape
        return Episodes(self.policy[chosen], self.shape[chosen], {k: v[chosen] for k, v in self.values.items()})


def chosen_policies(choice: str, num_policies: int) -> list[int]:
    """Return the policies that a choice means.

    Args:
        choice: ``leader``, ``each``, ``all`` or a number.
        num_policies: Policies M; the leader is M-1.

    Raises:
        UserError: If there is no such policy.
    """
    if choice in ("each", "all"):
        return list(range(num_policies))
    if choice == "leader":
        return [num_policies - 1]
    if choice.isdigit() and int(choice) < num_policies:
        return [int(choice)]
    raise UserError(f"--policy {choice!r} must be leader, each, all or 0 to {num_policies - 1} (the leader).")


def object_shapes(env: Any) -> tuple[list[str], Tensor | None]:
    """Return the object shapes of a task.

    Args:
        env: Running environment.

    Returns:
        Names of the different shapes (edges in millimetres) and which of them each environment has [N]; an empty list
        and None where there is only one object.
    """
    scale = getattr(env.unwrapped, "object_scale", None)
    if scale is None:
        return [], None
    from cpo_lab.assets.cuboids import BASE_EDGE

    edges, which = torch.unique((1000.0 * BASE_EDGE * scale).round().long(), dim=0, return_inverse=True)
    return ["x".join(str(edge) for edge in row) for row in edges.tolist()], which


class _Recorder:
    """Writes the first ``quota`` episodes of every environment into tables on the device.

    Taking the episodes that finish first would favour short ones: where many environments run side by side, failures
    come in before successes. A fixed number per environment does not.
    """

    def __init__(self, env: Any, quota: int) -> None:
        self.env, self.quota = env.unwrapped, quota
        self.device = self.env.device
        self.max_successes = int(getattr(getattr(self.env, "cfg", None), "max_successes", 0))
        n = env.num_envs
        self.counts = torch.zeros(n, dtype=torch.long, device=self.device)
        self.returns = torch.zeros(n, device=self.device)
        self.lengths = torch.zeros(n, device=self.device)
        self.first_success = torch.full((n,), math.nan, device=self.device)
        self.reached = torch.zeros(n, device=self.device)
        self.tables: dict[str, Tensor] = {}
        self.slots = torch.arange(quota, device=self.device).unsqueeze(1)

    def step(self, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Account for one step: rewards [N] and dones [N]."""
        done = dones.bool()
        self.returns += rewards
        self.lengths += 1.0
        metrics = extras.get("episode_metrics", {})
        self._watch_successes(done, metrics)
        values = {"return": self.returns, "length": self.lengths, "fall": self._fell(done, extras, metrics)}
        if "successes" in metrics:
            seconds = self.lengths * getattr(self.env, "step_dt", math.nan)
            values["time_to_success"] = self.first_success
            values["time_per_success"] = torch.where(metrics["successes"] > 0, seconds / metrics["successes"], math.nan)
        values.update(metrics)
        self._store(done, values)
        self.counts += done
        for running, start in ((self.returns, 0.0), (self.lengths, 0.0), (self.first_success, math.nan)):
            running.masked_fill_(done, start)
        self.reached.masked_fill_(done, 0.0)

    def _watch_successes(self, done: Tensor, metrics: dict[str, Tensor]) -> None:
        """Notice the first success of the running episodes; the counter of a finished one is in the metrics."""
        counter = getattr(self.env, "successes", None)
        if counter is None or "successes" not in metrics:
            return
        total = torch.where(done, metrics["successes"], counter)
        first = (total > 0) & (self.reached == 0) & self.first_success.isnan()
        self.first_success.copy_(
            torch.where(first, self.lengths * getattr(self.env, "step_dt", math.nan), self.first_success)
        )
        self.reached.copy_(total)

    def _fell(self, done: Tensor, extras: dict[str, Any], metrics: dict[str, Tensor]) -> Tensor:
        """Whether an episode ended by failure: not by the time limit and not by reaching the last goal."""
        terminated = getattr(self.env, "reset_terminated", None)
        if terminated is None:
            time_outs = extras.get("time_outs")
            terminated = done if time_outs is None else done & ~time_outs.bool()
        if self.max_successes and "successes" in metrics:
            terminated = terminated & (metrics["successes"] < self.max_successes)
        return terminated.float()

    def _store(self, done: Tensor, values: dict[str, Tensor]) -> None:
        write = done & (self.slots == self.counts)  # [quota, N]; empty for environments that have enough
        for name, value in values.items():
            if name not in self.tables:
                self.tables[name] = torch.full(write.shape, math.nan, device=self.device)
            self.tables[name] = torch.where(write, value.to(torch.float).expand_as(write), self.tables[name])

    @property
    def finished(self) -> int:
        """Episodes recorded so far; waits for the device."""
        return int(self.counts.clamp(max=self.quota).sum())


def measure(
    env: Any,
    policy: Any,
    policies: list[int],
    episodes: int,
    *,
    stochastic: bool = False,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> Episodes:
    """Let policies act until each has finished a number of episodes, the same number in every environment.

    Args:
        env: rsl_rl environment of N environments, dealt to the policies in turn.
        policy: Actor-critic, called with observations and policy ids.
        policies: Policies to measure, at most N.
        episodes: Episodes per policy, at least; rounded up to a multiple of the environments of a policy.
        stochastic: Sample actions as in training instead of taking their mean.
        progress: Told the episodes finished and wanted.

    Returns:
        The episodes.

    Raises:
        UserError: If there are fewer environments than policies.
    """
    n, device = env.num_envs, env.unwrapped.device
    if n < len(policies):
        raise UserError(f"--num_envs {n} is less than the {len(policies)} policies to measure; give at least as many.")
    # in turn, not in blocks: objects are dealt to environments in turn as well, in numbers that do not divide this one
    ids = torch.tensor(policies, device=device)[torch.arange(n, device=device) % len(policies)]
    quota = -(-episodes // (n // len(policies)))
    with torch.inference_mode():
        observations, _ = env.reset()
        recorder = _Recorder(env, quota)
        policy.eval()
        policy.reset()
        # A task that exceeds this many steps does not end its episodes; the arms' clock starts anew at every success.
        clocks = recorder.max_successes + 1
        limit = (quota + 1) * clocks * int(env.max_episode_length) + _CHECK_INTERVAL
        for step in range(limit):
            if step % _CHECK_INTERVAL == 0:
                finished = recorder.finished
                progress(finished, quota * n)
                if finished >= quota * n:
                    break
            actions = policy(observations.to(device), ids, stochastic_output=stochastic)
            observations, rewards, dones, extras = env.step(actions)
            policy.reset(dones)
            recorder.step(rewards, dones, extras)
        progress(recorder.finished, quota * n)
    return _collect(recorder, ids, env)


def _collect(recorder: _Recorder, ids: Tensor, env: Any) -> Episodes:
    """Moves the tables to the host and flattens them, leaving out slots that stayed empty."""
    quota, n = recorder.quota, ids.numel()
    _, which = object_shapes(env)
    shape = torch.zeros_like(ids) if which is None else which
    filled = (recorder.slots < recorder.counts).cpu().numpy().ravel()
    values = {name: table.double().cpu().numpy().ravel()[filled] for name, table in recorder.tables.items()}

    def spread(per_env: Tensor) -> NDArray[np.int64]:
        return np.broadcast_to(per_env.cpu().numpy(), (quota, n)).ravel()[filled]

    return Episodes(spread(ids), spread(shape), values)

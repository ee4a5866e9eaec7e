# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Rollouts of trained policies: for some steps, to be watched, or for some episodes, to be measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cpo_lab.ui.session import blocks
from cpo_rl.algorithms.episodes import CountedStep, EpisodeCounter
from cpo_rl.contracts import Environment, EnvironmentSettings
from cpo_rl.errors import UserError

if TYPE_CHECKING:
    from cpo_lab.ui.live import Live

_CHECK_INTERVAL = 16
"""Steps between two looks at whether all episodes are in; each look waits for the device."""


class _Rollout:
    """Policies in a running environment, one step at a time.

    Args:
        env: rsl_rl environment of N environments.
        model: The ensemble's actor-critic; called with observations and policy ids.
        ids: Policy of each environment [N].
        observations: What the policies see first.
        stochastic: Sample actions as in training instead of taking their mean.
    """

    def __init__(self, env: Any, model: Any, ids: Tensor, observations: Any, stochastic: bool) -> None:
        self.env, self.model, self.stochastic = env, model, stochastic
        self.device = env.unwrapped.device
        self.ids = ids.to(self.device)
        self.counter = EpisodeCounter(env.num_envs, self.device, Environment(env))
        self.observations = observations
        model.eval()

    def step(self) -> CountedStep:
        """Act once in every environment."""
        with torch.inference_mode():
            actions = self.model(self.observations.to(self.device), self.ids, stochastic_output=self.stochastic)
            self.observations, rewards, dones, extras = self.env.step(actions)
            self.model.reset(dones)
            return self.counter.step(rewards, dones, extras)


# -- for some steps ----------------------------------------------------------------------------------------------------


@dataclass
class PolicyTally:
    """What one policy achieved."""

    policy: int
    """Index of the policy."""

    steps: int = 0
    """Environment steps it acted in."""

    reward: float = 0.0
    """Sum of its rewards, unscaled."""

    returns: list[float] = field(default_factory=list)
    """Return of each finished episode."""

    metrics: dict[str, list[float]] = field(default_factory=dict)
    """Values of the task's episode metrics, one per finished episode."""


def side_by_side(policies: Sequence[int], num_envs: int) -> Tensor:
    """Return which policy acts in which environment: blocks of equal size, as in training.

    Args:
        policies: Policies that act, at most N.
        num_envs: Environments N.

    Returns:
        Policy ids [N].
    """
    return torch.from_numpy(blocks(list(policies), num_envs))


def run_steps(
    env: Any,
    model: Any,
    ids: Tensor,
    steps: int | None,
    *,
    stochastic: bool = False,
    live: Live | None = None,
    after_step: Callable[[int, CountedStep], None] | None = None,
) -> list[PolicyTally]:
    """Let policies act for a number of steps.

    Args:
        env: rsl_rl environment of N environments.
        model: The ensemble's actor-critic; called with observations and policy ids.
        ids: Policy of each environment [N].
        steps: Environment steps, or None to run until the viewer is closed.
        stochastic: Sample actions as in training instead of taking their mean.
        live: What shows them in viewers, where somebody may choose who acts; episodes of several policies count for
            none.
        after_step: Called with the number of finished steps and what the last one did.

    Returns:
        One tally per policy that acted, by index.
    """
    rollout = _Rollout(env, model, ids, env.get_observations(), stochastic)
    tallies: dict[int, PolicyTally] = {}
    count = 0
    while (steps is None or count < steps) and env.unwrapped.sim.is_running():
        if live is not None:
            rollout.ids = live.cast()
        counted = rollout.step()
        count += 1
        ended = counted.done if live is None else live.after_step(counted, rollout.observations)
        for policy in rollout.ids.unique().tolist():
            tally = tallies.setdefault(policy, PolicyTally(policy))
            own = rollout.ids == policy
            tally.steps += int(own.sum())
            tally.reward += float(counted.rewards[own].sum())
        for index in ended.nonzero().flatten().tolist():
            tally = tallies[int(rollout.ids[index])]
            tally.returns.append(float(counted.returns[index]))
            for name, values in counted.metrics.items():
                tally.metrics.setdefault(name, []).append(float(values[index]))
        if after_step:
            after_step(count, counted)
    return [tallies[policy] for policy in sorted(tallies)]


# -- for some episodes -------------------------------------------------------------------------------------------------


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


def object_shapes(env: Any) -> tuple[list[str], Tensor | None]:
    """Return the object shapes of a task.

    Args:
        env: Running environment.

    Returns:
        Names of the different shapes (edges in millimetres) and which of them each environment has [N]; an empty list
        and None where there is only one object.
    """
    scale = Environment(env).object_scale
    if scale is None:
        return [], None
    from cpo_lab.assets.cuboids import BASE_EDGE

    edges, which = torch.unique((1000.0 * BASE_EDGE * scale).round().long(), dim=0, return_inverse=True)
    return ["x".join(str(edge) for edge in row) for row in edges.tolist()], which


class _FirstEpisodes:
    """The first ``quota`` episodes of every environment, as tables on the device.

    Taking the episodes that finish first would favour short ones: where many environments run side by side, failures
    come in before successes. A fixed number per environment does not.
    """

    def __init__(self, num_envs: int, quota: int, step_s: float, device: torch.device | str) -> None:
        self.quota, self.step_s = quota, step_s
        self.counts = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.tables: dict[str, Tensor] = {}
        self.slots = torch.arange(quota, device=device).unsqueeze(1)

    def add(self, counted: CountedStep) -> None:
        """Keep the episodes that a step has ended."""
        assert counted.ends is not None
        values = {"return": counted.returns, "length": counted.lengths, "fall": counted.ends.fall}
        if "successes" in counted.metrics:
            successes, seconds = counted.metrics["successes"], counted.lengths * self.step_s
            first = counted.first_goal
            values["time_to_success"] = torch.full_like(seconds, math.nan) if first is None else first * self.step_s
            values["time_per_success"] = torch.where(successes > 0, seconds / successes, math.nan)
        values.update(counted.metrics)
        write = counted.done & (self.slots == self.counts)  # [quota, N]; empty for environments that have enough
        for name, value in values.items():
            if name not in self.tables:
                self.tables[name] = torch.full(write.shape, math.nan, device=value.device)
            self.tables[name] = torch.where(write, value.to(torch.float).expand_as(write), self.tables[name])
        self.counts += counted.done

    @property
    def finished(self) -> int:
        """Episodes kept so far; waits for the device."""
        return int(self.counts.clamp(max=self.quota).sum())

    def collect(self, ids: Tensor, shape: Tensor | None) -> Episodes:
        """Move the tables to the host and flatten them, leaving out slots that stayed empty.

        Args:
            ids: Policy of each environment [N].
            shape: Index of each environment's object shape [N], None where there is one object.
        """
        filled = (self.slots < self.counts).cpu().numpy().ravel()
        values = {name: table.double().cpu().numpy().ravel()[filled] for name, table in self.tables.items()}

        def spread(per_env: Tensor) -> NDArray[np.int64]:
            return np.broadcast_to(per_env.cpu().numpy(), (self.quota, ids.numel())).ravel()[filled]

        return Episodes(spread(ids), spread(torch.zeros_like(ids) if shape is None else shape), values)


def run_episodes(
    env: Any,
    model: Any,
    policies: Sequence[int],
    episodes: int,
    *,
    stochastic: bool = False,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> Episodes:
    """Let policies act until each has finished a number of episodes, the same number in every environment.

    Args:
        env: rsl_rl environment of N environments, dealt to the policies in turn.
        model: Actor-critic, called with observations and policy ids.
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
        model.reset()
    rollout = _Rollout(env, model, ids, observations, stochastic)
    first = _FirstEpisodes(n, quota, Environment(env).step_dt, device)
    # A task that exceeds this many steps does not end its episodes; the arms' clock starts anew at every success.
    clocks = EnvironmentSettings(Environment(env).cfg).goals_per_episode + 1
    limit = (quota + 1) * clocks * int(env.max_episode_length) + _CHECK_INTERVAL
    for step in range(limit):
        if step % _CHECK_INTERVAL == 0:
            finished = first.finished
            progress(finished, quota * n)
            if finished >= quota * n:
                break
        first.add(rollout.step())
    progress(first.finished, quota * n)
    _, shape = object_shapes(env)
    return first.collect(ids, shape)

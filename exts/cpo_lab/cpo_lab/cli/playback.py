# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Running trained policies in an environment and counting what they achieve, per policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from cpo_rl.errors import UserError


def policy_ids(choice: str, num_policies: int, num_envs: int) -> Tensor:
    """Return which policy acts in which environment.

    Args:
        choice: ``all`` (blocks of equal size, as in training), ``leader`` or a number.
        num_policies: Policies M.
        num_envs: Environments N, a multiple of M for ``all``.

    Returns:
        Policy ids [N].

    Raises:
        UserError: If there is no such policy.
    """
    if choice == "all":
        return torch.arange(num_envs) // (num_envs // num_policies)
    if choice != "leader" and not (choice.isdigit() and int(choice) < num_policies):
        raise UserError(f"--policy {choice!r} must be all, leader or 0 to {num_policies - 1} (the leader).")
    index = num_policies - 1 if choice == "leader" else int(choice)
    return torch.full((num_envs,), index)


def quiet_agent(agent_cfg: Any) -> None:
    """Shrink what the algorithm allocates for learning, which playing does not use; changes the configuration."""
    algorithm = agent_cfg.algorithm
    for name in ("num_mini_batches", "discriminator_mini_batches"):
        if hasattr(algorithm, name):
            setattr(algorithm, name, 1)


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
    """Return of every finished episode."""

    metrics: dict[str, list[float]] = field(default_factory=dict)
    """Values of the task's episode metrics, one per finished episode."""


def run_policies(
    env: Any,
    model: Any,
    ids: Tensor,
    steps: int | None,
    *,
    stochastic: bool = False,
    after_step: Callable[[int], None] | None = None,
) -> list[PolicyTally]:
    """Let policies act.

    Args:
        env: rsl_rl environment of N environments.
        model: The ensemble's actor-critic; called with observations and policy ids.
        ids: Policy of each environment [N].
        steps: Environment steps, or None to run until the viewer is closed.
        stochastic: Sample actions as in training instead of taking their mean.
        after_step: Called with the number of finished steps.

    Returns:
        One tally per policy that acted, by index.
    """
    device = env.unwrapped.device
    ids = ids.to(device)
    tallies = {int(i): PolicyTally(int(i)) for i in ids.unique().tolist()}
    running = torch.zeros(env.num_envs, device=device)
    observations = env.get_observations()
    model.eval()
    count = 0
    while (steps is None or count < steps) and env.unwrapped.sim.is_running():
        with torch.inference_mode():
            actions = model(observations.to(device), ids, stochastic_output=stochastic)
            observations, rewards, dones, extras = env.step(actions)
            model.reset(dones)
        running += rewards
        count += 1
        finished = dones.nonzero().flatten()
        for policy, tally in tallies.items():
            own = ids == policy
            tally.steps += int(own.sum())
            tally.reward += float(rewards[own].sum())
        for index in finished.tolist():
            tally = tallies[int(ids[index])]
            tally.returns.append(float(running[index]))
            for name, values in extras.get("episode_metrics", {}).items():
                tally.metrics.setdefault(name, []).append(float(values[index]))
        running[finished] = 0.0
        if after_step:
            after_step(count)
    return [tallies[policy] for policy in sorted(tallies)]

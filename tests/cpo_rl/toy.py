# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A small environment whose every number follows from an environment's global index, and an algorithm to go with it.

Two processes that hold half of the environments each therefore see exactly what one process sees that holds them all.
"""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.presets import preset

NUM_OBS, NUM_ACTIONS = 6, 2


def hashed(ids: torch.Tensor, step: int, width: int, salt: int) -> torch.Tensor:
    """Numbers in (-1.7, 1.7) that look random and depend only on (id, step, column, salt), [n, width] float64."""
    columns = torch.arange(width, dtype=torch.float64)
    phase = ids.to(torch.float64)[:, None] * 12.9898 + columns * 78.233 + step * 37.719 + salt * 4.581
    value = torch.sin(phase) * 43758.5453
    return (value - value.floor() - 0.5) * 3.4


class ToyEnv:
    """Damped random walk pushed by the actions; episodes end at times that depend on the environment.

    Args:
        ids: global index of each environment, [n].
        dtype: type of observations and rewards.
    """

    def __init__(self, ids: torch.Tensor, dtype: torch.dtype = torch.float32) -> None:
        self.ids, self.dtype = ids, dtype
        self.num_envs, self.num_actions = len(ids), NUM_ACTIONS
        self.device, self.max_episode_length, self.cfg = "cpu", 7, {}
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.steps = 0
        self.state = hashed(ids, 0, NUM_OBS, 1)
        self.unwrapped = self

    def get_observations(self) -> TensorDict:
        return TensorDict({"policy": (self.state * 2.0 + 3.0).to(self.dtype)}, batch_size=[self.num_envs])

    checkpoint_is_exact = True

    def state_for_checkpoint(self) -> dict[str, Any]:
        return {"state": self.state, "lengths": self.episode_length_buf, "steps": self.steps}

    def restore_from_checkpoint(self, state: dict[str, Any]) -> None:
        self.state, self.steps = state["state"].clone(), state["steps"]
        self.episode_length_buf.copy_(state["lengths"])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        self.steps += 1
        self.episode_length_buf += 1
        actions = actions.to(torch.float64)
        rewards = -(actions - self.state[:, :NUM_ACTIONS]).square().sum(-1)
        self.state = self.state * 0.9 + 0.3 * hashed(self.ids, self.steps, NUM_OBS, 2)
        self.state[:, :NUM_ACTIONS] += 0.1 * actions
        dones = self.episode_length_buf >= 4 + self.ids % 4
        time_outs = dones & (self.ids % 2 == 0)
        self.episode_length_buf[dones] = 0
        extras = {"time_outs": time_outs, "episode_metrics": {"successes": rewards + 5.0}}
        return self.get_observations(), rewards.to(self.dtype), dones.long(), extras


def make_algorithm(
    num_envs: int = 12,
    horizon: int = 8,
    name: str = "cpo",
    rnn: str = "none",
    multi_gpu_cfg: dict | None = None,
    double: bool = False,
    seed: int = 0,
    model: dict[str, Any] | None = None,
    **settings: Any,
) -> EnsemblePPO:
    """A small algorithm of a preset, whose parameters depend on nothing but the arguments.

    CPO has its diversity reward unless told otherwise, so that every part takes part.
    """
    if name == "cpo":
        settings.setdefault("adversarial_coef", 0.01)
    defaults: dict[str, Any] = {
        "num_policies": 3,
        "num_mini_batches": 1,
        "num_learning_epochs": 2,
        "sequence_length": 4 if rnn == "lstm" else 1,
        "discriminator_hidden_dims": [8],
        "discriminator_mini_batches": 1,
        "diagnostics_interval": 2,
    }
    # what is given is meant, as on a command line, and the preset doubles CPO's mini-batches
    values = {**preset(name, **defaults), "num_mini_batches": defaults["num_mini_batches"], **settings}
    cfg = EnsembleCfg(**values)
    torch.manual_seed(seed)
    sizes = {"hidden_dims": [16, 8], "embedding_dim": 4, "rnn_type": rnn, "rnn_hidden_dim": 8, **(model or {})}
    network = EnsembleActorCritic(NUM_OBS, NUM_ACTIONS, cfg.num_policies, ModelCfg(**sizes))
    if double:
        network.double()
    return EnsemblePPO(network, cfg, num_envs, horizon, seed, multi_gpu_cfg)


def iterate(algorithm: EnsemblePPO, env: ToyEnv, iterations: int) -> list[dict[str, float]]:
    """Train as rsl_rl's loop does; returns the metrics of each iteration."""
    metrics = []
    obs = env.get_observations()
    for _ in range(iterations):
        with torch.inference_mode():
            for _ in range(algorithm.rollout.horizon):
                actions = algorithm.act(obs)
                obs, rewards, dones, extras = env.step(actions)
                algorithm.process_env_step(obs, rewards, dones, extras)
            algorithm.compute_returns(obs)
        metrics.append(algorithm.update())
    return metrics

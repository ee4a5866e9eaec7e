# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Small ensembles for the oracle tests: an algorithm on random experience, and a stand-in network with known values."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.algorithms.roles import MiniBatch
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.models.actor_critic import EnsembleActorCritic, Evaluation

NUM_OBS = 5
NUM_ACTIONS = 3


def make_algorithm(
    num_envs: int = 12, horizon: int = 4, seed: int = 0, model: dict[str, Any] | None = None, **settings: Any
) -> EnsemblePPO:
    """An algorithm in float64 with a small network; ``settings`` are fields of ``EnsembleCfg``."""
    torch.manual_seed(seed)
    defaults: dict[str, Any] = {
        "num_policies": 3, "num_mini_batches": 1, "num_learning_epochs": 1, "discriminator_hidden_dims": [16],
        "discriminator_mini_batches": 1, "entropy_coef_scale": 0.02, "reward_scale": 1.0,
    }  # fmt: skip
    cfg = EnsembleCfg(**{**defaults, **settings})
    net = ModelCfg(**{"hidden_dims": [16, 8], "embedding_dim": 4, "rnn_hidden_dim": 8, **(model or {})})
    actor_critic = EnsembleActorCritic(NUM_OBS, NUM_ACTIONS, cfg.num_policies, net).double()
    return EnsemblePPO(actor_critic, cfg, num_envs, horizon, seed)


def collect(
    alg: EnsemblePPO, seed: int = 0, done_rate: float = 0.3, time_outs: bool = True, void_rate: float = 0.0
) -> TensorDict:
    """Record one rollout of random observations and rewards; returns the observation after it.

    A share ``void_rate`` of the steps is declared void by the environment.
    """
    generator = torch.Generator().manual_seed(seed)

    def observe() -> TensorDict:
        obs = torch.randn(alg.num_envs, NUM_OBS, generator=generator, dtype=torch.float64)
        return TensorDict({"policy": obs}, batch_size=[alg.num_envs])

    obs = observe()
    for _ in range(alg.rollout.horizon):
        alg.act(obs)
        rewards = torch.randn(alg.num_envs, generator=generator, dtype=torch.float64)
        dones = torch.rand(alg.num_envs, generator=generator) < done_rate
        extras = {"time_outs": dones & (torch.rand(alg.num_envs, generator=generator) < 0.5)} if time_outs else {}
        if void_rate:
            extras["quarantined"] = torch.rand(alg.num_envs, generator=generator) < void_rate
        obs = observe()
        alg.process_env_step(obs, rewards, dones, extras)
    alg.compute_returns(obs)
    return obs


def prepare(alg: EnsemblePPO, borrowed: list[int], bonus: torch.Tensor | None = None) -> None:
    """Compute the targets of a recorded rollout for given borrowed followers."""
    alg.borrowed = borrowed
    alg.row_targets.compute(alg.rollout, borrowed, bonus, alg.metrics)


class TaggedModel:
    """A network stand-in whose value is the observation itself plus 0.001 times 50 (M-1-i)/(M-1).

    With observation = transition tag this is the toy network of the batch oracles, whose float ids run from 50 to 0.
    """

    is_recurrent = False
    num_obs = 1
    num_critic_obs = 0
    num_actions = 1

    def __init__(self, num_policies: int) -> None:
        self.num_policies = num_policies
        self.log_std = torch.zeros(num_policies, 1, dtype=torch.float64)

    def initial_state(self, num: int) -> None:
        """There is none."""

    @property
    def input_size(self) -> int:
        """Observation and one-hot policy."""
        return 1 + self.num_policies

    mark = EnsembleActorCritic.mark

    @property
    def _policies(self) -> torch.Tensor:
        return torch.arange(self.num_policies)

    def evaluate_inputs(self, rows, state=None, resets=None, num_values=None) -> Evaluation:
        """Value as described; means are zero."""
        policy_ids = rows[:, 0, 1:].argmax(-1)
        ids = 50.0 * (self.num_policies - 1 - policy_ids.to(torch.float64)) / (self.num_policies - 1)
        value = rows[..., 0] + 0.001 * ids.unsqueeze(1)
        return Evaluation(torch.zeros_like(rows[..., :1]), self.log_std[policy_ids].unsqueeze(1), value, None)

    def denormalize_value(self, value: torch.Tensor) -> torch.Tensor:
        """Values are in reward units already."""
        return value


def gradient_step(alg: EnsemblePPO, batch: MiniBatch) -> None:
    """Make one gradient step of the first pass on a mini-batch of a prepared rollout."""
    update = alg.policy_update
    update._gradient_step(batch, update._reference_policy(batch, 0), alg.metrics)

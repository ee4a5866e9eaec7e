# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Small runs for the runner's tests: environments, configurations, comparison of states."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy as np
import torch
from tests.envs.tracking import TrackingEnv, TrackingEnvCfg

from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner

NUM_ENVS = 12


class NoisyTrackingEnv(TrackingEnv):
    """Tracking whose rewards also depend on every global random generator, which a resume must therefore restore."""

    def _advance(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rewards, terminated = super()._advance(actions)
        noise = torch.randn(self.num_envs, device=self.device) + random.random() + float(np.random.rand())
        return rewards + 0.01 * noise, terminated


class ForgetfulEnv(TrackingEnv):
    """Tracking that restores nothing but a task value, as a simulator would."""

    checkpoint_is_exact = False

    def __init__(self, cfg: TrackingEnvCfg | None = None) -> None:
        super().__init__(cfg)
        self.tolerance = 0.5
        self.common_step_counter = 0

    def step(self, actions: torch.Tensor) -> Any:
        self.common_step_counter += 1
        self.tolerance *= 0.99
        return super().step(actions)

    def state_for_checkpoint(self) -> dict[str, Any]:
        return {"tolerance": self.tolerance}

    def restore_from_checkpoint(self, state: Any) -> None:
        self.tolerance = state["tolerance"]


def make_env(kind: type[TrackingEnv] = NoisyTrackingEnv, num_envs: int = NUM_ENVS, **cfg: Any) -> TrackingEnv:
    """Return an environment with random starts and short episodes."""
    settings = {"num_envs": num_envs, "random_start": True, "max_episode_length": 13, **cfg}
    return kind(TrackingEnvCfg(**settings))


def ensemble_cfg(name: str = "cpo", rnn: str = "none", **algorithm: Any) -> dict[str, Any]:
    """Return the configuration of a small ensemble run."""
    settings = {
        "num_policies": 3,
        "num_mini_batches": 2,
        "num_learning_epochs": 2,
        "discriminator_hidden_dims": [8],
        "sequence_length": 4 if rnn != "none" else 1,
        "diagnostics_interval": 2,
    }
    values = {**preset(name, **settings), **({"adversarial_coef": 0.01} if name == "cpo" else {}), **algorithm}
    embedding = 0 if values["num_policies"] == 1 else 4
    return {
        "seed": 5,
        "num_steps_per_env": 8,
        "save_interval": 2,
        "progress": "off",
        "obs_groups": {"actor": ["policy"]},
        "model": {"hidden_dims": [8], "embedding_dim": embedding, "rnn_type": rnn, "rnn_hidden_dim": 6},
        "algorithm": {"class_name": "cpo_rl.algorithms:EnsemblePPO", **values},
    }


def stock_ppo_cfg() -> dict[str, Any]:
    """Return the configuration of a small run of rsl_rl's own PPO."""
    model = {"class_name": "MLPModel", "hidden_dims": [8], "activation": "elu", "obs_normalization": True}
    noise = {"class_name": "GaussianDistribution", "init_std": 1.0}
    return {
        "seed": 5,
        "num_steps_per_env": 8,
        "save_interval": 2,
        "progress": "off",
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "actor": {**model, "distribution_cfg": noise},
        "critic": dict(model),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 2,
            "num_mini_batches": 2,
            "schedule": "adaptive",
            "learning_rate": 1e-3,
            "desired_kl": 0.01,
        },
    }


def make_runner(
    cfg: dict[str, Any], log_dir: Any = None, env: Any = None, seed: int = 7, **fields: Any
) -> EnsembleRunner:
    """Return a runner on a fresh environment, with all global generators seeded."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return EnsembleRunner(
        env or make_env(), copy.deepcopy(cfg), log_dir=None if log_dir is None else str(log_dir), **fields
    )


def differing(a: Any, b: Any, path: str = "") -> list[str]:
    """Return the places where two states are not identical bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = (
            a.shape == b.shape
            and a.dtype == b.dtype
            and torch.equal(a.nan_to_num(nan=12345.0), b.nan_to_num(nan=12345.0))
        )
        return [] if same else [path]
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{path}: keys {sorted(map(str, a.keys() ^ b.keys()))}"]
        return [place for key in a for place in differing(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return [f"{path}: lengths {len(a)}, {len(b)}"]
        return [place for i, (x, y) in enumerate(zip(a, b, strict=True)) for place in differing(x, y, f"{path}[{i}]")]
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return [] if both_nan or (type(a) is type(b) and a == b) else [f"{path}: {a!r} != {b!r}"]


def final_state(runner: EnsembleRunner) -> dict[str, Any]:
    """Return everything a checkpoint would hold, without the wall clock."""
    state = copy.deepcopy(runner._payload(None))
    state["runner"]["logger"].pop("wall_clock_s")
    return state

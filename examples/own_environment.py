# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An environment in plain torch, on CPU or GPU, learned by CPO: ``python examples/own_environment.py``."""

import sys

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner


class Points(VecEnv):  # points on a line that are pushed to 0; what rsl_rl asks for is in docs/any_environment.md
    num_actions, max_episode_length, cfg = 1, 50, {}

    def __init__(self, num_envs: int, device: str) -> None:
        self.num_envs, self.device = num_envs, device
        self.episode_length_buf = torch.randint(0, 50, (num_envs,), device=device)
        self.state = torch.rand(num_envs, 2, device=device) * 2 - 1  # position and velocity

    def get_observations(self) -> TensorDict:
        return TensorDict({"policy": self.state.clone()}, [self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict]:
        velocity = self.state[:, 1] + 0.1 * actions[:, 0].clamp(-1, 1)
        final, length = torch.stack((self.state[:, 0] + 0.1 * velocity, velocity), 1), self.episode_length_buf + 1
        done = length >= self.max_episode_length
        self.state = torch.where(done[:, None], torch.rand_like(final) * 2 - 1, final)
        self.episode_length_buf = torch.where(done, 0, length)
        extras = {"time_outs": done, "final_observations": TensorDict({"policy": final}, [self.num_envs])}
        return self.get_observations(), -final[:, 0].abs(), done, extras


algorithm = {"class_name": "cpo_rl.algorithms:EnsemblePPO", **preset("cpo", num_policies=4)}
cfg = {"num_steps_per_env": 16, "save_interval": 50, "model": {"hidden_dims": [64, 64]}, "algorithm": algorithm}
iterations, log_dir = sys.argv[1:] or (50, "logs/points")
EnsembleRunner(Points(256, "cpu"), cfg, log_dir).learn(int(iterations))

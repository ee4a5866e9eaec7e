# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium's MuJoCo ant learns to run with CPO on a CPU: ``python examples/gymnasium_ant.py --iterations 250``."""

import argparse

import gymnasium
from gymnasium.vector import AutoresetMode

from cpo_rl.environments.gymnasium_vector import GymnasiumVecEnv
from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--task", default="Ant-v5")
parser.add_argument("--agent", default="cpo", help="cpo, sapg, ppo, ...")
parser.add_argument("--iterations", type=int, default=250, help="in all: give more to go on")
parser.add_argument("--num_envs", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--log_dir", default="logs/gymnasium/ant")
args = parser.parse_args()

same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
env = gymnasium.make_vec(args.task, args.num_envs, vectorization_mode="sync", vector_kwargs=same_step)
settings = preset(args.agent, num_policies=4, num_mini_batches=4, learning_rate=3e-4, reward_scale=0.1)
cfg = {
    "seed": args.seed,
    "num_steps_per_env": 64,
    "save_interval": 25,
    "model": {"hidden_dims": [128, 128], "init_log_std": -0.5},
    "algorithm": {"class_name": "cpo_rl.algorithms:EnsemblePPO", **settings},
}
runner = EnsembleRunner(GymnasiumVecEnv(env, seed=args.seed), cfg, args.log_dir)
runner.resume()
runner.learn_until(args.iterations)

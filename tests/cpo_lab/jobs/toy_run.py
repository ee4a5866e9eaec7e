# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A training program in small, which takes the options that a study gives: no simulator, exactly restorable."""

from __future__ import annotations

import argparse
import os
import sys
import time

import torch
from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner

from cpo_rl.errors import UserError


def main(argv: list[str]) -> int:
    """Train to the end, going on from what the folder holds; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sleep_s", type=float, default=0.0)
    parser.add_argument("--device")
    parser.add_argument("--task")
    parser.add_argument("--agent")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--log_dir")
    parser.add_argument("--resume", choices=["auto"])
    args, settings = parser.parse_known_args(argv)
    torch.set_num_threads(1)
    values = dict(token.removeprefix("agent.algorithm.").split("=") for token in settings)
    policies = {"num_policies": 1} if args.agent == "ppo" else {}
    learning = {name: float(value) for name, value in values.items()}
    cfg = ensemble_cfg(args.agent, num_learning_epochs=1, **policies, **learning)
    cfg |= {"seed": args.seed, "save_interval": 2}

    class SlowEnv(NoisyTrackingEnv):
        def step(self, actions):
            time.sleep(args.sleep_s)
            return super().step(actions)

    os.makedirs(args.log_dir, exist_ok=True)
    runner = make_runner(
        cfg, args.log_dir, env=make_env(SlowEnv), seed=args.seed, task=args.task, algorithm=args.agent, physics="none"
    )
    runner.resume()
    runner.learn_until(args.iterations)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # or gloo's threads may outlive the interpreter and abort
    return runner.outcome.exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)  # as the training command does

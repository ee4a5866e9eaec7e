# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A member of a toy population: ``python -m tests.cpo_rl.pbt.pbt_job WORKSPACE MEMBER MEMBERS [key=value ...]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from tests.cpo_rl.runners.support import ensemble_cfg, make_env
from tests.envs.tracking import TrackingEnv

from cpo_rl.errors import UserError
from cpo_rl.pbt import PbtCfg, Workspace
from cpo_rl.pbt.runner import PbtRunner

NUM_ENVS, HORIZON, EPISODE = 48, 16, 16
STEPS = NUM_ENVS * HORIZON


class SlowEnv(TrackingEnv):
    """Tracking that takes its time, so that a test can interfere."""

    sleep_s = 0.0

    def step(self, actions: Any) -> Any:
        if self.sleep_s:
            time.sleep(self.sleep_s)
        return super().step(actions)


def member_cfg(seed: int, rnn: str = "none", **algorithm: Any) -> dict[str, Any]:
    """Return the configuration of a member that learns tracking in some twenty iterations."""
    settings = {"num_mini_batches": 4, "num_learning_epochs": 4, "learning_rate": 2e-3, "reward_scale": 0.1}
    cfg = ensemble_cfg("ppo", rnn, num_policies=1, **{**settings, **algorithm})
    cfg.update(num_steps_per_env=HORIZON, save_interval=1000, seed=seed)
    cfg["model"]["hidden_dims"] = [32, 32]
    return cfg


def member_runner(
    workspace: Workspace, member: int, cfg: dict[str, Any], pbt: PbtCfg, env: Any = None, **fields: Any
) -> PbtRunner:
    """Return the runner of a member on an environment of its own, with the network's start drawn from its seed."""
    torch.manual_seed(cfg["seed"])
    env = env or make_env(SlowEnv, num_envs=NUM_ENVS, seed=member, max_episode_length=EPISODE)
    return PbtRunner(env, cfg, workspace=workspace, member=member, pbt=pbt, **fields)


def main(workspace: str, member: int, members: int, **options: str) -> int:
    """Train a member to the end, continuing where it stopped; return its exit code."""
    pbt = PbtCfg(interval_steps=2 * STEPS, start_after=0, initial_delay=0)
    space = Workspace(Path(workspace), members)
    engine = options.get("engine", "own")
    space.join(task="toy", agent="ppo", engine=engine)
    cfg = {**member_cfg(member), "save_interval": 2}
    runner = member_runner(space, member, cfg, pbt, takes_orders=engine != "own")
    runner.env.sleep_s = float(options.get("sleep_s", 0))
    runner.resume()
    runner.learn_until(int(options.get("iterations", 10)))
    return runner.outcome.exit_code


if __name__ == "__main__":
    try:
        given = dict(option.split("=") for option in sys.argv[4:])
        sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), **given))
    except UserError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)  # as the training command does

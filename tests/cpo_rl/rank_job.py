# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One of several processes of ``test_distributed.py``: ``rank_job.py OUT JSON`` under torchrun."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from toy import ToyEnv, hashed, iterate, make_algorithm

from cpo_rl.algorithms import EnsemblePPO

NUM_ENVS = 24


def share(rank: int, world: int, policies: int) -> torch.Tensor:
    """Global indices of a rank's environments: its part of every policy's block."""
    return torch.arange(NUM_ENVS).view(policies, world, -1)[:, rank].flatten()


def with_shared_noise(algorithm: EnsemblePPO, env: ToyEnv) -> None:
    """Give every environment action noise that depends on its global index only."""
    algorithm.random.normal = lambda mean: hashed(env.ids, env.steps, mean.shape[1], 3).to(mean.dtype)  # type: ignore


def main() -> None:
    """Train, and write what this rank ended with."""
    out, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    ranks = {"global_rank": rank, "local_rank": rank, "world_size": world} if world > 1 else None
    if world > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
    iterations = options.pop("iterations", 3)
    # ranks start from different parameters and followers, as with Isaac Lab's different seeds: rank 0's must win
    algorithm = make_algorithm(NUM_ENVS // world, multi_gpu_cfg=ranks, double=True, seed=rank, **options)
    env = ToyEnv(share(rank, world, algorithm.cfg.num_policies), torch.float64)
    with_shared_noise(algorithm, env)
    algorithm.broadcast_parameters()
    borrowed, metrics = [], []
    for _ in range(iterations):
        metrics += iterate(algorithm, env, 1)
        borrowed.append(algorithm.borrowed)
    state = {"model": algorithm.model.state_dict(), "rate": algorithm.policy_update.learning_rate.rate,
             "borrowed": borrowed, "metrics": metrics,
             "adversary": algorithm.diversity.discriminator.state_dict() if algorithm.diversity else {},
             "regulator": algorithm.regulator.state_dict() if algorithm.regulator else {}}  # fmt: skip
    torch.save(state, out / f"{world}_{rank}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()  # or gloo's threads may outlive the interpreter and abort


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

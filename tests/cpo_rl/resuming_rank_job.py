# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Trains a run folder up to a number of iterations, resuming what is there: ``OUT NAME ITERATIONS``, under torchrun."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from toy import ToyEnv

from cpo_rl.presets import preset
from cpo_rl.runners import EnsembleRunner


def main() -> None:
    """Train, and write this rank's parameters and randomness."""
    out, name, iterations = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    rank = int(os.environ["RANK"])
    torch.manual_seed(rank)
    algorithm = preset("cpo", num_policies=3, sequence_length=4, discriminator_hidden_dims=[8])
    cfg = {
        "seed": 1 + rank,
        "num_steps_per_env": 8,
        "save_interval": 100,
        "obs_groups": {"actor": ["policy"]},
        "model": {"hidden_dims": [8], "rnn_type": "lstm", "rnn_hidden_dim": 4},
        "algorithm": {"class_name": "cpo_rl.algorithms:EnsemblePPO", **algorithm},
    }
    env = ToyEnv(torch.arange(12) + 12 * rank)
    runner = EnsembleRunner(env, cfg, log_dir=str(out / name), device="cpu")  # type: ignore[arg-type]
    runner.resume()
    runner.learn_until(iterations)
    result = dict(runner.alg.model.state_dict())
    result["noise"] = runner.alg.random.noise.get_state()
    result["returns"] = runner.alg.episodes.running.returns
    result["h"], result["c"] = runner.alg._state[0]
    torch.save({key: value.clone() for key, value in result.items()}, out / f"{name}_{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()

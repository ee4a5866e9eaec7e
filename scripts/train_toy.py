# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Train on the learning gate's small environments, no simulator needed, leaving run folders that the report reads.

python scripts/train_toy.py --algorithm cpo --seed 1                a minute on one core
python scripts/train_toy.py --task recall --algorithm ppo sapg cpo --seed 0 1 2
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests/envs is part of the checkout, not of the packages

from tests.envs.gate_runs import ALGORITHMS, TASKS

from cpo_rl.runners import EnsembleRunner
from cpo_rl.runners.signals import RunOutcome


def train(task_name: str, algorithm: str, seed: int, iterations: int | None, log_root: Path) -> RunOutcome:
    """Train one run and return how it ended."""
    task = TASKS[task_name]
    torch.manual_seed(seed)
    env = task.make_env(task.num_envs, seed, True)
    cfg = ALGORITHMS[algorithm](task)
    cfg["algorithm"] = {"class_name": "cpo_rl.algorithms:EnsemblePPO", **cfg["algorithm"], "diagnostics_interval": 4}
    cfg |= {"num_steps_per_env": task.horizon, "save_interval": 50, "seed": seed, "obs_groups": {"actor": ["policy"]}}
    folder = log_root / f"toy_{task_name}" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{algorithm}_{seed}"
    (folder / "params").mkdir(parents=True)
    (folder / "params" / "env.yaml").write_text(yaml.safe_dump(asdict(env.cfg)))
    runner = EnsembleRunner(
        env, cfg, str(folder), "cpu", task=f"Toy-{task_name.capitalize()}", algorithm=algorithm, physics="none"
    )
    complete = {**cfg, "algorithm": asdict(runner.alg.cfg)}  # defaults included, so that the report compares them
    (folder / "params" / "agent.yaml").write_text(yaml.safe_dump(complete))
    runner.learn(iterations or task.max_iterations)
    sys.stdout.write(f"{folder}: {runner.outcome.message}\n")
    return runner.outcome


def main() -> int:
    """Train every combination asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(TASKS), default="deceptive", help="environment (default: deceptive)")
    ours = sorted(set(ALGORITHMS) - {"rsl_rl_ppo"})
    parser.add_argument("--algorithm", nargs="+", choices=ours, default=["cpo"], help="default: cpo")
    parser.add_argument("--seed", nargs="+", type=int, default=[0], help="default: 0")
    parser.add_argument("--iterations", type=int, help="default: the task's")
    parser.add_argument("--log_root", type=Path, default=Path("logs", "rsl_rl"), help="default: logs/rsl_rl")
    args = parser.parse_args()
    for seed in args.seed:
        for algorithm in args.algorithm:
            outcome = train(args.task, algorithm, seed, args.iterations, args.log_root)
            if outcome.status != "finished":
                return outcome.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Does one policy stop profiting from more environments, and does an ensemble go on? 384 to 24,576 environments.

All algorithms share the number of environments, steps per iteration, mini-batches and learning rate; what grows is the
size of a mini-batch. Iterations say how long learning takes where environments are free, as on a GPU; transitions what
it costs where they are not.

Examples::

    python -m experiments.scale --processes 2 --envs 384 1536          # the 100 small runs
    python -m experiments.scale --processes 2                          # all 200; goes on where it was stopped
    python -m experiments.scale --figures
"""

from __future__ import annotations

import argparse

from experiments import figures
from experiments.toys import FIRST_SEED, Job, common_options, run_experiment

ENVS = (384, 1536, 6144, 24576)
"""Environments of all policies together."""

ALGORITHMS = (("ppo", 0.0), ("ppo_entropy", 0.0), ("sapg", 0.0), ("cpo", 0.0), ("cpo_regulated", 0.3))
"""Algorithms and their target [nat]: the preset's default."""

EXPERIMENT_TASKS = ("fork", "deceptive")
"""Tasks on which one policy may be stuck."""


def jobs(tasks: list[str], seeds: int, envs: list[int]) -> list[Job]:
    """Runs of the experiment, the small ones first."""
    return [
        Job(task, algorithm, seed, num_envs, target)
        for num_envs in sorted(envs)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for task in tasks
        for algorithm, target in ALGORITHMS
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the experiment; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common_options(parser, "docs/results/why_cpo/scale.csv", seeds=5)
    parser.add_argument("--envs", nargs="+", type=int, choices=ENVS, default=list(ENVS), help="default: all")
    args = parser.parse_args(argv)
    wanted = jobs(args.tasks or list(EXPERIMENT_TASKS), args.seeds, args.envs)
    return run_experiment(parser, args, wanted, figures.scale_table, figures.scale)


if __name__ == "__main__":
    raise SystemExit(main())

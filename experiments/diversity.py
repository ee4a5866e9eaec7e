# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Does an ensemble learn fastest at some distance from its leader? Targets for the followers' KL, swept over decades.

``cpo_regulated`` holds the followers' mean KL to the leader at a target. Each of three tasks is trained with targets
from 0.01 to 10 nat, and without regulation (``cpo``, ``sapg_double_steps``, ``sapg``), with 20 seeds each. A run ends
when it has solved its task (docs/learning_gate.md says how that is judged); one that has not counts with its budget.
Seeds begin at 100: ``fork`` was made with seeds 0 to 3 (ppo, sapg, cpo and a target of 0.1), so that some of them solve
it and some do not. A first one with five roads had been solved by none of 25 runs.

Examples::

    python -m experiments.diversity --processes 2                  # 660 runs; goes on where it was stopped
    python -m experiments.diversity --tasks fork --seeds 5 --output outputs/look.csv
    python -m experiments.diversity --figures                      # draw and print what there is
"""

from __future__ import annotations

import argparse

from tests.envs.gate_runs import TASKS

from experiments import figures
from experiments.toys import FIRST_SEED, Job, common_options, run_experiment

TARGETS = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0)
"""Targets for the followers' mean KL to the leader [nat]."""

UNREGULATED = ("cpo", "sapg_double_steps", "sapg")
"""What the targets are compared with; the first two make as many gradient steps."""

EXPERIMENT_TASKS = ("fork", "deceptive", "recall")
"""Tasks in the order they are run; :mod:`tests.envs` describes them."""


def jobs(tasks: list[str], seeds: int) -> list[Job]:
    """Runs of the experiment: all settings of a seed before the next seed, so that an unfinished one is balanced."""
    return [
        Job(task, algorithm, seed, TASKS[task].num_envs, target)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for task in tasks
        for algorithm, target in [*(("cpo_regulated", t) for t in TARGETS), *((name, 0.0) for name in UNREGULATED)]
    ]


def main(argv: list[str] | None = None) -> int:
    """Run the experiment; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.diversity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common_options(parser, "docs/results/why_cpo/diversity.csv", seeds=20)
    args = parser.parse_args(argv)
    wanted = jobs(args.tasks or list(EXPERIMENT_TASKS), args.seeds)
    return run_experiment(parser, args, wanted, figures.diversity_table, figures.diversity)


if __name__ == "__main__":
    raise SystemExit(main())

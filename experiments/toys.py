# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Runs on tasks without a simulator: what a run is, how many are made at a time, and where finished ones go."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from tests.envs.gate_runs import TASKS, GateTask, train

from cpo_rl.errors import UserError
from cpo_rl.threads import worker_processes
from experiments.table import owned, read_rows, save, write_rows


@dataclass(frozen=True)
class Job:
    """A run to make."""

    task: str
    """Key of ``tests.envs.gate_runs.TASKS``."""
    algorithm: str
    """Key of ``tests.envs.gate_runs.ALGORITHMS``."""
    seed: int
    """Seed of network, environment and algorithm."""
    num_envs: int
    """Environments of all policies together."""
    target_kl: float = 0.0
    """Target of the regulated KL [nat]; 0 where nothing is regulated."""
    max_iterations: int = 0
    """Budget in iterations; 0: the task's."""

    def task_settings(self) -> GateTask:
        """The task with this run's number of environments and target."""
        task = TASKS[self.task]
        changes: dict[str, Any] = {"coupling_target_kl": self.target_kl} if self.target_kl else {}
        return dataclasses.replace(task, num_envs=self.num_envs, algorithm={**task.algorithm, **changes})


@dataclass(frozen=True)
class Row:
    """A finished run, as it stands in the table."""

    task: str
    algorithm: str
    seed: int
    num_envs: int
    target_kl: float
    budget_iterations: int
    solved: bool
    iterations: int
    """Until solved, or the budget."""
    transitions: int
    """Until solved, of all policies together, or the budget."""
    final_return: float
    training_return: float
    policy_kl: float | None
    """Mean KL between two policies over the run [nat]."""
    coupling_kl: float | None
    """Mean KL of the followers' means to the leader over the run [nat], where it is regulated."""
    ess_pooled: float | None
    """Mean effective sample size of the followers' data for the leader, as a share."""
    leader_std: float | None
    """Mean standard deviation of the leader's actions at the end."""
    gradient_steps: int
    seconds: float
    """Wall-clock time."""
    cpu_seconds: float
    """Processor time; far below ``seconds`` where runs waited for each other."""
    load: float
    """Load average of the machine at the end."""

    @property
    def job(self) -> Job:
        """What this was a run of."""
        return Job(self.task, self.algorithm, self.seed, self.num_envs, self.target_kl, self.budget_iterations)


def run(job: Job) -> Row:
    """Make a run on one core."""
    torch.set_num_threads(1)
    task, cpu = job.task_settings(), time.process_time()
    budget = job.max_iterations or task.max_iterations
    result = train(task, job.algorithm, job.seed, budget)
    reached = result.transitions_to_solve or result.transitions
    return Row(
        task=job.task, algorithm=job.algorithm, seed=job.seed, num_envs=job.num_envs, target_kl=job.target_kl,
        budget_iterations=job.max_iterations, solved=result.solved, transitions=reached,
        iterations=reached // task.transitions_per_iteration, final_return=round(result.final_return, 3),
        training_return=round(result.training_return, 3), policy_kl=result.policy_kl, coupling_kl=result.coupling_kl,
        ess_pooled=result.ess_pooled, leader_std=result.leader_std, gradient_steps=result.gradient_steps,
        seconds=result.wall_clock_s, cpu_seconds=round(time.process_time() - cpu, 1), load=round(os.getloadavg()[0], 2),
    )  # fmt: skip


def run_missing(jobs: list[Job], output: Path, processes: int) -> list[Row]:
    """Make the runs that the table does not hold, in the order given, and return its rows that were asked for.

    Args:
        jobs: Runs wanted.
        output: The table, a CSV.
        processes: Runs at a time.
    """
    with owned(output):
        rows = {row.job: row for row in read_rows(output, Row)}
        waiting = [job for job in jobs if job not in rows]
        if len(waiting) < len(jobs):
            sys.stdout.write(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are in {output} already\n")
        started = time.monotonic()

        def finished(row: Row) -> None:
            rows[row.job] = row
            write_rows(output, rows.values())
            done = sum(job in rows for job in waiting)
            left = (time.monotonic() - started) / done * (len(waiting) - done) / 60.0
            target = f"@{row.target_kl:g}" if row.target_kl else ""
            said = "solved after" if row.solved else "not solved in"
            sys.stdout.write(
                f"{done}/{len(waiting)} {row.task} {row.num_envs} {row.algorithm}{target} seed {row.seed}: {said} "
                f"{row.transitions:,} transitions, {row.seconds:.0f} s, {left:.0f} min left\n"
            )
            sys.stdout.flush()

        if processes == 1:
            for job in waiting:
                finished(run(job))
        else:
            with worker_processes(processes) as pool:
                for future in as_completed([pool.submit(run, job) for job in waiting]):
                    finished(future.result())
    return [rows[job] for job in jobs if job in rows]


def common_options(parser: argparse.ArgumentParser, output: str, seeds: int) -> None:
    """Add what the commands without a simulator share."""
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), help="tasks (default: those of the experiment)")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"seeds, from 100 on (default: {seeds})")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one core each (default: 1)")
    parser.add_argument("--output", type=Path, default=Path(output), help=f"table of runs (default: {output})")
    parser.add_argument("--figures", action="store_true", help="draw what the table holds; make no runs")


def run_experiment(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    jobs: list[Job],
    table: Callable[[list[Row]], str],
    figure: Callable[[list[Row]], Figure],
) -> int:
    """Make the runs that are missing unless only figures are wanted; print the table and write the figure beside it.

    Args:
        parser: Tells what is wrong.
        args: What :func:`common_options` added.
        jobs: Runs of the experiment.
        table: Markdown of rows.
        figure: Draws rows.

    Returns:
        Exit status.
    """
    try:
        rows = read_rows(args.output, Row) if args.figures else run_missing(jobs, args.output, args.processes)
    except UserError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"{args.output} holds no runs.")
    sys.stdout.write(table(rows) + "\n")
    save(figure(rows), args.output.with_suffix(".svg"))
    return 0


FIRST_SEED = 100
"""Seeds below were used while the tasks and settings were chosen."""

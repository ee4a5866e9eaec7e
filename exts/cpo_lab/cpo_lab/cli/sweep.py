# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab sweep``: the runs of a study, on this machine, Slurm or Ray, and one report over them."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from dataclasses import replace
from typing import NoReturn

from rich.console import Console

from cpo_lab.cli.parser import CommandParser, natural_int
from cpo_lab.jobs import sweep_status
from cpo_lab.jobs.crew import Crew, View
from cpo_lab.jobs.job import Job
from cpo_lab.jobs.options import RETRIES, add_launcher_options, check_launcher_options, make_launcher
from cpo_lab.jobs.ray import check_ray
from cpo_lab.jobs.record import Record
from cpo_lab.jobs.study import Study, StudyRun, read_study
from cpo_lab.jobs.study_check import Planned, check_budgets, check_folders, is_complete
from cpo_lab.launch.machine import check_folder, prepare_folder
from cpo_rl.errors import UserError
from cpo_rl.formatting import format_count
from cpo_rl.runs.files import reason, shown
from cpo_rl.runs.lock import own_folder

_EPILOG = """\
a study:
  tasks: [CpoLab-Reorient-Cube-Shadow-Direct]
  agents: [cpo, ppo]
  seeds: 3                    or a list of seeds
  env_steps: 1e6              or iterations: 500
  variants:                   optional: settings that are compared
    default: []
    short: [env.episode_length_s=5]

The same command continues a study: finished runs stay, the others go on where
they stopped. docs/cluster.md has every field and launcher.

examples:
  cpo-lab sweep study.yaml --dry_run            what would run
  cpo-lab sweep study.yaml --at_once 2
  cpo-lab sweep study.yaml --devices cuda:0,cuda:1
  cpo-lab sweep study.yaml --launcher slurm --time 8:00:00 --cpus_per_run 8
  cpo-lab sweep study.yaml --launcher ray --ray_address auto
  cpo-lab sweep study.yaml --run 3              one run, as a job of a cluster
  cpo-lab sweep study.yaml --status --live      from another terminal"""

NOTE_S = 60.0
"""How long a run waits for others of its study that begin at the same moment [s]."""

LIVE_S = 2.0
"""Time between two pictures of ``--status --live`` [s]."""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab sweep", description="Train all runs of a study and compare them in one report.", epilog=_EPILOG
    )
    parser.add_argument("study", metavar="STUDY.yaml", help="file with tasks, agents, seeds and settings")
    parser.add_argument(
        "--run", type=natural_int, metavar="I", help="train run number I of --dry_run's list, from 0, in this process"
    )
    parser.add_argument("--dry_run", action="store_true", help="check everything and print what would run")
    parser.add_argument("--status", action="store_true", help="show the runs instead of training")
    parser.add_argument("--live", action="store_true", help="with --status: until all have ended")
    parser.add_argument("--json", action="store_true", help="with --status: print JSON instead of a table")
    add_launcher_options(parser)
    return parser


def run(argv: list[str]) -> int:
    """Train the runs of a study, or show them.

    Raises:
        UserError: On input that the user can correct, before a run is started.
    """
    args = _parser().read(argv)
    if (args.live or args.json) and not args.status:
        raise UserError("--live and --json belong to --status.")
    if args.live and args.json:
        raise UserError("--live draws a table; leave out --json.")
    if args.status and args.dry_run:
        raise UserError("--status shows what ran and --dry_run what would; give one of them.")
    others = (args.status, args.dry_run, args.launcher != "local", args.at_once, args.devices, args.retries is not None)
    if args.run is not None and any(others):
        raise UserError(
            "--run trains one run in this process; leave out --status, --dry_run, --launcher, --at_once, --devices and "
            "--retries."
        )
    check_launcher_options(args)
    study = read_study(args.study)
    if args.run is not None and args.run >= len(study.runs):
        raise UserError(f"--run {args.run} must be below {len(study.runs)}, the number of runs of the study.")
    if args.status:
        return _show(study, args)
    if args.launcher == "ray" and not args.dry_run:
        check_ray(args.ray_address)
    check_folder(study.folder, "Study field folder")
    planned = _plan(study, args)
    check_budgets(study, planned)
    if args.dry_run:
        return _tell_plan(study, planned, args)
    prepare_folder(study.folder, "Study field folder")
    if args.run is not None:
        _become(study, planned, args.run)
    with own_folder(study.folder):
        return _train(study, planned, args)


def _plan(study: Study, args: argparse.Namespace) -> dict[str, Planned]:
    """Check every combination once, with its first seed, as the training command itself does."""
    if study.command:
        short = next((run for run in study.runs if run.iterations is None), None)
        if short is not None:
            raise UserError("Study field env_steps needs cpo-lab train; with a command of your own give iterations.")
        return {run.name: Planned(run.iterations or 1) for run in study.runs}
    from cpo_lab.jobs.study_check import device_for_check

    stand_in = device_for_check(study, args.launcher)
    cells: dict[tuple[str, str, str], Planned] = {}
    for study_run in study.runs:
        if study_run.cell not in cells:
            cells[study_run.cell] = _plan_cell(study_run, stand_in)
    return {study_run.name: cells[study_run.cell] for study_run in study.runs}


def _plan_cell(study_run: StudyRun, stand_in: list[str]) -> Planned:
    from cpo_lab.cli import train

    try:
        plan = train.make_plan([*study_run.arguments, *stand_in, "--iterations", str(study_run.iterations or 1)])
    except UserError as error:
        raise UserError(f"Run {study_run.name}: {error}") from None
    assert plan is not None, "a new run always has something to do"
    cfg, num_envs = plan.resolved.agent_cfg, plan.resolved.request.num_envs or 1
    per_iteration = cfg.num_steps_per_env * num_envs
    if study_run.iterations is not None:
        return Planned(study_run.iterations, per_iteration)
    return Planned(max(-(-(study_run.env_steps or 1) // per_iteration), 1), per_iteration)


def _jobs(study: Study, planned: dict[str, Planned]) -> list[Job]:
    program = study.command or (sys.executable, "-m", "cpo_lab.cli", "train")
    jobs = []
    for study_run in study.runs:
        folder = study.folder / study_run.name
        place = ("--log_dir", str(folder), "--resume", "auto")
        length = ("--iterations", str(planned[study_run.name].iterations))
        jobs.append(Job(study_run.name, (*program, *study_run.arguments, *length, *place), folder))
    return jobs


def _train(study: Study, planned: dict[str, Planned], args: argparse.Namespace) -> int:
    """Bring every run to its end, then compare them."""
    record = Record(study.folder)
    check_folders(study, planned, record)
    jobs = _jobs(study, planned)
    launcher = make_launcher(args, study.folder, len(jobs), study.device)
    for study_run in study.runs:
        record.note_arguments(study_run.name, study_run.arguments)
    console = Console(highlight=False)
    console.print(f"{len(jobs)} runs in {shown(study.folder)}.", markup=False, soft_wrap=True)
    retries = next(n for n in (args.retries, study.retries, RETRIES) if n is not None)
    view = View(console, sweep_status.live_table, sweep_status.lines)
    crew = Crew(
        jobs, launcher, record, retries=retries, view=view,
        is_complete=lambda job: is_complete(job.folder, planned[job.name].iterations),
    )  # fmt: skip
    status = crew.run()
    _report(study, console)
    return status


def _become(study: Study, planned: dict[str, Planned], index: int) -> NoReturn:
    """Become the process of one run, for a scheduler that starts, signals and counts processes by itself.

    What it is started with is noted as by a sweep, which would not know the run as its own otherwise.

    Raises:
        UserError: If the study's folder holds something else, a sweep has it, or the program is missing.
    """
    run, job = study.runs[index], _jobs(study, planned)[index]
    with own_folder(study.folder, wait_s=NOTE_S):  # all that begin at once write into one file
        record = Record(study.folder)
        check_folders(replace(study, runs=(run,)), planned, record)
        record.note_arguments(run.name, run.arguments)
    try:
        os.execvpe(job.command[0], list(job.command), {**os.environ, **job.environment})
    except OSError as error:
        raise UserError(f"Study field command: {job.command[0]!r} cannot be started ({reason(error)}).") from None


def _report(study: Study, console: Console) -> None:
    """Write one report over the runs there are, and say where they do not compare."""
    from cpo_lab.report.build import build_report, write_report
    from cpo_rl.runs.find import find_runs

    folders = [run.path for study_run in study.runs for run in find_runs(study.folder / study_run.name)]
    if not folders:
        console.print("No run has begun, so there is no report.")
        return
    out = study.folder / "report"
    page = write_report(build_report(folders, study.name), out)
    missing = len(study.runs) - len(folders)
    said = f" without {missing} runs that have not begun" if missing else ""
    for line in sweep_status.unequal_steps(study):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    console.print(f"Report over {len(folders)} runs{said}: {shown(page)}", markup=False, soft_wrap=True)


def _tell_plan(study: Study, planned: dict[str, Planned], args: argparse.Namespace) -> int:
    """Print what would run; nothing is made."""
    if study.folder.exists():
        check_folders(study, planned, Record(study.folder))
    console = Console(highlight=False)
    left = 0
    for job in _jobs(study, planned):
        plan = planned[job.name]
        done = is_complete(job.folder, plan.iterations)
        left += not done
        steps = f", {format_count(plan.iterations * plan.per_iteration)} steps" if plan.per_iteration else ""
        state = "done" if done else "to do"
        console.print(f"{state:<6} {job.name}: {plan.iterations} iterations{steps}", markup=False, soft_wrap=True)
        console.print(f"       {shlex.join(job.command)}", style="dim", markup=False, soft_wrap=True)
    console.print(f"{left} of {len(study.runs)} runs would be started by --launcher {args.launcher} in {study.folder}.",
                  markup=False, soft_wrap=True)  # fmt: skip
    return 0


def _show(study: Study, args: argparse.Namespace) -> int:
    """Show the runs, once or until all have ended."""
    from rich.live import Live

    if not study.folder.is_dir():
        raise UserError(f"Study folder {shown(study.folder)!r} does not exist; nothing was started yet.")
    if args.json:
        sys.stdout.write(json.dumps(sweep_status.rows(study), indent=2) + "\n")
        return 0
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)  # a log or a pipe has no width to respect
    if not args.live:
        rows = sweep_status.rows(study)
        console.print(sweep_status.table(rows))
        for line in sweep_status.notes(rows):
            console.print(line, markup=False, soft_wrap=True)
        return 0
    with Live(console=console, auto_refresh=False) as live:
        while True:
            rows = sweep_status.rows(study)
            live.update(sweep_status.table(rows), refresh=True)
            if sweep_status.all_ended(rows):
                return 0
            time.sleep(LIVE_S)

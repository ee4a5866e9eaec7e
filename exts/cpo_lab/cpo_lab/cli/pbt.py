# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab pbt``: train a population on this machine, or look at one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cpo_lab.cli import pbt_status
from cpo_lab.cli.parser import CommandParser, output_file, positive_int
from cpo_lab.cli.pbt_member import ENGINES, RAY_ENGINE, check_members
from cpo_lab.jobs.crew import Crew, Turn, View
from cpo_lab.jobs.job import OUTPUT, Job
from cpo_lab.jobs.options import RETRIES, add_launcher_options, check_launcher_options, make_launcher, place_in_ray
from cpo_lab.jobs.ray import Place, check_ray
from cpo_lab.jobs.record import Record
from cpo_lab.launch.machine import check_folder
from cpo_rl.errors import UserError
from cpo_rl.pbt.workspace import Workspace
from cpo_rl.runs.files import expanded

if TYPE_CHECKING:
    from cpo_lab.cli.train import Plan

_OWN = ("--pbt", "--pbt_member", "--pbt_members", "--pbt_engine")

_EPILOG = """\
Every other argument is one of cpo-lab train and holds for all members, for
example --task, --agent (default: ppo), --num_envs (of each member),
--iterations, --seed (member I gets S + I), and settings such as
pbt.interval_steps=2e6. docs/pbt.md lists the settings. The same command, given
again, continues all members.

examples:
  cpo-lab pbt --members 4 --workspace logs/rsl_rl/pbt_hand
  cpo-lab pbt --members 8 --workspace W --devices cuda:0,cuda:1
  cpo-lab pbt --members 8 --workspace W --launcher slurm --time 8:00:00
  cpo-lab pbt --members 8 --workspace W --engine ray --ray_address HEAD:6379
  cpo-lab pbt --members 4 --workspace W pbt.interval_steps=5e5 \\
      pbt.parameters=gamma,desired_kl
  cpo-lab pbt --workspace W --status --picture copies.png   who copied whom

one member, as a job of a cluster:
  cpo-lab train --pbt W --pbt_member 0 --pbt_members 8"""


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="cpo-lab pbt", description="Population-based training: members that copy the best.", epilog=_EPILOG
    )
    parser.add_argument("--workspace", required=True, metavar="DIR", help="shared folder, with a run folder per member")
    parser.add_argument("--members", type=positive_int, metavar="P", help="processes to start, 3 or more")
    parser.add_argument("--status", action="store_true", help="show the population instead of training")
    parser.add_argument("--json", action="store_true", help="with --status: print JSON instead of tables")
    parser.add_argument("--picture", metavar="FILE", help="with --status: draw objectives and copies into this file")
    parser.add_argument(
        "--engine", choices=ENGINES, help="what decides: the members, or Ray Tune (docs/pbt.md; default: own)"
    )
    add_launcher_options(parser)
    parser.set_defaults(launcher=None)
    return parser


def run(argv: list[str]) -> int:
    """Train a population, or show one.

    Raises:
        UserError: On input that the user can correct, before a process is started.
    """
    args, rest = _parser().parse_known_args(argv)
    if args.status:
        if rest or args.members or args.devices or args.engine:
            other = (rest or ["--members, --devices or --engine"])[0]
            raise UserError(f"--status shows a population and takes no {other}.")
        return _show(expanded(args.workspace), args.json, output_file("--picture", args.picture))
    if args.json or args.picture:
        raise UserError("--json and --picture belong to --status.")
    return _train(args, rest)


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    """Check what the members will be started with, then start them."""
    if args.members is None:
        raise UserError("cpo-lab pbt needs --members P to train, or --status to look at a population.")
    check_members(args.members, "--members")
    args.launcher = args.launcher or ("ray" if args.engine == RAY_ENGINE else "local")
    if args.engine == RAY_ENGINE and args.launcher != "ray":
        raise UserError(f"--engine ray starts members through Ray; leave out --launcher {args.launcher}.")
    if args.engine == RAY_ENGINE and args.at_once:
        raise UserError("--at_once means nothing to --engine ray, which trains all members side by side; leave it out.")
    check_launcher_options(args)
    if args.launcher == "ray":
        check_ray(args.ray_address, f"--{'engine' if args.engine == RAY_ENGINE else 'launcher'} ray")
    own = next((token for token in rest if token.split("=")[0] in _OWN), None)
    if own:
        raise UserError(f"{own} is set by cpo-lab pbt itself; leave it out.")
    workspace = Workspace(check_folder(args.workspace, "--workspace"), args.members)
    engine = ["--pbt_engine", args.engine] if args.engine else []
    commands = [
        [*rest, "--pbt", str(workspace.path), "--pbt_member", str(member), "--pbt_members", str(args.members), *engine]
        for member in range(args.members)
    ]
    device, plan = _check(commands, args)
    program = (sys.executable, "-m", "cpo_lab.cli", "train")
    jobs = [
        Job(f"member {member}", (*program, *command), workspace.folder(member))
        for member, command in enumerate(commands)
    ]
    if args.launcher == "local" and args.at_once is None:
        args.at_once = args.members  # members that wait would be judged by nothing
    ray_place = place_in_ray(args, device) if args.engine == RAY_ENGINE else None
    launcher = None if ray_place else make_launcher(args, workspace.path, len(jobs), device)
    console = Console(highlight=False)
    console.print(
        f"Population of {args.members} in {workspace.path}; what a member prints is in its {OUTPUT}.",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    retries = RETRIES if args.retries is None else args.retries
    if ray_place is not None:
        return 0 if plan is None else _under_ray_tune(plan, jobs, workspace, ray_place, retries, console)
    assert launcher is not None
    view = View(
        console,
        lambda turns: pbt_status.table(_rows(workspace, turns)),
        lambda turns: [pbt_status.line(row) for row in _rows(workspace, turns)],
    )
    workspace.path.mkdir(parents=True, exist_ok=True)
    return Crew(jobs, launcher, Record(workspace.path), retries=retries, view=view).run()


def _check(commands: list[list[str]], args: argparse.Namespace) -> tuple[str | None, Plan | None]:
    """Check a member's command, which all would refuse, each in a file of its own.

    Returns:
        The members' device if the command says one, and the first member's plan that has something left to do.

    Raises:
        UserError: What is wrong with it.
    """
    from cpo_lab.cli import train

    stand_in = []
    given = train._parser().parse_known_args(commands[0])[0].device
    if args.launcher != "local" and given != "cpu":
        import torch

        stand_in = [] if torch.cuda.is_available() else ["--device", "cpu"]
    plans = (train.make_plan([*command, *stand_in]) for command in commands)
    plan = next((plan for plan in plans if plan is not None), None) if args.engine == RAY_ENGINE else next(plans)
    return given if plan is None or stand_in or args.launcher != "local" else plan.resolved.request.device, plan


def _under_ray_tune(
    plan: Plan, jobs: list[Job], workspace: Workspace, place: Place, retries: int, console: Console
) -> int:
    """Train the population with Ray Tune's own rule.

    Raises:
        UserError: If a setting has no effect with it, the workspace is another population's, or Ray cannot be used.
    """
    from gymnasium.envs.registration import load_env_creator

    from cpo_lab.jobs import ray_population
    from cpo_lab.launch.registry import find_task
    from cpo_rl.pbt.runner import REWARD_PREFIX

    member, resolved = plan.member, plan.resolved
    assert member is not None
    ray_population.check_settings(member.given, member.cfg)
    configured = {name: getattr(resolved.agent_cfg.algorithm, name) for name in member.cfg.parameters}
    if member.cfg.mutate_rewards:
        task = load_env_creator(str(find_task(resolved.request.task).entry_point))
        configured |= {REWARD_PREFIX + n: getattr(resolved.env_cfg, n) for n in getattr(task, "mutable_rewards", ())}
    seed = resolved.agent_cfg.seed
    return ray_population.train_population(
        jobs, workspace, member.cfg, ray_population.first_parameters(workspace, member.cfg, configured, seed), place,
        retries=retries, seed=seed, join=lambda: member.join(resolved),
        telling=ray_population.Telling(
            console,
            lambda: pbt_status.table(pbt_status.member_rows(workspace)),
            lambda: [pbt_status.line(row) for row in pbt_status.member_rows(workspace)],
        ),
    )  # fmt: skip


def _rows(workspace: Workspace, turns: Mapping[str, Turn]) -> list[dict[str, Any]]:
    """Return the members' rows with what the launcher knows of them."""
    rows = pbt_status.member_rows(workspace)
    for row, turn in zip(rows, turns.values(), strict=True):
        if turn.running is not None and row["health"] != "running":
            row["health"] = "queued" if turn.running.waits() else "starting"  # the folder tells of an earlier process
    return rows


def _show(path: Path, as_json: bool, picture: Path | None) -> int:
    """Print the members and what changed them; draw it if asked."""
    workspace, common = Workspace.open(path)
    rows, events = pbt_status.member_rows(workspace), pbt_status.changes(workspace)
    if picture:
        pbt_status.draw(workspace, picture)
    if as_json:
        sys.stdout.write(json.dumps({**common, "population": rows, "history": events}, indent=2) + "\n")
        return 0
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)  # a log or a pipe has no width to respect
    engine = ", decided by Ray Tune" if common["engine"] == RAY_ENGINE else ""
    heading = f"{common.get('task')}, {common.get('agent')}, {workspace.members} members in {path}{engine}\n"
    console.print(heading, markup=False)
    console.print(pbt_status.table(rows))
    for note in pbt_status.notes(rows):
        console.print(note, markup=False, soft_wrap=True)
    console.print()
    for event in events:
        console.print(pbt_status.tell_change(event), markup=False, soft_wrap=True)
    return 0

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab pbt``: train a population on this machine, or look at one."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from cpo_lab.cli import pbt_status
from cpo_lab.cli.parser import CommandParser, output_file, positive_int
from cpo_lab.cli.pbt_member import check_members
from cpo_lab.launch.machine import check_folder, usable_cores
from cpo_rl.errors import UserError
from cpo_rl.pbt.workspace import Workspace
from cpo_rl.runs.files import expanded

_EPILOG = """\
Every other argument is one of cpo-lab train and holds for all members, for
example --task, --agent (default: ppo), --num_envs (of each member),
--iterations, --seed (member I gets S + I), and settings such as
pbt.interval_steps=2e6. docs/pbt.md lists the settings. The same command, given
again, continues all members.

examples:
  cpo-lab pbt --members 4 --workspace logs/rsl_rl/pbt_hand
  cpo-lab pbt --members 8 --workspace W --devices cuda:0,cuda:1
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
    parser.add_argument("--devices", metavar="LIST", help="devices that take turns, such as cuda:0,cuda:1")
    parser.add_argument("--status", action="store_true", help="show the population instead of training")
    parser.add_argument("--json", action="store_true", help="with --status: print JSON instead of tables")
    parser.add_argument("--picture", metavar="FILE", help="with --status: draw objectives and copies into this file")
    return parser


def run(argv: list[str]) -> int:
    """Train a population, or show one.

    Raises:
        UserError: On input that the user can correct, before a process is started.
    """
    args, rest = _parser().parse_known_args(argv)
    if args.status:
        if rest or args.members or args.devices:
            raise UserError(f"--status shows a population and takes no {(rest or ['--members or --devices'])[0]}.")
        return _show(expanded(args.workspace), args.json, output_file("--picture", args.picture))
    if args.json or args.picture:
        raise UserError("--json and --picture belong to --status.")
    return _train(args, rest)


def _train(args: argparse.Namespace, rest: list[str]) -> int:
    """Check what the members will be started with, then start them."""
    from cpo_lab.cli import train
    from cpo_lab.cli.pbt_processes import OUTPUT, run_population

    if args.members is None:
        raise UserError("cpo-lab pbt needs --members P to train, or --status to look at a population.")
    check_members(args.members, "--members")
    own = next((token for token in rest if token.split("=")[0] in ("--pbt", "--pbt_member", "--pbt_members")), None)
    if own:
        raise UserError(f"{own} is set by cpo-lab pbt itself; leave it out.")
    workspace = Workspace(check_folder(args.workspace, "--workspace"), args.members)
    devices = args.devices.split(",") if args.devices else [None]
    commands = []
    for member in range(args.members):
        device = devices[member % len(devices)]
        given = [*rest, *(["--device", device] if device else [])]
        place = ["--pbt", str(workspace.path), "--pbt_member", str(member), "--pbt_members", str(args.members)]
        commands.append([*given, *place])
    # the members would all refuse the same thing, each in a file of its own
    plans = [train.make_plan(command) for command in commands[: len(devices)]]
    on_cpu = any(plan is not None and plan.resolved.request.device == "cpu" for plan in plans)
    threads = {"OMP_NUM_THREADS": str(max(usable_cores() // args.members, 1))} if on_cpu else {}
    console = Console(highlight=False)
    console.print(
        f"Population of {args.members} in {workspace.path}; what a member prints is in its {OUTPUT}.",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    full = [[sys.executable, "-m", "cpo_lab.cli", "train", *command] for command in commands]
    return run_population(workspace, full, threads, console)


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
    console.print(f"{common.get('task')}, {common.get('agent')}, {workspace.members} members in {path}\n", markup=False)
    console.print(pbt_status.table(rows))
    console.print()
    for event in events:
        console.print(pbt_status.tell_change(event), markup=False, soft_wrap=True)
    return 0

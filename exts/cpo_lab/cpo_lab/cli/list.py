# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab list``: what can be trained, with what, on which engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpo_lab.cli.parser import CommandParser
from cpo_lab.launch.registry import agents_of, find_task, physics_of, tasks

if TYPE_CHECKING:
    from rich.console import Console

_EPILOG = """\
examples:
  cpo-lab list                every task with its agents
  cpo-lab list --all          and Isaac Lab's own tasks that can be trained
  cpo-lab list --plain        task ids, for scripts
  cpo-lab list --task CpoLab-Reorient-Cube-Shadow-Direct   with its engines"""


def _parser() -> CommandParser:
    parser = CommandParser(prog="cpo-lab list", description="List tasks, agents and physics engines.", epilog=_EPILOG)
    parser.add_shared("--task", help="show one task in detail")
    parser.add_argument("--all", action="store_true", help="also Isaac Lab's own tasks with a PPO of rsl_rl")
    parser.add_argument("--plain", action="store_true", help="one task id per line, for scripts")
    return parser


def run(argv: list[str]) -> int:
    """Print the tasks.

    Raises:
        UserError: If an argument or the task is unknown.
    """
    args = _parser().read(argv)
    from rich.console import Console
    from rich.table import Table

    console = Console()
    chosen = {args.task: find_task(args.task)} if args.task else tasks(of_isaac_lab=args.all)
    if args.plain:
        console.print("\n".join(chosen), highlight=False, soft_wrap=True)
        return 0
    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("task", no_wrap=True)
    table.add_column("agents (the first is the default)")
    for name, spec in chosen.items():
        table.add_row(name, ", ".join(agents_of(spec)))
    console.print(table)
    _print_agents(console, {agent for spec in chosen.values() for agent in agents_of(spec)})
    console.print("\nA population (PBT) trains several of any agent but stock_ppo: cpo-lab pbt --help")
    if args.task:
        _print_engines(console, args.task)
    return 0


def _print_agents(console: Console, shown: set[str]) -> None:
    """Print what those of our agents are that the tasks have."""
    from rich.table import Table

    from cpo_rl.presets import ABOUT

    table = Table(box=None, padding=(0, 3, 0, 0))
    table.add_column("agent", no_wrap=True)
    table.add_column("what it is")
    table.add_column("paper and released code")
    for name, about in ABOUT.items():
        if name in shown:
            table.add_row(name, *about)
    console.print()
    console.print(table)


def _print_engines(console: Console, task: str) -> None:
    """Print the physics presets of a task and which of them the devices choose."""
    from cpo_lab.physics.presets import engine_for

    default = {engine_for("cpu"): "default on the CPU", engine_for("cuda:0"): "default on a GPU"}
    console.print("\nphysics=NAME")
    for name in physics_of(task):
        console.print(f"  {name:<20} [dim]{default.get(name, '')}")

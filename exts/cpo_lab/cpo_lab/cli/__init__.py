# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The ``cpo-lab`` command: ``cpo-lab train``, ``cpo-lab play`` and the rest.

A command is a module with ``run(argv) -> int``, imported only when it is asked for, so that ``--help`` and mistyped
input answer at once. To add one, add a line to :data:`COMMANDS`.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
from dataclasses import dataclass

from cpo_lab.launch.caches import notice, settle_caches
from cpo_rl.errors import UserError, suggestion
from cpo_rl.screen import forgiving_output, lost_output

__all__ = ["COMMANDS", "Command", "available_commands", "main"]


@dataclass(frozen=True)
class Command:
    """One entry of the command line."""

    module: str
    """Module that offers ``run(argv: list[str]) -> int``."""

    summary: str
    """What it does, in one line."""

    computes: bool = True
    """Whether it computes, so that libraries need folders for their caches."""


COMMANDS: dict[str, Command] = {
    "train": Command("cpo_lab.cli.train", "train an ensemble of policies on a task"),
    "pbt": Command("cpo_lab.cli.pbt", "train a population that copies its best members"),
    "sweep": Command("cpo_lab.cli.sweep", "train all runs of a study and compare them"),
    "play": Command("cpo_lab.cli.play", "show, picture or film a trained policy"),
    "evaluate": Command("cpo_lab.cli.evaluate", "measure a trained policy over many episodes"),
    "report": Command("cpo_lab.cli.report", "compare finished runs in one readable report", computes=False),
    "export": Command("cpo_lab.cli.export", "write a trained policy for deployment"),
    "runs": Command("cpo_lab.cli.runs", "list runs with progress and health", computes=False),
    "watch": Command("cpo_lab.cli.watch", "follow runs while they train, in the terminal or on a page", computes=False),
    "tensorboard": Command("cpo_lab.cli.tensorboard", "follow runs in the browser", computes=False),
    "list": Command("cpo_lab.cli.list", "list tasks, agents and physics engines", computes=False),
    "benchmark": Command("cpo_lab.cli.benchmark", "measure environments and updates on this machine"),
    "doctor": Command("cpo_lab.cli.doctor", "check this machine and say how to fix what is missing"),
}
"""Every command in the order in which the help shows them."""

_EXAMPLES = """\
examples:
  cpo-lab train                                          CPO with six policies on the Shadow Hand
  cpo-lab train --agent sapg --iterations 100 --seed 3   a baseline, shorter, another seed
  cpo-lab play --checkpoint latest --picture hand.png    what the last run has learned, as a picture
  cpo-lab <command> --help                               options and more examples"""


def available_commands() -> dict[str, Command]:
    """Return the commands whose module is part of this installation."""
    return {name: command for name, command in COMMANDS.items() if importlib.util.find_spec(command.module)}


def _usage() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [
        "usage: cpo-lab <command> [options]",
        "",
        "Ensemble policies for dexterous hands in Isaac Lab.",
        "",
        "commands:",
    ]
    lines += [f"  {name:<{width}}  {command.summary}" for name, command in available_commands().items()]
    return "\n".join([*lines, "", _EXAMPLES])


def _find(name: str) -> Command:
    """Return the command called ``name``.

    Raises:
        UserError: If there is none, with the nearest name.
    """
    commands = available_commands()
    if name in commands:
        return commands[name]
    raise UserError(f"There is no command {name!r}; {suggestion(name, commands)}")


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; the process's own when None.

    Returns:
        Exit status: 0 when it worked, 1 when its answer could not be shown, 2 for input that the user can correct, 130
        when interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot show becomes a question mark, not an error
    with forgiving_output():
        status = _run(argv)
        sys.stdout.flush()
        # what a run says is no answer
        trains = argv[:1] in (["train"], ["pbt"], ["sweep"]) and not {"--status", "--dry_run"} & set(argv)
        if status == 0 and not trains and any(stream.failed for stream in lost_output()):
            sys.stderr.write("cpo-lab: the answer could not be shown; standard output could not be written\n")
            return 1
        return status


def _run(argv: list[str]) -> int:
    """Run one command; the arguments and the result are those of :func:`main`."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(_usage() + "\n")
        return 0
    if argv[0] == "--version":
        from cpo_lab import __version__

        sys.stdout.write(f"cpo-lab {__version__}\n")
        return 0
    try:
        command = _find(argv[0])
        settle_caches()
        if command.computes and notice():
            sys.stderr.write(f"cpo-lab: {notice()}\n")
        return importlib.import_module(command.module).run(argv[1:])
    except UserError as error:
        if not error.told:
            sys.stderr.write(f"cpo-lab: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("cpo-lab: interrupted\n")
        return 130

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the commands share: the parser, argument types, and options that mean the same everywhere.

Nothing heavy is imported here, so that mistyped input is answered at once.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from cpo_lab.launch.machine import check_folder
from cpo_lab.launch.policies import Changes
from cpo_lab.launch.settings import check_written
from cpo_rl.errors import UserError
from cpo_rl.runs.files import expanded
from cpo_rl.runs.find import LOG_ROOT


class _HelpFormatter(argparse.HelpFormatter):
    """Breaks single paragraphs to fit the terminal and leaves examples as they are written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class CommandParser(argparse.ArgumentParser):
    """Argument parser that reports bad input as one sentence instead of a usage dump.

    Abbreviated options are refused, so that a script keeps its meaning when an option is added.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, reading what follows ``--kit_args`` as its value although it begins with a dash."""
        if args and "--kit_args" in args:
            from isaaclab.app.sim_launcher import fuse_kit_args

            args = fuse_kit_args(list(args))
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise the message as a :class:`UserError`."""
        raise UserError(f"{message[0].upper()}{message[1:].rstrip('.')}; see {self.prog} --help.")

    def add_shared(self, name: str, **changes: Any) -> None:
        """Add an option of :data:`SHARED`.

        Args:
            name: The option, such as ``--device``.
            changes: Keywords of ``add_argument`` that differ in this command.
        """
        self.add_argument(name, **{**SHARED[name], **changes})

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse arguments among which are no settings.

        Raises:
            UserError: If one is wrong or unknown.
        """
        args, rest = self.parse_known_intermixed_args(argv)
        self._refuse_options(rest)
        if rest:
            raise UserError(f"Cannot read {rest[0]!r}; see {self.prog} --help.")
        return args

    def read_with_settings(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments among which are settings such as ``env.episode_length_s=5``.

        Returns:
            The arguments and the settings.

        Raises:
            UserError: If one is wrong or unknown.
        """
        args, rest = self.parse_known_intermixed_args(argv)
        return args, self.settings_among(rest)

    def settings_among(self, rest: Sequence[str]) -> list[str]:
        """Return what :meth:`parse_known_args` left over, if it consists of settings.

        Raises:
            UserError: If it does not, naming the nearest option for a mistyped one.
        """
        self._refuse_options(rest)
        return check_written(rest)

    def _refuse_options(self, rest: Sequence[str]) -> None:
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for token in rest:
            if token.startswith("-"):
                name = token.partition("=")[0]
                near = difflib.get_close_matches(name, known, n=1)
                raise UserError(
                    f"Unknown option {name}; {f'did you mean {near[0]}?' if near else f'see {self.prog} --help.'}"
                )


# -- argument types ----------------------------------------------------------------------------------------------------


def positive_int(text: str) -> int:
    """Parse an integer of at least 1."""
    return _bounded_int(text, 1, "a positive integer")


def natural_int(text: str) -> int:
    """Parse an integer of at least 0."""
    return _bounded_int(text, 0, "an integer of at least 0")


def seed_int(text: str) -> int:
    """Parse a seed: 0 to 2**31 - 1, what NumPy, torch and Warp all accept."""
    value = _bounded_int(text, 0, "an integer of at least 0")
    if value >= 2**31:
        raise argparse.ArgumentTypeError(f"must be below 2**31, not {text}")
    return value


def port_number(text: str) -> int:
    """Parse a port: 0 to 65535."""
    value = _bounded_int(text, 0, "an integer from 0 to 65535")
    if value > 65535:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 65535, not {text}")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    try:
        value = float(text)
        if not 0.0 < value < math.inf:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}") from None
    return value


def run_name(text: str) -> str:
    """Parse a name that is safe as the end of a folder's name."""
    if not re.fullmatch(r"[\w.\-]{0,100}", text):
        raise argparse.ArgumentTypeError(f"must consist of at most 100 letters, digits, '.', '-' and '_', not {text!r}")
    return text


def _bounded_int(text: str, minimum: int, kind: str) -> int:
    try:
        value = float(text)
        if not math.isfinite(value) or value != int(value):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {kind}, not {text!r}") from None
    if value < minimum:
        raise argparse.ArgumentTypeError(f"must be {kind}, not {text}")
    return int(value)


# -- options that mean the same everywhere -----------------------------------------------------------------------------

SHARED: dict[str, dict[str, Any]] = {
    "--task": {"help": "task id"},
    "--agent": {"help": "algorithm: cpo, sapg, ppo or another agent of the task"},
    "--device": {"help": "cpu, cuda or cuda:<index> (default: the first GPU if there is one)"},
    "--physics": {
        "metavar": "NAME",
        "help": "physics engine (default: newton_mjwarp on a GPU, ovphysx on the CPU)",
    },
    "--num_envs": {"type": positive_int, "metavar": "N", "help": "environments, a multiple of the policies"},
    "--seed": {"type": seed_int, "metavar": "S", "help": "seed of everything random"},
    "--checkpoint": {
        "default": "latest",
        "metavar": "WHAT",
        "help": "latest, best, a run folder, <run folder>:best or a file (default: latest)",
    },
    "--init_from": {
        "metavar": "WHAT",
        "help": "begin with the weights of another run or task that fit: latest, best, a run folder or a file",
    },
    "--log_root": {"default": LOG_ROOT, "metavar": "DIR", "help": "folder of all runs (default: %(default)s)"},
    "--force": {
        "action": "store_true",
        "help": "load a checkpoint of another task, robot or layout as far as it fits",
    },
    "--trust": {
        "action": "store_true",
        "help": "the run is from somebody you trust: it may name code of its own, which is run",
    },
    "--verbose": {"action": "store_true", "help": "show what the engine prints while it starts; else it is in run.log"},
    "--logger": {
        "choices": ("tensorboard", "wandb", "neptune"),
        "help": "where curves go besides metrics.csv (default: tensorboard)",
    },
    "--log_project_name": {"metavar": "NAME", "help": "project of --logger wandb or neptune (default: isaaclab)"},
    "--viz": {"metavar": "NAMES", "help": "viewers: newton_gl, viser, rerun, or kit with Isaac Sim (default: none)"},
    "--viz_host": {
        "metavar": "ADDRESS",
        "help": "address that viewers in a browser listen on (default: 127.0.0.1, this machine only)",
    },
    "--policy": {"metavar": "WHICH", "help": "leader, followers, all or a number from 0 (default: %(default)s)"},
}
"""Keywords of ``add_argument`` by option."""


def add_run_options(parser: CommandParser) -> None:
    """Add the options that replace what a run's folder says, for :func:`changes_of`."""
    parser.add_shared("--seed", help="seed (default: the run's)")
    parser.add_shared("--task", help="task (default: the run's)")
    parser.add_shared("--agent", help="agent (default: the run's)")
    parser.add_shared("--device")
    parser.add_shared("--physics", help="physics engine (default: the run's, if it suits the device)")
    parser.add_shared("--log_root")
    parser.add_shared("--force")
    parser.add_shared("--trust")
    parser.add_shared("--num_envs")


def add_screen_options(parser: CommandParser, *, films: bool = False) -> None:
    """Add what is read by :func:`cpo_lab.viewing.screen.screen_of`: viewers, and options of Isaac Lab's launcher.

    Args:
        parser: The command's.
        films: Whether it can film while it goes on.
    """
    group = parser.add_argument_group("viewers, and Isaac Lab's launcher")
    for name in ("--viz", "--viz_host"):
        group.add_argument(name, **SHARED[name])
    group.add_argument(
        "--max_visible_envs", type=natural_int, metavar="N", help="environments that viewers show at most, drawn by lot"
    )
    group.add_argument("--headless", action="store_true", help="open no window, also with --viz kit")
    group.add_argument(
        "--livestream",
        type=natural_int,
        choices=(0, 1, 2),
        help="stream Isaac Sim's viewport: 1 to anybody, 2 in a private network",
    )
    group.add_argument("--experience", metavar="FILE.kit", help="Isaac Sim's app to start")
    group.add_argument("--kit_args", metavar="ARGUMENTS", help='its arguments, such as "--ext-folder exts"')
    group.add_argument("--deterministic", action="store_true", help="have it render alike every time")
    if films:
        group.add_argument("--video", action="store_true", help="film now and then, into videos/train of the run")
        group.add_argument("--video_interval", type=positive_int, metavar="N", help="steps between two films (2000)")
        group.add_argument("--video_length", type=positive_int, metavar="N", help="steps of a film (200)")


def logger_settings(args: argparse.Namespace) -> list[str]:
    """Return ``--logger`` and ``--log_project_name``, which Isaac Lab's command has as well, as settings."""
    settings = [f"agent.logger={args.logger}"] if args.logger else []
    if args.log_project_name:
        settings += [f"agent.{service}_project={args.log_project_name!r}" for service in ("wandb", "neptune")]
    return settings


def changes_of(args: argparse.Namespace, settings: Sequence[str]) -> Changes:
    """Return what the options of :func:`add_run_options` and settings change of a run."""
    return Changes(
        args.task, args.agent, args.device, args.physics, args.num_envs, args.seed, args.force, list(settings),
        trust=args.trust,
    )  # fmt: skip


def policies_of(choice: str, num_policies: int, *own: str) -> list[int]:
    """Return the policies that a value of ``--policy`` means, in order.

    Args:
        choice: ``leader``, ``followers``, ``all`` or a number.
        num_policies: Policies M; the leader is M-1.
        own: Further words that the command knows, for the message.

    Raises:
        UserError: If there is no such policy.
    """
    leader = num_policies - 1
    if choice.isdecimal() and int(choice) < num_policies:
        return [int(choice)]
    named = {"leader": [leader], "followers": list(range(leader)), "all": list(range(num_policies))}
    if named.get(choice):
        return named[choice]
    if choice == "followers":
        raise UserError("--policy followers names nobody: the run has one policy; leave --policy out.")
    numbers = f"0 to {leader} (the leader)" if leader else "0 (the only one)"
    raise UserError(f"--policy {choice!r} must be {', '.join((*named, *own))} or {numbers}.")


def output_file(argument: str, file: str | None, *endings: str) -> Path | None:
    """Check that a file can be written, before anything is computed for it; nothing is made.

    Args:
        argument: Name of the argument it came from, for the message.
        file: The file, or None.
        endings: Endings it may have, such as ``.png``; none allows any.

    Raises:
        UserError: If its ending is wrong, or it or its folder cannot be written.
    """
    if file is None:
        return None
    path = expanded(file).absolute()
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"{argument} {file!r} must end in {' or '.join(endings)}.")
    if os.path.isdir(path):
        raise UserError(f"{argument} {file!r} is a folder; name a file.")
    check_folder(path.parent, argument)
    return path

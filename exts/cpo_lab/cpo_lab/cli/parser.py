# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the commands share: argument types, and checks that run before anything heavy is imported or started."""

from __future__ import annotations

import argparse
import difflib
import logging
import math
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cpo_rl.errors import UserError

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec


_log = logging.getLogger(__name__)

DEFAULT_TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
"""Task of ``cpo-lab train`` without arguments."""

DEFAULT_AGENT = "cpo"
"""Algorithm of ``cpo-lab train`` without arguments."""

_AGENT_KEY = re.compile(r"rsl_rl_(?:(?P<name>\w+)_)?cfg_entry_point")


class CommandParser(argparse.ArgumentParser):
    """Argument parser that reports bad input as one sentence instead of a usage dump.

    Abbreviated options are refused, so that a script keeps its meaning when an option is added.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise the message as a :class:`UserError`."""
        raise UserError(f"{message[0].upper()}{message[1:].rstrip('.')}; see {self.prog} --help.")

    def option_names(self) -> list[str]:
        """Return the long options of this parser."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]


def suggestion(name: str, choices: Iterable[str], *, limit: int = 12) -> str:
    """Return the end of an error sentence: the nearest choice, or all of them when few.

    Args:
        name: What the user typed.
        choices: What would have been accepted.
        limit: Most choices to list.
    """
    options = list(choices)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not options:
        return "there is none to choose from."
    return f"choose one of {', '.join(options[:limit])}{', ...' if len(options) > limit else ''}."


# --- argument types -------------------------------------------------------------------------------------------------


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


def add_policy_option(parser: argparse.ArgumentParser, default: str, **own: str) -> None:
    """Add ``--policy``, which every command reads alike (:func:`policies_of`).

    Args:
        parser: Parser of the command.
        default: What is taken without the option.
        own: Words that only this command knows, and what they mean.
    """
    words = "".join(f"{word} ({meaning}), " for word, meaning in own.items())
    parser.add_argument(
        "--policy",
        default=default,
        metavar="WHICH",
        help=f"leader, followers, all, {words}or a number from 0 (default: %(default)s)",
    )


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


def policy_name(policy: int, num_policies: int) -> str:
    """Return what a policy is called: ``leader`` (also the only one) or ``follower 3``."""
    return "leader" if policy == num_policies - 1 else f"follower {policy}"


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
    path = Path(file).expanduser().absolute()
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"{argument} {file!r} must end in {' or '.join(endings)}.")
    if os.path.isdir(path):
        raise UserError(f"{argument} {file!r} is a folder; name a file.")
    check_folder(path.parent, argument)
    return path


def split_overrides(tokens: Sequence[str], parser: CommandParser) -> list[str]:
    """Return the configuration overrides among arguments the parser does not know.

    Args:
        tokens: Arguments left over by the parser.
        parser: Parser they were left over by; names the nearest option for a mistyped one.

    Raises:
        UserError: If a token is neither ``env.*=``, ``agent.*=``, ``physics=``, ``renderer=`` nor ``presets=``.
    """
    for token in tokens:
        key, separator, _ = token.partition("=")
        if token.startswith("-"):
            near = difflib.get_close_matches(key, parser.option_names(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"see {parser.prog} --help."
            raise UserError(f"Unknown option {key}; {hint}")
        if not separator or not re.match(r"(env|agent)\.|(physics|renderer|presets)$", key):
            raise UserError(
                f"Cannot read {token!r}; a setting is written like env.episode_length_s=5, "
                "agent.algorithm.learning_rate=1e-4 or physics=ovphysx."
            )
    return list(tokens)


# --- tasks and agents -----------------------------------------------------------------------------------------------


def tasks() -> dict[str, EnvSpec]:
    """Return the tasks that this project's agents can train, by id.

    These are the Gym ids registered by this package or by any installed package of the entry point group
    ``isaaclab.tasks``, whose registration names an agent in the form ``rsl_rl_<agent>_cfg_entry_point``.
    """
    import gymnasium

    import cpo_lab.tasks  # noqa: F401  registers the ids; explicit, so that scripts work without an installation

    for entry_point in metadata.entry_points(group="isaaclab.tasks"):
        try:
            entry_point.load()
        except Exception as error:
            # someone else's broken package must not take our tasks away
            _log.warning("Tasks of %s could not be loaded: %s", entry_point.value, error)
    return {name: spec for name, spec in sorted(gymnasium.registry.items()) if agents_of(spec)}


def agents_of(spec: EnvSpec) -> dict[str, str]:
    """Return the agents of a task: short name (``cpo``) to key of its registration."""
    found = {}
    for key in spec.kwargs or {}:
        match = _AGENT_KEY.fullmatch(key)
        if match and match["name"]:
            found[match["name"]] = key
    return found


def find_task(name: str) -> EnvSpec:
    """Return the registration of a task.

    Raises:
        UserError: If the task is unknown.
    """
    known = tasks()
    if name not in known:
        raise UserError(f"Unknown task {name!r}; {suggestion(name, known)}")
    return known[name]


def agent_key(spec: EnvSpec, agent: str) -> str:
    """Return the registration key of a task's agent.

    Args:
        spec: Registration of the task.
        agent: Short name such as ``sapg``, or the key itself such as ``rsl_rl_sapg_cfg_entry_point``.

    Raises:
        UserError: If the task has no such agent.
    """
    known = agents_of(spec)
    if agent in known:
        return known[agent]
    if _AGENT_KEY.fullmatch(agent) and agent in (spec.kwargs or {}):
        return agent
    raise UserError(f"Unknown agent {agent!r} for task {spec.id}; {suggestion(agent, known)}")


# --- machine --------------------------------------------------------------------------------------------------------


def resolve_device(device: str | None) -> str:
    """Return the device to compute on.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:<index>``, or None for the first GPU if there is one, else the CPU.

    Raises:
        UserError: If the name is wrong, or if it asks for a GPU that is not there.
    """
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device or "cpu")
    if match is None:
        raise UserError(f"Unknown --device {device!r}; choose cpu, cuda or cuda:<index>.")
    if device == "cpu":
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return "cuda:0" if count else "cpu"
    index = int(match[1] or 0)
    if count == 0:
        raise UserError(
            f"--device {device} was asked for but no CUDA device is usable; use --device cpu or run cpo-lab doctor."
        )
    if index >= count:
        raise UserError(
            f"--device {device} was asked for but there are only {count} CUDA devices, cuda:0 to cuda:{count - 1}."
        )
    return f"cuda:{index}"


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Check that a folder is there or can be made, and that files can be written into it; nothing is made.

    Args:
        path: Folder.
        argument: Name of the argument it came from, for the message.

    Raises:
        UserError: If it cannot be made or written.
    """
    folder = Path(path).expanduser().absolute()
    try:
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UserError(
            f"{argument} {str(folder)!r} cannot be written ({error.strerror or error}); choose another folder."
        ) from None
    return folder


def prepare_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Make a folder and make sure that files can be written into it; arguments and errors of :func:`check_folder`."""
    folder = check_folder(path, argument)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{argument} {str(folder)!r} cannot be made ({error.strerror or error}); choose another folder."
        ) from None
    return folder

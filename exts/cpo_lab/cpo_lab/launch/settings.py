# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings such as ``env.episode_length_s=5`` or ``physics=ovphysx``: told apart, checked and applied.

Isaac Lab's resolver sets any attribute that it is told to, so a mistyped name would be accepted and do nothing.
"""

from __future__ import annotations

import ast
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from cpo_rl.errors import UserError, suggestion

_MISSING = object()

_SETTING = re.compile(r"(env|agent)\.|(physics|renderer|presets)$")
"""What the name of a setting looks like."""


# -- as text -----------------------------------------------------------------------------------------------------------


def check_written(tokens: Sequence[str]) -> list[str]:
    """Return tokens that are written like settings.

    Raises:
        UserError: If one is neither ``env.*=``, ``agent.*=``, ``physics=``, ``renderer=`` nor ``presets=``.
    """
    for token in tokens:
        name, separator, _ = token.partition("=")
        if not separator or not _SETTING.match(name):
            raise UserError(
                f"Cannot read {token!r}; a setting is written like env.episode_length_s=5, "
                "agent.algorithm.learning_rate=1e-4 or physics=ovphysx."
            )
    return list(tokens)


def names_of(settings: Sequence[str]) -> set[str]:
    """Return the names that settings give a value to, such as ``env.episode_length_s``."""
    return {token.partition("=")[0] for token in settings}


def join_settings(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return two lists of settings as one, in which the last value of each name counts."""
    return list({token.partition("=")[0]: token for token in [*before, *now]}.values())


def write_settings(values: Mapping[str, Any], prefix: str) -> list[str]:
    """Return values as settings, such as ``agent.model.hidden_dims=[8]``, which mean them whatever their kind.

    Args:
        values: Values by name, in any depth.
        prefix: What the names are below.
    """
    settings = []
    for name, value in values.items():
        path = f"{prefix}.{name}"
        nested = isinstance(value, Mapping) and value
        settings += write_settings(value, path) if nested else [f"{path}={value!r}"]
    return settings


def take_selector(name: str, option: str | None, settings: Sequence[str]) -> tuple[str | None, list[str]]:
    """Join the two spellings of a selector, ``--physics NAME`` and ``physics=NAME``.

    Args:
        name: Selector, such as ``physics``.
        option: Value of the option, or None.
        settings: Settings, among them perhaps the selector.

    Returns:
        The chosen value or None, and the settings without the selector.

    Raises:
        UserError: If the selector is given twice with different values, or without a value.
    """
    values = {token.partition("=")[2] for token in settings if token.startswith(f"{name}=")} | ({option} - {None})
    if len(values) > 1:
        raise UserError(f"{name} is given as {' and as '.join(sorted(map(repr, values)))}; keep one of them.")
    value = values.pop() if values else None
    if value == "":
        raise UserError(f"{name}= needs a name behind it.")
    return value, [token for token in settings if not token.startswith(f"{name}=")]


# -- in configurations -------------------------------------------------------------------------------------------------


def apply_settings(task: str, agent_key: str, settings: Sequence[str], *, play_mode: bool = False) -> tuple[Any, Any]:
    """Make a task's configurations with Isaac Lab's resolver, refusing settings that name nothing.

    Args:
        task: Gym id of the task.
        agent_key: Registration key of the agent.
        settings: Presets and settings.
        play_mode: Whether the environment's settings for playing replace those for training.

    Returns:
        Environment configuration and runner configuration.

    Raises:
        UserError: If a preset or a field is unknown, or a value is of the wrong kind.
    """
    from isaaclab_tasks.utils import resolve_task_config

    from cpo_lab.launch.algorithm import use_named_algorithm

    presets = [token for token in settings if not token.startswith(("env.", "agent."))]
    fields = [token for token in settings if token.startswith(("env.", "agent."))]
    try:
        with redirect_stdout(io.StringIO()):  # Isaac Lab prints which file it reads
            if fields:
                before = resolve_task_config(task, agent_key, play_mode=play_mode, overrides=presets)
                use_named_algorithm(before[1], _named_algorithm(fields))
                _check_fields(fields, *before)
            env_cfg, agent_cfg = resolve_task_config(
                task, agent_key, play_mode=play_mode, overrides=[*presets, *fields]
            )
            use_named_algorithm(agent_cfg)
            return env_cfg, agent_cfg
    except UserError:
        raise
    except ValueError as error:
        # Isaac Lab reports unknown presets over several lines; the first one says what is wrong
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"{reason}; cpo-lab list --task {task} shows what there is.") from None


def _named_algorithm(settings: Sequence[str]) -> str | None:
    """Return the class that settings name for the algorithm, None if they name none."""
    values = [text.strip("'\"") for name, _, text in (token.partition("=") for token in settings)
              if name == "agent.algorithm.class_name"]  # fmt: skip
    return values[-1] if values else None


def _check_fields(settings: Sequence[str], env_cfg: Any, agent_cfg: Any) -> None:
    """Check that every setting names an existing field and gives a value of the same kind.

    Args:
        settings: Tokens ``env.<path>=<value>`` and ``agent.<path>=<value>``.
        env_cfg: Environment configuration before the settings.
        agent_cfg: Runner configuration before the settings.

    Raises:
        UserError: Naming the first setting that is wrong.
    """
    for token in settings:
        path, _, text = token.partition("=")
        section, *keys = path.split(".")
        current: Any = {"env": env_cfg, "agent": agent_cfg}[section]
        for depth, key in enumerate(keys):
            value = _child(current, key)
            if value is _MISSING:
                where = ".".join([section, *keys[:depth]])
                raise UserError(f"Setting {path} names no field of {where}; {suggestion(key, _children(current))}")
            current = value
        _check_kind(path, current, text)


def _children(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        return [str(key) for key in node]
    if not dataclasses.is_dataclass(node):
        return []
    return [field.name for field in dataclasses.fields(node) if not field.name.startswith("_")]


def _child(node: Any, key: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(key, _MISSING)
    if isinstance(node, list | tuple):
        return node[int(key)] if key.isdigit() and int(key) < len(node) else _MISSING
    return getattr(node, key) if key in _children(node) else _MISSING


def _check_kind(path: str, current: Any, text: str) -> None:
    """Refuse text for a number, a number for a switch, and so on; fields without a value accept anything."""
    value: Any
    try:
        value = {"true": True, "false": False, "none": None, "null": None}[text.lower()]
    except KeyError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
    if isinstance(current, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(current, int | float):
        fits, kind = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif isinstance(current, list | tuple):
        fits, kind = isinstance(value, list | tuple), "a list such as [1,2]"
    else:
        return
    if not fits and value is not None:
        raise UserError(f"Setting {path}={text} must be {kind}.")

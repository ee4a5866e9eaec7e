# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of settings such as ``agent.algorithm.gamma=0.98`` before they are applied.

Isaac Lab's resolver sets any attribute that it is told to, so a mistyped name would be accepted and do nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.cli.parser import suggestion
from cpo_rl.errors import UserError

_MISSING = object()


def take_selector(name: str, option: str | None, overrides: Sequence[str]) -> tuple[str | None, list[str]]:
    """Join the two spellings of a selector, ``--physics NAME`` and ``physics=NAME``.

    Args:
        name: Selector, such as ``physics``.
        option: Value of the option, or None.
        overrides: Settings, among them perhaps the selector.

    Returns:
        The chosen value or None, and the settings without the selector.

    Raises:
        UserError: If the selector is given twice with different values, or without a value.
    """
    values = {token.partition("=")[2] for token in overrides if token.startswith(f"{name}=")} | ({option} - {None})
    if len(values) > 1:
        raise UserError(f"{name} is given as {' and as '.join(sorted(map(repr, values)))}; keep one of them.")
    value = values.pop() if values else None
    if value == "":
        raise UserError(f"{name}= needs a name behind it.")
    return value, [token for token in overrides if not token.startswith(f"{name}=")]


def check_settings(settings: Sequence[str], env_cfg: Any, agent_cfg: Any) -> None:
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
    return [name for name in getattr(node, "__dataclass_fields__", {}) if not name.startswith("_")]


def _child(node: Any, key: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(key, _MISSING)
    if isinstance(node, list | tuple):
        return node[int(key)] if key.isdigit() and int(key) < len(node) else _MISSING
    return getattr(node, key, _MISSING) if key in _children(node) else _MISSING


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

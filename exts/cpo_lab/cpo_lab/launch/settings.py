# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings such as ``env.episode_length_s=5`` or ``physics=ovphysx`` as text: told apart, joined and written.

Nothing heavy is imported here, because every command reads them; :mod:`cpo_lab.launch.resolution` applies them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cpo_rl.errors import UserError

_SETTING = re.compile(r"(env|agent)\.|(physics|renderer|presets)$")
"""What the name of a setting looks like."""


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

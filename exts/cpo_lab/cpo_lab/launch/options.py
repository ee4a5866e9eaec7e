# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of what a launcher decides itself: they mean the option that says the same, or are refused with its name.

Device, seed and sizes are written into both configurations after the settings were applied, so these settings would
change nothing if they were only applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.launch.settings import names_of
from cpo_rl.errors import UserError
from cpo_rl.fields import Limits

MOST_ENVS = 2**20
"""Environments that no machine holds more of."""

OPTIONS = {
    "agent.device": "device",
    "env.sim.device": "device",
    "agent.seed": "seed",
    "env.seed": "seed",
    "env.scene.num_envs": "num_envs",
    "agent.algorithm.num_policies": "num_policies",
}
"""Settings, and the option that each means."""

ITERATIONS = {"agent.max_iterations": "iterations"}
"""Another one, for training only."""

LIMITS = {
    "seed": Limits(at_least=0, below=2**31),
    "num_envs": Limits(at_least=1, at_most=MOST_ENVS),
    "num_policies": Limits(at_least=1, at_most=1000),
    "iterations": Limits(at_least=1, below=2**63),
}
"""What these options accept; all are integers."""

INSTEAD = {
    **dict.fromkeys(("agent.resume", "agent.load_run", "agent.load_checkpoint"), "--resume or --checkpoint"),
    "agent.run_name": "--run_name",
    "env.log_dir": "--log_dir or --log_root",
    "agent.class_name": "cpo-lab train, whose runner is always its own",
    **dict.fromkeys(("agent.derived_from", "agent.derived_otherwise"), "--task, whose PPO they tell about"),
}
"""Settings that change nothing here, and what to use instead."""


def take_options(
    settings: Sequence[str], given: Mapping[str, Any], options: Mapping[str, str] = OPTIONS
) -> tuple[dict[str, Any], list[str]]:
    """Take the settings that mean options out of a list.

    Args:
        settings: Settings as text.
        given: Values of the options, None for those that are left open.
        options: Option by setting.

    Returns:
        The options that are given in either way, and the other settings.

    Raises:
        UserError: If a setting contradicts an option or another setting, is no value of it, or changes nothing here.
    """
    taken, rest = {name: value for name, value in given.items() if value is not None}, []
    for token in settings:
        setting, _, text = token.partition("=")
        if setting in INSTEAD:
            raise UserError(f"Setting {setting} changes nothing here; use {INSTEAD[setting]}.")
        if setting not in options:
            rest.append(token)
            continue
        option = options[setting]
        value = _value(token, option, text)
        if taken.setdefault(option, value) != value:
            raise UserError(f"{token} contradicts {option}={taken[option]}, which is given as well; keep one of them.")
    return taken, rest


def without_options(settings: Sequence[str]) -> list[str]:
    """Return settings without those that mean options, for a run that keeps the options besides."""
    names = names_of(settings) & {*OPTIONS, *INSTEAD}
    return [token for token in settings if token.partition("=")[0] not in names]


def _value(token: str, option: str, text: str) -> Any:
    """Return the value of an option that a setting's text means.

    Raises:
        UserError: If it means none.
    """
    text = text.strip("'\"")
    if option not in LIMITS:
        return text
    try:
        number = float(text)
        value = int(text) if text.lstrip("+-").isdecimal() else int(number)
        if value != number:
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(f"Setting {token} must be an integer.") from None
    if not LIMITS[option].allow(value):
        raise UserError(f"Setting {token} must {LIMITS[option].rule}.")
    return value

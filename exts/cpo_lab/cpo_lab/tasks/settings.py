# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of a task's own settings: values out of range are refused, and so are those that have no effect.

A field is declared with :func:`cpo_rl.fields.setting`, in a configuration of Isaac Lab's or in a plain dataclass that
one inherits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.fields import Limits, declarations

LARGEST = 1.0e9
"""Largest magnitude of a task's number where its own limits say nothing: in 32 bits, sums with larger ones are lost."""


def own_settings(cfg: Any, where: str = "") -> Iterator[tuple[str, Any, Any, Limits]]:
    """Yield all fields of a configuration, and of those in it, that were declared with ``setting``.

    Args:
        cfg: The configuration.
        where: Its own place, such as ``scene.``.

    Yields:
        Place of the field such as ``scene.env_spacing``, its value, the default it was declared with, and its limits.
    """
    declared = declarations(type(cfg))
    for name in (each.name for each in fields(cfg)):
        value = getattr(cfg, name)
        if name in declared:
            yield (where + name, value, *declared[name])
        elif is_dataclass(value) and not isinstance(value, type):
            yield from own_settings(value, f"{where}{name}.")


def check_values(cfg: Any) -> None:
    """Refuse the first setting of a task that has a value of another kind than its default's, or out of range.

    Raises:
        UserError: Naming it.
    """
    for name, value, default, limits in own_settings(cfg):
        kind, is_of_kind = _kind(default)
        if not is_of_kind(value):
            raise UserError(f"env.{name}={value!r} must be {kind}.")
        entries = value if isinstance(value, list | tuple) else [value]
        if not all(limits.allow(entry) for entry in entries):
            raise UserError(f"env.{name}={value!r} must {limits.rule}.")
        if any(_is_number(entry) and abs(entry) > LARGEST for entry in entries):
            raise UserError(f"env.{name}={value!r} must lie within {-LARGEST:g} and {LARGEST:g}.")


_DEFAULTS: dict[type, Any] = {}


def defaults_of(cfg: Any) -> Any:
    """A configuration of the same class without any change; not to be changed itself, because it is made only once."""
    if type(cfg) not in _DEFAULTS:
        _DEFAULTS[type(cfg)] = type(cfg)()
    return _DEFAULTS[type(cfg)]


def part_of[Part](cfg: Any, kind: type[Part]) -> Part:
    """Return by themselves the settings that a configuration inherits from a plain dataclass ``kind``."""
    return kind(**{each.name: getattr(cfg, each.name) for each in fields(kind)})  # type: ignore[arg-type]


def refuse_changed(cfg: Any, names: Sequence[str], why: str, where: str = "") -> None:
    """Refuse settings that differ from their defaults although they have no effect.

    Args:
        cfg: The task's settings, or a configuration in them.
        names: Places of fields that have no effect now, such as ``force_decay`` or ``scene.object``.
        why: Why, to stand behind "has no effect".
        where: Place of ``cfg`` itself, such as ``names.``.

    Raises:
        UserError: Naming the first one that was changed.
    """
    defaults = defaults_of(cfg)
    for name in names:
        if _plain(_at(cfg, name)) != _plain(_at(defaults, name)):
            raise UserError(f"env.{where}{name} was changed but has no effect {why}; leave it out.")


def _at(cfg: Any, name: str) -> Any:
    for part in name.split("."):
        cfg = getattr(cfg, part)
    return cfg


def _plain(value: Any) -> Any:
    """A configuration as dictionaries, sequences as tuples: what is equal is then equal."""
    from isaaclab.utils import to_dict

    if is_dataclass(value):
        value = to_dict(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _kind(default: Any) -> tuple[str, Callable[[Any], bool]]:
    """The kind of a default in words, and whether another value is of it."""
    if isinstance(default, bool):
        return "true or false", lambda value: isinstance(value, bool)
    if isinstance(default, int):
        return "an integer", lambda value: type(value) is int
    if isinstance(default, float):
        return "a finite number", _is_number
    if isinstance(default, tuple):
        count = len(default)
        return (
            f"{count} finite numbers",
            lambda value: isinstance(value, list | tuple) and len(value) == count and all(map(_is_number, value)),
        )
    return "text", lambda value: isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A task's own settings: each field says which values it takes, and a task refuses all others and those without effect.

A field is declared with :func:`setting`, in a configuration of Isaac Lab's or in a plain dataclass that one inherits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from cpo_rl.errors import UserError

_KEY = "values"


@dataclass(frozen=True)
class Values:
    """The values that a setting takes; where it is a tuple, those that each of its entries takes."""

    kind: str
    """Kind of value: a key of :data:`_KINDS`, or ``3 numbers`` and the like."""
    at_least: float | None = None
    """Smallest value."""
    above: float | None = None
    """Largest value that is too small."""
    at_most: float | None = None
    """Largest value."""
    choices: tuple[str, ...] = ()
    """Words to choose from."""

    def rule(self) -> str:
        """The values in words, to stand behind "must be"."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        bounds = (("at least", self.at_least), ("above", self.above), ("at most", self.at_most))
        limits = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        return f"{self.kind} {limits}".strip()

    def contain(self, value: Any) -> bool:
        """Whether a value is one of them."""
        if self.kind.endswith(_NUMBERS):
            many = isinstance(value, list | tuple) and len(value) == int(self.kind.split()[0])
            return many and all(_is_number(entry) and self._within(entry) for entry in value)
        return _KINDS[self.kind](value) and (value in self.choices if self.choices else self._within(value))

    def _within(self, value: Any) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
        )


def setting(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Declare a field of a task's settings.

    A subclass may give the field another default as usual; the values that it takes stay.

    Args:
        default: Its default: a number, a switch, a word or a tuple of numbers.
        at_least: Smallest value.
        above: Largest value that is too small.
        at_most: Largest value.
        choices: Words to choose from.
    """
    return field(default=default, metadata={_KEY: Values(_kind(default), at_least, above, at_most, tuple(choices))})


def own_settings(cfg: Any, where: str = "") -> Iterator[tuple[str, Any, Values]]:
    """Yield all fields of a configuration, and of those in it, that were declared with :func:`setting`.

    Args:
        cfg: The configuration.
        where: Its own place, such as ``scene.``.

    Yields:
        Place of the field such as ``scene.env_spacing``, its value, and the values that it takes.
    """
    for each in fields(cfg):
        value = getattr(cfg, each.name)
        values = _values(type(cfg), each.name)
        if values is not None:
            yield where + each.name, value, values
        elif is_dataclass(value) and not isinstance(value, type):
            yield from own_settings(value, f"{where}{each.name}.")


def check_values(cfg: Any) -> None:
    """Refuse the first setting of a configuration that has a value of another kind or out of range.

    Raises:
        UserError: Naming it.
    """
    for name, value, values in own_settings(cfg):
        if not values.contain(value):
            raise UserError(f"{name} must be {values.rule()}, not {value!r}.")


def refuse_changed(cfg: Any, names: Sequence[str], why: str, where: str = "") -> None:
    """Refuse settings that differ from their defaults although they have no effect.

    Args:
        cfg: The task's settings.
        names: Places of fields that have no effect now, such as ``force_decay`` or ``scene.object``.
        why: Why, to stand behind "has no effect".
        where: Place of ``cfg`` itself, such as ``names.``.

    Raises:
        UserError: Naming the first one that was changed.
    """
    defaults = type(cfg)()
    for name in names:
        if _plain(_at(cfg, name)) != _plain(_at(defaults, name)):
            raise UserError(f"{where}{name} was changed but has no effect {why}; leave it out.")


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


def _values(cls: type, name: str) -> Values | None:
    """What the class that declares a field says about its values; a subclass may have changed the default alone."""
    for base in cls.__mro__:
        declared = vars(base).get("__dataclass_fields__", {}).get(name)
        if declared is not None and _KEY in declared.metadata:
            return declared.metadata[_KEY]
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "true or false": lambda value: isinstance(value, bool),
    "a whole number": lambda value: type(value) is int,
    "a finite number": _is_number,
    "a word": lambda value: isinstance(value, str),
}
"""Kinds of single values, in the words of the sentence that refuses others."""

_NUMBERS = "finite numbers"


def _kind(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, tuple):
        return f"{len(default)} {_NUMBERS}"
    return {int: "a whole number", float: "a finite number", str: "a word"}[type(default)]

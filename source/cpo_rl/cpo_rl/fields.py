# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Fields of settings that say beside their default what they accept, and the checks that read it.

A settings class is a dataclass. Its annotations give the kind of a value, :func:`setting` its range or choices::

    @dataclass
    class MyCfg(EnsembleCfg):
        smoothness_coef: float = setting(0.01, at_least=0.0)

Nothing else needs to know the field: :func:`build_cfg` makes checked settings from a dictionary, :func:`read_values`
reads what was typed. Every refusal is a :class:`~cpo_rl.errors.UserError` in one sentence that names the field.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from types import NoneType, UnionType
from typing import Any

from cpo_rl.errors import UserError, suggestion

_KEY = "cpo_rl.limits"

_KINDS = {int: "an integer", float: "a finite number", bool: "true or false", str: "text"}
"""Kinds of values that are checked, and what they are called; a number is finite, so that no range can be fooled."""

_EACH = "in every entry "

LARGEST = 3.4e38
"""Largest magnitude of a number: what 32 bits hold, in which everything is computed."""


@dataclass(frozen=True)
class Limits:
    """What a field accepts, of a list every entry of it."""

    at_least: float | None = None
    """Smallest value."""

    above: float | None = None
    """Largest value that is too small."""

    at_most: float | None = None
    """Largest value."""

    below: float | None = None
    """Smallest value that is too large."""

    choices: tuple[str, ...] = ()
    """Accepted texts; empty for any."""

    entries: int = 0
    """Least number of entries of a list."""

    fixed: bool = False
    """Whether it cannot change once training was set up, because buffers or modules were made by it."""

    kept: bool = False
    """Whether a run that goes on from a checkpoint keeps it, because the checkpoint holds what was made by it."""

    def allow(self, value: Any) -> bool:
        """Whether a value of the right kind is accepted."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and (not self.choices or value in self.choices)
        )

    @property
    def rule(self) -> str:
        """The rule as it follows "must", such as "lie in (0, 1]"."""
        if self.choices:
            return f"be one of {', '.join(self.choices)}"
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if low is not None and high is not None:
            left, right = "[" if self.above is None else "(", "]" if self.below is None else ")"
            return f"lie in {left}{low:g}, {high:g}{right}"
        if high is not None:
            return f"be at most {high:g}" if self.below is None else f"be below {high:g}"
        if self.at_least == 0:
            return "not be negative"
        return f"be at least {low:g}" if self.above is None else f"be above {low:g}"


def setting(
    default: Any = MISSING,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    entries: int = 0,
    fixed: bool = False,
    kept: bool = False,
) -> Any:
    """Declare a field of a settings class.

    Args:
        default: Its default, a list is copied; left out for a field that must be given.
        at_least: Smallest value that is accepted; of a list, of its entries.
        above: Values must be larger than this.
        at_most: Largest value that is accepted.
        below: Values must be smaller than this.
        choices: Texts that are accepted; empty for any.
        entries: Least number of entries of a list.
        fixed: Whether it cannot change once training was set up, because buffers or modules were made by it.
        kept: Whether a run that goes on from a checkpoint keeps it, because the checkpoint holds what was made by it.

    Returns:
        The dataclass field, which carries the rest as metadata.
    """
    metadata = {_KEY: Limits(at_least, above, at_most, below, tuple(choices), entries, fixed, kept)}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def declarations(cls: type) -> dict[str, tuple[Any, Limits]]:
    """Default and limits with which every field of a class was declared by :func:`setting`, by name.

    A subclass may give a field another default; what it accepts stays.
    """
    found: dict[str, tuple[Any, Limits]] = {}
    for base in cls.__mro__:
        for name, each in vars(base).get("__dataclass_fields__", {}).items():
            if _KEY in each.metadata:
                found.setdefault(name, (each.default, each.metadata[_KEY]))
    return found


def limits_of(cls: type) -> dict[str, Limits]:
    """What every field of a settings class accepts, by name."""
    declared = declarations(cls)
    return {f.name: declared[f.name][1] if f.name in declared else Limits() for f in dataclasses.fields(cls)}


class _Kind(typing.NamedTuple):
    """What an annotation says about a value."""

    of: type | None
    """A key of :data:`_KINDS`, of a list that of its entries; None for what is not checked."""

    many: bool = False
    """Whether it is a list or tuple."""

    optional: bool = False
    """Whether it may be None."""


def _kinds_of(cls: type) -> dict[str, _Kind]:
    """Kind of every field of a settings class, by name."""
    hints = typing.get_type_hints(cls)
    return {f.name: _kind(hints[f.name]) for f in dataclasses.fields(cls)}


def _kind(hint: Any) -> _Kind:
    """The kind that an annotation such as ``float``, ``list[int]`` or ``int | None`` means."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, UnionType):
        options = [_kind(arg) for arg in args if arg is not NoneType]
        return options[0]._replace(optional=NoneType in args) if len(options) == 1 else _Kind(None)
    if typing.get_origin(hint) in (list, tuple):
        return _Kind(args[0] if args[0] in _KINDS else None, many=True)
    return _Kind(hint if hint in _KINDS else None)


def check_fields(cfg: Any, section: str) -> None:
    """Check every field of a settings object by itself.

    Args:
        cfg: The settings, an instance of a dataclass.
        section: What they are settings of, for the message.

    Raises:
        UserError: Naming the first field whose value is of another kind or out of range.
    """
    limits = limits_of(type(cfg))
    for name, kind in _kinds_of(type(cfg)).items():
        value = getattr(cfg, name)
        if kind.of is None or (kind.optional and value is None):
            continue
        entries = value if kind.many else [value]
        if kind.many and not (isinstance(value, list | tuple) and len(value) >= limits[name].entries):
            raise _refusal(section, name, value, f"be a list of at least {limits[name].entries} entries")
        if not all(_is_a(entry, kind.of) for entry in entries):
            raise _refusal(section, name, value, f"{_EACH * kind.many}be {_KINDS[kind.of]}")
        if not all(limits[name].allow(entry) for entry in entries):
            raise _refusal(section, name, value, f"{_EACH * kind.many}{limits[name].rule}")


def require(cfg: Any, section: str, name: str, ok: bool, rule: str) -> None:
    """Check a rule between fields.

    Args:
        cfg: The settings.
        section: What they are settings of.
        name: The field to name.
        ok: Whether the rule holds.
        rule: What follows "must" in the message.

    Raises:
        UserError: If it does not hold.
    """
    if not ok:
        raise _refusal(section, name, getattr(cfg, name), rule)


def build_cfg(cls: type, values: Mapping[str, Any], section: str) -> Any:
    """Make checked settings from a dictionary.

    Args:
        cls: The settings class; its ``validate()`` checks them.
        values: Values by field; ``class_name`` is ignored because rsl_rl uses it to find the class.
        section: What they are settings of, for messages (``algorithm`` or ``model``).

    Raises:
        UserError: On an unknown field or a value that is not accepted.
    """
    values = {name: value for name, value in values.items() if name != "class_name"}
    refuse_unknown(values, [f.name for f in dataclasses.fields(cls)], section)
    cfg = cls(**values)
    cfg.validate()
    return cfg


def refuse_unknown(names: Iterable[str], known: Sequence[str], section: str) -> None:
    """Refuse names that are no fields.

    Raises:
        UserError: Naming the first one and what it may have meant.
    """
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UserError(f"Unknown {section} field {unknown[0]!r}; {suggestion(unknown[0], known)}")


def read_values(cls: type, texts: Mapping[str, str], section: str) -> dict[str, Any]:
    """Read values that were typed.

    Args:
        cls: The settings class.
        texts: Texts by field, such as ``2e6``, ``true`` and ``[a, b]``.
        section: What they are settings of, for messages.

    Returns:
        Values by field; :func:`check_fields` checks their ranges.

    Raises:
        UserError: On an unknown field or a text that is no value of its kind.
    """
    refuse_unknown(texts, [f.name for f in dataclasses.fields(cls)], section)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        kind = _kinds_of(cls)[name]
        parts = [part for part in text.strip("[]()").split(",") if part.strip()] if kind.many else [text]
        try:
            read = [_read(part.strip(" '\""), kind.of) for part in parts]
        except (KeyError, ValueError, OverflowError):
            raise UserError(f"{section} field {name}={text} must be {_KINDS[kind.of or str]}.") from None
        values[name] = tuple(read) if kind.many else read[0]
    return values


def _read(text: str, kind: type | None) -> Any:
    """Value of a kind that a text means.

    Raises:
        KeyError, ValueError, OverflowError: If it means none.
    """
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind not in (int, float):
        return text
    number = float(text)
    if kind is int and number != int(number):
        raise ValueError(text)
    return kind(number)


def _is_a(value: Any, kind: type) -> bool:
    """Whether a value is of a kind; an integer is a number, but a switch is neither."""
    if kind is float:
        return type(value) in (int, float) and abs(value) <= LARGEST  # a NaN is not
    if kind is int:
        return type(value) is int and abs(value) < 2**63
    return isinstance(value, str) if kind is str else type(value) is kind


def _refusal(section: str, name: str, value: Any, rule: str) -> UserError:
    return UserError(f"{section} field {name}={value!r} must {rule}.")

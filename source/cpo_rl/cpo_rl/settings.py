# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From dictionaries to validated settings, and the sentences in which invalid ones are refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from cpo_rl.errors import UserError


def build_cfg(cls: type, settings: dict[str, Any], section: str) -> Any:
    """Make a validated settings object from a dictionary.

    Args:
        cls: :class:`~cpo_rl.config.EnsembleCfg` or :class:`~cpo_rl.config.ModelCfg`.
        settings: Field values; ``class_name`` is ignored because rsl_rl uses it to find the class.
        section: Name of the section, for messages (``algorithm`` or ``model``).

    Raises:
        UserError: On an unknown field or a value out of range.
    """
    known = {f.name for f in dataclasses.fields(cls)}
    values = {k: v for k, v in settings.items() if k != "class_name"}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"Unknown {section} field {unknown[0]!r}; known fields are {', '.join(sorted(known))}.")
    cfg = cls(**values)
    cfg.validate()
    return cfg


def require(cfg: object, name: str, ok: bool, rule: str) -> None:
    """Raise :class:`UserError` in the form "name=value must <rule>." unless ``ok``."""
    if not ok:
        raise UserError(f"{name}={getattr(cfg, name)!r} must {rule}.")


def positive_ints(values: Any) -> bool:
    """Whether this is a list of at least one integer, all above 0."""
    return isinstance(values, list | tuple) and len(values) > 0 and all(type(v) is int and v > 0 for v in values)


def check_types(cfg: Any, kinds: Mapping[str, str], section: str) -> None:
    """Refuse values of the wrong kind and non-finite numbers, so that range checks cannot be fooled.

    Args:
        cfg: Dataclass to check.
        kinds: ``int``, ``float``, ``bool`` or ``str`` by field name; fields of other kinds are not checked here.
        section: Name of the section, for messages.

    Raises:
        UserError: Naming the first field whose value is of another kind.
    """
    for f in dataclasses.fields(cfg):
        if f.name not in kinds:
            continue
        value, kind = getattr(cfg, f.name), kinds[f.name]
        good = {
            "int": type(value) is int,
            "float": type(value) in (int, float) and math.isfinite(value),
            "bool": type(value) is bool,
            "str": isinstance(value, str),
        }.get(kind, True)
        if not good:
            raise UserError(
                f"{section} field {f.name}={value!r} must be a finite {kind}."
                if kind == "float"
                else f"{section} field {f.name}={value!r} must be of type {kind}."
            )

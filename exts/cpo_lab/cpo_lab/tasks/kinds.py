# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a field of a configuration may hold, read from its annotation: is a value of that kind, and what is it called?

Annotations of Isaac Lab's configurations are texts that name classes which are imported for type checkers only, so they
are read as expressions and not evaluated.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.fields import LARGEST

PLAIN = {"bool": "true or false", "int": "an integer", "float": "a number", "str": "text", "None": "none"}
"""Kinds without parts, and what they are called."""

CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""How a configuration names code: ``package.module:name``."""


@dataclass(frozen=True)
class Kind:
    """A kind of values."""

    name: str
    """A key of :data:`PLAIN`; ``list``, ``tuple`` or ``dict``; ``Literal``; ``union``; ``code`` (a function or class);
    ``group`` (a configuration, which cannot be written as a value); ``any``."""

    parts: tuple[Kind, ...] = ()
    """Kinds of the entries of a list, a tuple or a dictionary (keys, values), or the members of a union."""

    choices: tuple[Any, ...] = ()
    """Values of a ``Literal``."""

    open: bool = False
    """Whether a tuple has any number of entries."""

    def holds(self, value: Any) -> bool:
        """Whether a value is of this kind; numbers are finite, lists and tuples are the same."""
        match self.name:
            case "any":
                return True
            case "union":
                return any(part.holds(value) for part in self.parts)
            case "None":
                return value is None
            case "bool":
                return isinstance(value, bool)
            case "int":
                return type(value) is int and abs(value) < 2**63
            case "float":
                return type(value) in (int, float) and abs(value) <= LARGEST
            case "str":
                return isinstance(value, str)
            case "Literal":
                return any(type(value) is type(choice) and value == choice for choice in self.choices)
            case "list" | "tuple":
                return isinstance(value, list | tuple) and self._holds_entries(value)
            case "dict":
                return isinstance(value, Mapping) and all(
                    self.parts[0].holds(key) and self.parts[1].holds(entry) for key, entry in value.items()
                )
            case "code":
                return callable(value) or (isinstance(value, str) and bool(CODE.fullmatch(value)))
        return is_dataclass(value)

    def _holds_entries(self, value: list[Any] | tuple[Any, ...]) -> bool:
        if self.name == "list" or self.open:
            return all(self.parts[0].holds(entry) for entry in value)
        return len(value) == len(self.parts) and all(
            part.holds(entry) for part, entry in zip(self.parts, value, strict=True)
        )

    @property
    def words(self) -> str:
        """What it is called, as it follows "must be"."""
        match self.name:
            case "union":
                writable = [part for part in self.parts if part.words]
                return " or ".join(dict.fromkeys(part.words for part in writable))
            case "Literal":
                return f"one of {', '.join(map(str, self.choices))}"
            case "tuple" if not self.open:
                entries = {part.words for part in self.parts}
                return f"a list of {len(self.parts)}, each {' or '.join(sorted(entries))}"
            case "list" | "tuple":
                return f"a list such as [1,2], each {self.parts[0].words or 'a value'}"
            case "dict":
                return f"a dictionary such as {{name:1}}, each {self.parts[1].words or 'a value'}"
            case "code":
                return "code, written package.module:name"
        return PLAIN.get(self.name, "")

    @property
    def names_code(self) -> bool:
        """Whether a value of it is a function or class, and nothing else but none."""
        kinds = [part for part in (self.parts if self.name == "union" else (self,)) if part.name != "None"]
        return any(kind.name == "code" for kind in kinds) and all(kind.name in ("code", "str") for kind in kinds)

    def part(self, key: str) -> Kind:
        """Kind of an entry of it, for going down into a list or a dictionary."""
        kinds = self.parts if self.name == "union" else (self,)
        for kind in kinds:
            if kind.name == "dict":
                return kind.parts[1]
            if kind.name == "list" or (kind.name == "tuple" and kind.open):
                return kind.parts[0]
            if kind.name == "tuple" and key.isdigit() and int(key) < len(kind.parts):
                return kind.parts[int(key)]
        return ANY


ANY = Kind("any")


def kind_of(value: Any) -> Kind:
    """The kind of a value itself, for fields whose annotation says nothing; a list of anything for a list."""
    if isinstance(value, list | tuple):
        return Kind("list", (ANY,))
    if callable(value):
        return Kind("code")
    if type(value) is int:
        return Kind("float")  # a default such as 1 says nothing about whether 1.5 is meant as well
    return Kind(type(value).__name__) if type(value).__name__ in PLAIN else ANY


def told_kind(kind: Kind, value: Any) -> Kind:
    """The kind that a field's annotation says, or that of its default where the annotation is not to be believed."""
    return kind if kind.holds(value) or (kind.name == "group" and value is None) else kind_of(value)


_KINDS: dict[tuple[type, str], Kind] = {}


def field_kind(owner: type, name: str) -> Kind:
    """The kind of a configuration's field.

    Args:
        owner: The configuration's class.
        name: The field.
    """
    if (owner, name) not in _KINDS:
        _KINDS[owner, name] = _read_kind(owner, name)
    return _KINDS[owner, name]


def _read_kind(owner: type, name: str) -> Kind:
    for base in owner.__mro__:
        own = vars(base).get("__configclass_own_fields__", vars(base).get("__annotations__", ()))
        hint = vars(base).get("__annotations__", {}).get(name)
        if name in own and hint is not None:
            return _read(hint, base.__module__)
    return ANY


def _read(hint: Any, module: str) -> Kind:
    """The kind that an annotation means, a text or a type."""
    if isinstance(hint, type) and not hasattr(hint, "__args__"):
        return Kind(hint.__name__) if hint.__name__ in PLAIN else _class(hint)
    try:
        return _node(ast.parse(str(hint), mode="eval").body, module)
    except SyntaxError:
        return ANY


def _node(node: ast.expr, module: str) -> Kind:
    """The kind that an expression in an annotation means."""
    if isinstance(node, ast.BinOp):
        parts = [_node(side, module) for side in (node.left, node.right)]
        flat = [each for part in parts for each in (part.parts if part.name == "union" else (part,))]
        told = tuple(part for part in flat if part.name != "any")  # "or anything" is meant for type checkers
        return Kind("union", told) if told else ANY
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _read(node.value, module)
        return Kind("None") if node.value is None else ANY
    if isinstance(node, ast.Subscript):
        return _subscript(node, module)
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name in PLAIN:
        return Kind(name)
    if name == "NoneType":
        return Kind("None")
    if name in ("Any", "object"):
        return ANY if name == "Any" else Kind("group")
    if name in ("Callable", "type"):
        return Kind("code")
    if name in ("list", "tuple"):
        return Kind("list", (ANY,))
    if name == "dict":
        return Kind("dict", (ANY, ANY))
    found = vars(sys.modules.get(module, ast)).get(name) if isinstance(node, ast.Name) else None
    if found is None:
        return Kind("group")  # a class that only a type checker imports
    return _class(found) if isinstance(found, type) else _read(found, module)


def _subscript(node: ast.Subscript, module: str) -> Kind:
    """The kind that an annotation such as ``list[int]`` means."""
    name = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return Kind("Literal", choices=tuple(ast.literal_eval(each) for each in inner))
    if name in ("Callable", "type"):
        return Kind("code")
    if name == "Union":
        return Kind("union", tuple(_node(each, module) for each in inner))
    if name == "Optional":
        return Kind("union", (_node(inner[0], module), Kind("None")))
    if name == "ClassVar":
        return Kind("group")  # belongs to the class
    if name == "dict":
        return Kind("dict", tuple(_node(each, module) for each in inner))
    if name in ("list", "Sequence"):
        return Kind("list", (_node(inner[0], module),))
    if name == "tuple":
        is_open = isinstance(inner[-1], ast.Constant) and inner[-1].value is ...
        parts = [_node(each, module) for each in (inner[:-1] if is_open else inner)]
        return Kind("tuple", tuple(parts), open=is_open)
    return ANY


def _class(found: type) -> Kind:
    return Kind("group") if is_dataclass(found) or found.__module__.startswith("isaaclab") else ANY


def refuse_unknown_code(setting: str, text: str) -> None:
    """Refuse the name of a function or class that cannot be had.

    Args:
        setting: The setting that gives it, for the message.
        text: ``package.module:name``.

    Raises:
        UserError: If there is no such module or nothing of that name in it.
    """
    module, colon, name = text.partition(":")
    try:
        if not colon:
            raise ImportError("it lacks a colon")
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever importing somebody's module raises
        told = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise UserError(f"{setting} names code that cannot be had ({told}); write package.module:name.") from None
    if not callable(found):
        raise UserError(f"{setting} names no function or class; write package.module:name.")

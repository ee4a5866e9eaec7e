# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The structure of a checkpoint's table of contents, followed without building any of it.

A few hundred bytes of pickle's instructions can describe more lists than memory holds, by referring to one list twice
at every level, and a tensor larger than its file, by a stride of zero. So the instructions are followed with
placeholders first, and what they would build must have bounds: in depth, in entries when every reference is written
out, and in bytes against the file.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_DEPTH = 50
"""Levels of dictionaries, lists and tuples; ours have about eight."""

MOST_ENTRIES = 1_000_000
"""Entries of all of them together, a shared one counted wherever it is; ours have some thousands."""

MOST_INSTRUCTIONS = 5_000_000
"""Instructions that are followed at all."""

ITEM_BYTES = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Char", "Byte", "Bool"), 1),
}
"""Bytes of an item by the kind of a storage, and the kinds that there are."""

ALLOWED = frozenset(
    {"collections OrderedDict", "torch._utils _rebuild_tensor_v2"} | {f"torch {kind}Storage" for kind in ITEM_BYTES}
)
"""The only names the instructions of a checkpoint may refer to."""


class RefusedError(ValueError):
    """What the instructions describe is no checkpoint; the message is the part of a sentence that says why."""


@dataclass(eq=False)
class _Node:
    """Stands for a value that would be built."""

    kind: str
    """``plain``, ``global``, ``tuple``, ``list``, ``dict``, ``storage`` or ``tensor``."""

    value: Any = None
    """Of a number or text itself, of a global its name, of a storage its items."""

    children: list[_Node] = field(default_factory=list)
    """What it holds."""


class _Machine:
    """Follows instructions with placeholders.

    Args:
        sizes: Bytes of the storages in the file, by key.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.stack: list[_Node] = []
        self.marks: list[int] = []
        self.memo: dict[int, _Node] = {}

    def follow(self, instructions: bytes) -> _Node:
        """Return what stands for the whole."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(instructions)):
            if number > MOST_INSTRUCTIONS:
                raise RefusedError(f"it has more than {MOST_INSTRUCTIONS} instructions")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _PLAIN:
                self.stack.append(_Node("plain", _PLAIN[opcode.name](argument)))
            elif opcode.name in _MOVES:
                _MOVES[opcode.name](self, argument)
            else:
                raise RefusedError(f"it refers to {argument or opcode.name!r}, which no checkpoint needs")
        raise RefusedError("its table of contents has no end")

    def name(self, text: str) -> None:
        if text not in ALLOWED:
            raise RefusedError(f"it refers to {text!r}, which no checkpoint needs")
        self.stack.append(_Node("global", text))

    def items(self) -> list[_Node]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        taken, self.stack[start:] = self.stack[start:], []
        return taken

    def tuple_of(self, children: list[_Node]) -> None:
        self.stack.append(_Node("tuple", None, children))

    def last(self, count: int) -> list[_Node]:
        if len(self.stack) < count:
            raise RefusedError("its table of contents is damaged")
        taken, self.stack[-count:] = self.stack[-count:], []
        return taken

    def extend(self, children: list[_Node], *kinds: str) -> None:
        if not self.stack or self.stack[-1].kind not in kinds:
            raise RefusedError("its table of contents is damaged")
        self.stack[-1].children += children

    def keep(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def load_storage(self) -> None:
        """``("storage", kind, key, location, number of items)``."""
        (identity,) = self.last(1)
        word, kind, key, _, items = [child.value for child in identity.children]
        bytes_ = items * ITEM_BYTES[str(kind).removeprefix("torch ").removesuffix("Storage")]
        if word != "storage" or type(items) is not int or not 0 <= bytes_ <= self.sizes[key]:
            raise RefusedError("a tensor in it is larger than its place in the file")
        self.stack.append(_Node("storage", items))

    def call(self) -> None:
        """Only an empty ordered dictionary, or ``_rebuild_tensor_v2(storage, offset, size, stride, ...)``."""
        function, arguments = self.last(2)
        if function.value == "collections OrderedDict" and not arguments.children:
            self.stack.append(_Node("dict"))
            return
        if function.value != "torch._utils _rebuild_tensor_v2":
            raise RefusedError(f"it calls {function.value!r} as no checkpoint does")
        storage, _, size, *_ = arguments.children
        count = math.prod(child.value for child in size.children)
        if storage.kind != "storage" or any(child.value < 0 for child in size.children) or count > storage.value:
            raise RefusedError("a tensor in it is larger than its place in the file")
        self.stack.append(_Node("tensor"))


_PLAIN: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), lambda argument: argument),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), lambda argument: argument),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
}
"""Instructions that put a plain value on the stack."""


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.tuple_of(machine.last(count))


_MOVES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    "GLOBAL": lambda machine, text: machine.name(text),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, number: machine.keep(number)),
    "MEMOIZE": lambda machine, _: machine.keep(len(machine.memo)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, number: machine.stack.append(machine.memo[number])),
    "EMPTY_DICT": lambda machine, _: machine.stack.append(_Node("dict")),
    "EMPTY_LIST": lambda machine, _: machine.stack.append(_Node("list")),
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of([]),
    "TUPLE": lambda machine, _: machine.tuple_of(machine.items()),
    **{f"TUPLE{count}": _tuple_of(count) for count in (1, 2, 3)},
    "APPEND": lambda machine, _: machine.extend(machine.last(1), "list"),
    "APPENDS": lambda machine, _: machine.extend(machine.items(), "list"),
    "SETITEM": lambda machine, _: machine.extend(machine.last(2), "dict"),
    "SETITEMS": lambda machine, _: machine.extend(machine.items(), "dict"),
    "BINPERSID": lambda machine, _: machine.load_storage(),
    "REDUCE": lambda machine, _: machine.call(),
    # attributes of a state dict, such as its version; they are dropped when it is read
    "BUILD": lambda machine, _: machine.extend(machine.last(1), "dict"),
}
"""The other instructions that torch writes for tensors and plain values."""


def check_structure(instructions: bytes, sizes: Mapping[str, int]) -> None:
    """Refuse a table of contents that describes anything without bounds.

    Args:
        instructions: The table, pickle's instructions.
        sizes: Bytes of the storages in the file, by key.

    Raises:
        RefusedError: With the part of a sentence that says why.
        Exception: Of many kinds, if the instructions are damaged.
    """
    whole = _Machine(sizes).follow(instructions)
    entries: dict[int, int] = {}
    depths: dict[int, int] = {}
    path: set[int] = set()
    todo = [(whole, False)]
    while todo:
        node, children_are_done = todo.pop()
        key = id(node)
        if key in entries:
            continue
        if children_are_done:
            path.discard(key)
            entries[key] = 1 + sum(entries[id(child)] for child in node.children)
            depths[key] = 1 + max((depths[id(child)] for child in node.children), default=0)
            if depths[key] > MOST_DEPTH:
                raise RefusedError(f"it is nested deeper than {MOST_DEPTH} levels")
            if entries[key] > MOST_ENTRIES:
                raise RefusedError(f"it has more than {MOST_ENTRIES} entries")
            continue
        if key in path:
            raise RefusedError("it contains itself")
        path.add(key)
        todo.append((node, True))
        todo += [(child, False) for child in node.children if child.children or id(child) not in entries]

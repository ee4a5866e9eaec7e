# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A stand-in for the parts of Kit that the extension uses; whatever the real bindings do not name raises.

Names, keywords and properties are those of the binding headers of the Kit 110.4 kernel (``omni/ui/bind``), as far as
the extension needs them. The real omni.ui ignores an unknown keyword silently, so this finds more than it would.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

_WIDGET = {"width", "height", "name", "style", "visible", "enabled", "tooltip"}
_CONTRACT = {
    "Label": {"text", "alignment", "word_wrap", "elided_text"},
    "StringField": set(),
    "VStack": {"spacing", "direction"},
    "HStack": {"spacing", "direction"},
    "ZStack": {"spacing", "direction"},
    "VGrid": {"column_count", "column_width", "row_count", "row_height"},
    "CollapsableFrame": {"title", "collapsed"},
    "ComboBox": {"arrow_only"},
    "Rectangle": set(),
    "Frame": set(),
}


class Node:
    """A widget that keeps its place in the tree."""

    stack: list[Node] = []  # noqa: RUF012
    roots: list[Node] = []  # noqa: RUF012

    def __init__(self, **keywords: Any) -> None:
        kind = type(self).__name__
        unknown = set(keywords) - _WIDGET - _CONTRACT.get(kind, set()) - ({"title"} if kind == "Window" else set())
        if unknown:
            raise TypeError(f"omni.ui.{kind} has no keyword {unknown}")
        self.__dict__.update(keywords, children=[], kind=kind)
        if Node.stack:
            Node.stack[-1].children.append(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _WIDGET | _CONTRACT.get(self.kind, set()):
            raise AttributeError(f"omni.ui.{self.kind} has no property {name!r}")
        self.__dict__[name] = value

    def __enter__(self) -> Node:
        Node.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Node.stack.pop()

    def clear(self) -> None:
        self.children.clear()

    def walk(self) -> list[Node]:
        return [self, *(node for child in self.children for node in child.walk())]


class Model:
    """The model of a text field."""

    def __init__(self) -> None:
        self.value, self.ended = "", []

    def set_value(self, value: str) -> None:
        self.value = str(value)

    def get_value_as_string(self) -> str:
        return self.value

    def add_end_edit_fn(self, fn: Callable[[Model], None]) -> None:
        self.ended.append(fn)

    def type(self, text: str) -> None:
        self.value = text
        for fn in self.ended:
            fn(self)


class Choice:
    """The model of a combo box."""

    def __init__(self, chosen: int) -> None:
        self.chosen, self.changed = chosen, []

    def get_item_value_model(self) -> Choice:
        return self

    def get_value_as_int(self) -> int:
        return self.chosen

    def set_value(self, value: int) -> None:
        self.chosen = value
        for fn in self.changed:
            fn(self, None)

    def add_item_changed_fn(self, fn: Callable[[Choice, Any], None]) -> None:
        self.changed.append(fn)


def _with_text(field: str) -> Callable[..., None]:
    def init(self: Node, text: str = "", **keywords: Any) -> None:
        Node.__init__(self, **{field: text, **keywords})

    return init


def omni_ui() -> types.ModuleType:
    """A module ``omni.ui``."""
    module = types.ModuleType("omni.ui")
    for kind in _CONTRACT:
        setattr(module, kind, type(kind, (Node,), {}))
    module.Label.__init__ = _with_text("text")
    module.CollapsableFrame.__init__ = _with_text("title")

    def field(self: Node, **keywords: Any) -> None:
        Node.__init__(self, **keywords)
        self.__dict__["model"] = Model()

    def window(self: Node, title: str, **keywords: Any) -> None:
        Node.__init__(self, title=title, **keywords)
        self.__dict__["frame"] = module.Frame()
        self.children.append(self.frame)
        Node.roots.append(self)

    def combo(self: Node, chosen: int = 0, *options: str, **keywords: Any) -> None:
        Node.__init__(self, **keywords)
        self.__dict__.update(model=Choice(chosen), options=options)

    module.StringField.__init__ = field
    module.ComboBox.__init__ = combo
    module.Window = type("Window", (Node,), {"__init__": window, "destroy": lambda self: Node.roots.remove(self)})
    module.Alignment = types.SimpleNamespace(CENTER="center")
    return module


class Kit:
    """The modules of Kit, put into ``sys.modules`` while a test runs.

    Args:
        settings: Values by path.
        gui: Whether there is omni.ui.
    """

    def __init__(self, settings: dict[str, Any], *, gui: bool = True) -> None:
        self.subscribers: list[Callable[[Any], None]] = []
        Node.roots.clear()

        class Subscription:
            def __init__(inner, fn: Callable[[Any], None]) -> None:  # noqa: N805
                self.subscribers.append(fn)

            def __del__(inner) -> None:  # noqa: N805
                self.subscribers.clear()

        stream = types.SimpleNamespace(create_subscription_to_pop=lambda fn, name: Subscription(fn))
        app = types.SimpleNamespace(get_update_event_stream=lambda: stream)
        self.modules: dict[str, Any] = {
            "carb": types.ModuleType("carb"),
            "carb.settings": types.SimpleNamespace(get_settings=lambda: settings),
            "omni": types.ModuleType("omni"),
            "omni.ext": types.SimpleNamespace(IExt=object),
            "omni.kit": types.ModuleType("omni.kit"),
            "omni.kit.app": types.SimpleNamespace(get_app=lambda: app),
            "omni.ui": omni_ui() if gui else None,
        }
        self.modules["carb"].settings = self.modules["carb.settings"]
        self.modules["omni"].__dict__.update({name: self.modules[f"omni.{name}"] for name in ("ext", "kit", "ui")})
        self.modules["omni.kit"].app = self.modules["omni.kit.app"]

    def install(self, monkeypatch: Any) -> None:
        for name, module in self.modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, "cpo_lab.ui.extension", raising=False)

    def frame(self) -> None:
        """One turn of Kit's loop."""
        for fn in list(self.subscribers):
            fn(None)

    @staticmethod
    def texts() -> list[str]:
        """What the window shows."""
        return [node.text for root in Node.roots for node in root.walk() if node.kind == "Label"]

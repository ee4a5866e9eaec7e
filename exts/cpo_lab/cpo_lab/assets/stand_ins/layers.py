# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Copies of USD layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def copy_layer(source: Path) -> Any:
    """Return a copy of a layer without the attributes that name remote files, for each of which a start would wait."""
    from pxr import Sdf

    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.TransferContent(Sdf.Layer.FindOrOpen(str(source)))
    remote: list[Any] = []

    def visit(path: Any) -> None:
        attribute = layer.GetAttributeAtPath(path) if path.IsPropertyPath() else None  # relationships are none
        if attribute and isinstance(attribute.default, Sdf.AssetPath) and attribute.default.path.startswith("http"):
            remote.append(path)

    layer.Traverse(Sdf.Path.absoluteRootPath, visit)
    for path in remote:
        layer.GetPrimAtPath(path.GetPrimPath()).RemoveProperty(layer.GetAttributeAtPath(path))
    return layer

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The picture of rooms and arrows in docs/architecture.md is what the code imports."""

from __future__ import annotations

import re

import pytest
from tests.project.source_tree import PACKAGES, ROOT, imports, modules

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def drawn() -> dict[str, set[str]]:
    """Arrows of the picture: room to the rooms it imports from."""
    arrows: dict[str, set[str]] = {}
    for source, target in re.findall(r"^\s+(\w+) --> (\w+)$", PAGE, flags=re.MULTILINE):
        arrows.setdefault(source, set()).add(target)
    return arrows


def measured() -> dict[str, set[str]]:
    """Arrows of the code, between rooms of either package."""
    arrows: dict[str, set[str]] = {}
    for module in modules():
        for target, _ in imports(module):
            parts = target.split(".")
            if module.name not in PACKAGES and len(parts) > 1 and parts[1] != module.room:
                arrows.setdefault(module.room, set()).add(parts[1])
    return arrows


def reachable(arrows: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


def test_every_arrow_of_the_picture_is_an_import():
    code = measured()
    assert {(a, b) for a, bs in drawn().items() for b in bs if b not in code.get(a, set())} == set(), (
        "docs/architecture.md draws an arrow that the code does not have; take it out of the picture"
    )


@pytest.mark.parametrize("room", sorted(drawn()))
def test_every_import_is_in_the_picture(room):
    """Single files (errors, distributed, ...) need no box of their own."""
    boxes = set(drawn()) | {target for targets in drawn().values() for target in targets}
    missing = (measured().get(room, set()) & boxes) - reachable(drawn(), room)
    assert not missing, (
        f"docs/architecture.md lacks the way from {room} to {missing}; draw the arrow, or cut the import"
    )


def test_every_folder_is_explained():
    folders = {
        f"{package}/{path.name}"
        for package, root in PACKAGES.items()
        for path in root.iterdir()
        if (path / "__init__.py").exists()
    }
    assert {folder for folder in folders if f"`{folder}`" not in PAGE} == set(), "give the folder a row in the table"


def test_every_named_file_exists():
    """Paths in the page, such as ``runs/folder.py``, are relative to a package or a room of it."""
    names = set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.py)`", PAGE))
    roots = [ROOT, *PACKAGES.values(), *(root.parent for root in PACKAGES.values())]
    rooms = [folder for root in PACKAGES.values() for folder in root.iterdir() if folder.is_dir()]
    assert {name for name in names if not any((root / name).exists() for root in [*roots, *rooms])} == set()

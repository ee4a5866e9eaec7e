# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Damages one file of a run folder in a random way, as disks, editors, other programs and people do."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ODD: list[Callable[[random.Random], Any]] = [
    lambda rng: None,
    lambda rng: True,
    lambda rng: -1,
    lambda rng: 10**400,
    lambda rng: 1e308,
    lambda rng: float("nan"),
    lambda rng: "",
    lambda rng: "x" * 100_000,
    lambda rng: "[bold]\x1b[31m$(id)`id`=1+1<script>\u202e\udcff",
    lambda rng: [],
    lambda rng: {},
    lambda rng: [[[[1]]], {"a": None}],
    lambda rng: {"iteration": [1], "": {"": ""}},
    lambda rng: rng.getrandbits(70) - 2**69,
]
"""Values that do not belong where they are put."""


def _bytes(change: Callable[[bytes, random.Random], bytes]) -> Callable[[Path, random.Random], None]:
    def damage(path: Path, rng: random.Random) -> None:
        path.write_bytes(change(path.read_bytes(), rng))

    return damage


def _flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(max(1, len(data)))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _gone(path: Path, rng: random.Random) -> None:
    path.unlink()


def _folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def _link_to(target: str) -> Callable[[Path, random.Random], None]:
    def damage(path: Path, rng: random.Random) -> None:
        path.unlink()
        path.symlink_to(target or path.name)

    return damage


def _pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def _renamed(path: Path, rng: random.Random) -> None:
    name = rng.choice([path.name + ".bak", f"model_{rng.choice([0, 2, 10**12, 10**30])}{path.suffix}", "model_-1.pt"])
    path.rename(path.with_name(name))


def _line(path: Path, rng: random.Random) -> None:
    """One line of a text changed, doubled, taken out, or its cells with it."""
    lines = path.read_bytes().split(b"\n")
    at = rng.randrange(len(lines))
    odd = rng.choice([b"", b"\x00" * 20, b",,,,", b"iteration,iteration", b"1e999,-1,nan,x", b'"', b"{", b"9" * 5000])
    lines[at : at + 1] = rng.choice([[odd], [lines[at], lines[at]], [], [odd, lines[at]], [lines[at] + odd]])
    path.write_bytes(b"\n".join(lines))


def _bomb(path: Path, rng: random.Random) -> None:
    """Little text that is much, or deep, once it is read."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text(rng.choice(["\n".join(lines), "[" * 100_000, '{"a":' * 50_000, "- " * 50_000]))


def _value(path: Path, rng: random.Random) -> None:
    """One value of a JSON or YAML file replaced, or its key taken out."""
    text = path.read_text()
    tree = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=yaml.BaseLoader)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list) and node[key]:
                walk(node[key])

    walk(tree)
    node, key = rng.choice(places)
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice(ODD)(rng)
    written = json.dumps(tree) if path.suffix == ".json" else yaml.dump(tree)
    path.write_text(written, errors="surrogatepass")


ANY_FILE: dict[str, Callable[[Path, random.Random], None]] = {
    "cut": _bytes(lambda data, rng: data[: rng.randrange(max(1, len(data)))]),
    "emptied": _bytes(lambda data, rng: b""),
    "flipped": _bytes(_flipped),
    "zeros": _bytes(lambda data, rng: bytes(len(data))),
    "foreign": _bytes(lambda data, rng: rng.randbytes(rng.randrange(1, 2000))),
    "longer": _bytes(lambda data, rng: data + rng.randbytes(rng.randrange(1, 200))),
    "doubled": _bytes(lambda data, rng: data + data),
    "gone": _gone,
    "folder": _folder,
    "link to itself": _link_to(""),
    "link to nothing": _link_to("nowhere"),
    "link to zeros": _link_to("/dev/zero"),
    "pipe": _pipe,
    "renamed": _renamed,
}
TEXT = {"line": _line, "bomb": _bomb}
TREE = {"value": _value, "another value": _value, "a third value": _value}


def damage(folder: Path, rng: random.Random) -> str:
    """Damage a random file of a run folder.

    Returns:
        What was done.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    path = rng.choice(files)
    kinds = dict(ANY_FILE)
    if path.suffix in (".json", ".jsonl", ".csv", ".yaml", ".log"):
        kinds |= TEXT
    if path.suffix in (".json", ".yaml"):
        kinds |= TREE
    kind = rng.choice(sorted(kinds))
    try:
        kinds[kind](path, rng)
    except (ValueError, yaml.YAMLError, IndexError, UnicodeError):  # too damaged by an earlier one to be walked through
        kind = "foreign"
        ANY_FILE[kind](path, rng)
    return f"{path.relative_to(folder)} {kind}"

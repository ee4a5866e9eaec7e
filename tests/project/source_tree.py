# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The project's Python files and what they import, read as text, for the tests of the house's rules."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"cpo_rl": ROOT / "source" / "cpo_rl" / "cpo_rl", "cpo_lab": ROOT / "exts" / "cpo_lab" / "cpo_lab"}


@dataclass(frozen=True)
class Module:
    """One Python file of the two packages."""

    path: Path
    name: str
    """Dotted name, such as ``cpo_rl.runs.folder``; a package has its own."""
    tree: ast.Module

    @property
    def shown(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def package(self) -> str:
        return self.name.split(".")[0]

    @property
    def room(self) -> str:
        """Folder below the package, such as ``runs``; of a file beside the folders its own name."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else parts[0]

    @property
    def family(self) -> str | None:
        """Folder below ``cpo_lab.tasks``, None elsewhere."""
        parts = self.path.relative_to(PACKAGES[self.package]).parts
        return parts[1] if parts[0] == "tasks" and len(parts) > 2 else None


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every module of ``cpo_rl`` and ``cpo_lab``."""
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *(inner[:-1] if inner[-1] == "__init__" else inner)])
            found.append(Module(path, name, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


@functools.cache
def names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def imports(module: Module, *, types_too: bool = True, inside_functions: bool = True) -> Iterator[tuple[str, int]]:
    """Modules of ours that a module imports, with the line.

    Args:
        module: The importing module.
        types_too: Count imports below ``if TYPE_CHECKING``.
        inside_functions: Count imports inside functions.
    """
    for node in _statements(module.tree, types_too, inside_functions):
        if isinstance(node, ast.Import):
            yield from ((_ours(alias.name), node.lineno) for alias in node.names if _ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                target = _ours(f"{node.module}.{alias.name}")
                if target:
                    yield target, node.lineno


def _statements(node: ast.AST, types_too: bool, inside_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not inside_functions and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if not types_too and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _statements(child, types_too, inside_functions)


def _ours(name: str) -> str | None:
    """The longest of our modules that a dotted name begins with."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return None
    return next(
        (found for n in range(len(parts), 0, -1) if (found := ".".join(parts[:n])) in names()),
        None,
    )


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's algorithm), each sorted; empty for a graph without circles."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = [stack.pop()]
            while group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1 or node in edges.get(node, ()):
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def functions(module: Module) -> Iterator[tuple[ast.FunctionDef, int]]:
    """Functions and methods with the number of their lines, docstrings left out."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def tracked(pattern: str) -> list[Path]:
    """Files that git tracks, or would, as they are in the working tree."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in sorted(set(listed)) if name and (ROOT / name).is_file()]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The mutants of a module of the library: its code, changed in one place."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).parents[1] / "source/cpo_rl/cpo_rl"

COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
               ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}  # fmt: skip
QUIET_CALLS = {"debug", "info", "warning", "error", "message"}


@dataclass
class Mutant:
    """One change of one module."""

    module: str
    line: int
    text: str
    function: tuple[str, int] | None
    """Qualified name and first line of the function whose body was changed; None if it is something else."""

    span: range | None
    """Lines of the statement that was changed, inside of a function."""

    tree: ast.Module = field(repr=False)

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text}"


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """Yield descriptions and replacements of a node; None deletes a statement."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        changed = copy.deepcopy(node)
        changed.ops[0] = COMPARISONS[type(node.ops[0])]()
        yield f"{ast.unparse(node)} -> {ast.unparse(changed)}", changed
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        changed = copy.deepcopy(node)
        changed.op = OPERATORS[type(node.op)]()
        yield f"{ast.unparse(node)} -> {ast.unparse(changed)}", changed
    elif isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{ast.unparse(node)} -> {ast.unparse(changed)}", changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
        yield f"{ast.unparse(node)} -> {ast.unparse(node.operand)}", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float, str):
        value = node.value
        new = not value if isinstance(value, bool) else value + "X" if isinstance(value, str) else value + 1
        yield f"{value!r} -> {new!r}", ast.Constant(new)
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        for outcome in (True, False):
            if isinstance(node, ast.While) and outcome:
                continue
            changed = copy.deepcopy(node)
            changed.test = ast.Constant(outcome)
            yield f"if {ast.unparse(node.test)} -> if {outcome}", changed
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield f"{ast.unparse(node)} -> return None", ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield f"{ast.unparse(node)} deleted", ast.Pass()


def _positions(tree: ast.Module, silent: set[int]) -> Iterator[list[Any]]:
    """Yield the paths (attribute names and list indices) of nodes that may be changed."""

    def visit(node: ast.AST, path: list[Any]) -> Iterator[list[Any]]:
        if getattr(node, "lineno", 0) in silent or _is_quiet(node):
            return
        yield path
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params") or isinstance(node, ast.JoinedStr):
                continue
            if isinstance(value, ast.AST):
                yield from visit(value, [*path, name])
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, ast.AST):
                        yield from visit(item, [*path, name, i])

    yield from visit(tree, [])


def _is_quiet(node: ast.AST) -> bool:
    """Return whether a statement only talks to people or to the type checker."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Raise, ast.Assert)):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign) and any(getattr(t, "id", "") in ("__all__", "_log") for t in node.targets):
        return True
    if isinstance(node, ast.Call):
        function = node.func
        owner = getattr(getattr(function, "value", None), "id", "")
        return isinstance(function, ast.Attribute) and owner == "_log" and function.attr in QUIET_CALLS
    return False


def _at(tree: ast.AST, path: list[Any]) -> Any:
    found: Any = tree
    for step in path:
        found = found[step] if isinstance(step, int) else getattr(found, step)
    return found


def mutants_of(module: str) -> list[Mutant]:
    """Return every mutant of a module of the library."""
    source = (LIBRARY / module).read_text(encoding="utf-8")
    silent = {i for i, line in enumerate(source.splitlines(), start=1) if "# no mutant:" in line}
    tree = ast.parse(source)
    found = []
    for path in _positions(tree, silent):
        if not path:
            continue
        for text, new in _variants(_at(tree, path)):
            changed = copy.deepcopy(tree)
            parent, last = _at(changed, path[:-1]), path[-1]
            if isinstance(last, int):
                parent[last] = new
            else:
                setattr(parent, last, new)
            line = getattr(_at(tree, path), "lineno", 0)
            said = " ".join(text.split())[:160]
            where = _function(tree, path)
            span = _statement(tree, line) if where else None
            found.append(Mutant(module, line, said, where, span, ast.fix_missing_locations(changed)))
    return found


def _function(tree: ast.Module, path: list[Any]) -> tuple[str, int] | None:
    """Return the name and first line of the outermost function whose body a path leads into."""
    node: Any = tree
    names = []
    for step, following in zip(path, [*path[1:], None], strict=True):
        node = node[step] if isinstance(step, int) else getattr(node, step)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.append(node.name)
        if isinstance(node, ast.FunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            return (".".join(names), first) if following == "body" else None
    return None


def _statement(tree: ast.Module, line: int) -> range:
    """Return the lines of the innermost statement around a line; of one that holds others, those before them."""
    found = range(line, line + 1)
    for node in ast.walk(tree):  # outer ones first
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            inner = getattr(node, "body", None)
            end = max(inner[0].lineno - 1, node.lineno) if inner else node.end_lineno or node.lineno
            found = range(node.lineno, end + 1) if line <= end else range(line, line + 1)
    return found

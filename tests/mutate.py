# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Mutation testing: change the code in one place at a time and see whether the tests notice.

    python -m tests.mutate checkpoint                    every mutant of the checkpoint package
    python -m tests.mutate losses mixing --sample 100    100 mutants drawn from each of the two areas
    python -m tests.mutate --list                        the areas, their modules and tests

A mutant is killed when a test fails or takes too long. torch is imported once; every mutant runs in a fork whose import
of one module gets the changed code. Left out, because no test should care: docstrings, messages of exceptions and logs,
annotations, ``__all__``, and lines marked ``# no mutant: <why>``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "source/cpo_rl/cpo_rl"
TIMEOUT_S = 180


@dataclass
class Area:
    """Modules and the tests that should hold them, the fastest first."""

    modules: list[str]
    tests: list[str]


AREAS = {
    "checkpoint": Area(
        [f"runs/{n}.py" for n in ("files", "checkpoint_manifest", "checkpoints", "payload", "migrate", "compatibility",
                                  "find", "folder", "records", "checkpoint_reader", "random_state", "dump")],
        ["tests/cpo_rl/runs",
         "tests/cpo_rl/runners/test_ensemble_runner.py::test_the_place_of_a_bad_number_is_named"],
    ),
    "folders": Area(
        ["runs/lock.py", "runners/new_settings.py"],
        ["tests/cpo_rl/runs/test_lock.py", "tests/cpo_rl/runners/test_new_settings.py",
         "tests/cpo_rl/runners/test_one_owner.py"],
    ),
    "records": Area(
        ["runs/tables.py", "screen.py"],
        ["tests/cpo_rl/runs/test_damaged_records.py", "tests/cpo_rl/runs/test_folder.py",
         "tests/cpo_rl/runners/test_screen.py"],
    ),
    "guard": Area(
        ["algorithms/finite_guard.py", "algorithms/sound_state.py", "algorithms/optimizer_state.py",
         "runners/guard_watch.py", "runners/rank_watch.py"],
        ["tests/cpo_rl/runners/test_rank_watch.py", "tests/cpo_rl/algorithms/test_optimizer_state.py",
         "tests/cpo_rl/runners/test_ruined_network.py", "tests/cpo_rl/runners/test_finite_guard.py"],
    ),
    "losses": Area(
        [f"formulas/{n}.py" for n in ("losses", "targets", "gaussian", "coupling", "schedule", "means")],
        ["tests/cpo_rl/test_oracles_losses.py", "tests/cpo_rl/test_properties.py", "tests/cpo_rl/test_oracles_batch.py",
         "tests/cpo_rl/test_oracles_gradients.py", "tests/cpo_rl/test_oracles_rollout.py",
         "tests/cpo_rl/algorithms/test_quarantine.py"],
    ),
    "mixing": Area(
        ["algorithms/roles.py", "algorithms/row_targets.py", "algorithms/update.py", "algorithms/changes.py",
         "models/lstm.py"],
        ["tests/cpo_rl/test_oracles_structure.py", "tests/cpo_rl/test_oracles_batch.py",
         "tests/cpo_rl/test_oracles_losses.py", "tests/cpo_rl/test_oracles_gradients.py",
         "tests/cpo_rl/test_properties.py", "tests/cpo_rl/test_oracles_rollout.py", "tests/cpo_rl/models",
         "tests/cpo_rl/algorithms",
         "tests/cpo_rl/runners/test_finite_guard.py"],
    ),
    "pbt": Area(
        ["pbt/settings.py", "pbt/decision.py", "pbt/workspace.py", "pbt/runner.py"],
        ["tests/cpo_rl/pbt/test_decision.py", "tests/cpo_rl/pbt/test_workspace.py",
         "tests/cpo_rl/pbt/test_hyper_parameters.py", "tests/cpo_rl/pbt/test_runner.py"],
    ),
}  # fmt: skip

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
            found.append(Mutant(module, line, " ".join(text.split())[:160], ast.fix_missing_locations(changed)))
    return found


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module the mutant's code."""

    def __init__(self, mutant: Mutant) -> None:
        self.file = LIBRARY / mutant.module
        self.name = "cpo_rl." + mutant.module.removesuffix(".py").replace("/", ".")
        self.code = compile(mutant.tree, str(self.file), "exec")

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def tests_named_after(module: str) -> list[str]:
    """Return the test files with a module's name, which are tried before all others."""
    return [str(file.relative_to(ROOT)) for file in (ROOT / "tests/cpo_rl").rglob(f"test_{Path(module).stem}.py")]


def run_tests(mutant: Mutant | None, tests: list[str]) -> str:
    """Run tests in a fork with a mutant (None: the code as it is); return ``killed``, ``timeout`` or ``survived``."""
    pid = os.fork()
    if pid == 0:
        _be_the_mutant(mutant, tests)
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def _be_the_mutant(mutant: Mutant | None, tests: list[str]) -> None:
    """Run pytest in this process and end it with pytest's verdict."""
    import pytest

    os.setpgid(0, 0)  # so that whatever the tests start ends with them
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    code = 1
    try:
        if mutant is not None:
            sys.meta_path.insert(0, _Finder(mutant))
        # left out: tests in processes of their own, which do not see the mutant, and the slowest ones
        skipped = ["-k", "not test_kills and not random_configurations and not stock_runner_exports"]
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *skipped, *tests]))
    except BaseException:
        code = 1
    os._exit(0 if code == 0 else 1)


def main() -> int:
    """Run mutants and print the share that was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", choices=[*AREAS, []], default=[], help="areas to test (default: all)")
    parser.add_argument("--sample", type=int, default=0, help="mutants to draw per area (default: all of them)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--json", help="write the verdicts to this file")
    parser.add_argument("--list", action="store_true", help="show the areas and their number of mutants")
    args = parser.parse_args()
    out = sys.stdout.write
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if args.list:
        for name, area in AREAS.items():
            out(f"{name}: {sum(len(mutants_of(m)) for m in area.modules)} mutants of {', '.join(area.modules)}\n")
        return 0
    import hypothesis  # noqa: F401  imported once, before the forks
    import pytest  # noqa: F401
    import rsl_rl.runners  # noqa: F401
    import tensorboard.backend.event_processing.event_accumulator  # noqa: F401
    import tensordict  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    verdicts = []
    for name in args.areas or AREAS:
        area = AREAS[name]
        tests = [test for test in area.tests if Path(test.partition("::")[0]).exists()]
        if run_tests(None, tests) != "survived":
            out(f"{name}: the tests fail or take over {TIMEOUT_S} s without any mutant; nothing was measured\n")
            return 1
        mutants = [mutant for module in area.modules for mutant in mutants_of(module)]
        if args.sample and args.sample < len(mutants):
            mutants = random.Random(args.seed).sample(mutants, args.sample)
        killed = 0
        for number, mutant in enumerate(mutants, start=1):
            verdict = run_tests(mutant, own) if (own := tests_named_after(mutant.module)) else "survived"
            if verdict == "survived":
                verdict = run_tests(mutant, tests)
            killed += verdict != "survived"
            verdicts.append({"area": name, "mutant": str(mutant), "verdict": verdict})
            if verdict == "survived":
                out(f"survived  {mutant}\n")
            if number % 25 == 0 or number == len(mutants):
                out(f"{name}: {killed} of {number} killed ({killed / number:.0%}), {len(mutants)} in all\n")
            sys.stdout.flush()
    if args.json:
        Path(args.json).write_text(json.dumps(verdicts, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Mutation testing: change the code in one place at a time and see whether the tests notice.

    python -m tests.mutate lock                          every mutant of the run folder's lock
    python -m tests.mutate losses mixing --sample 100    100 mutants drawn from each of the two areas
    python -m tests.mutate --list                        the areas, their modules and tests

A mutant is killed when a test fails or takes too long. torch is imported once; every mutant runs in a fork, where one
function gets the changed code after the tests were collected, or the import of one module does. The tests of an area
run once without a mutant, which shows what they execute and how long they take: a mutant costs the tests that execute
its lines, the quickest first, and none of over ``LONGEST_S``. Left out, because no test should care: docstrings,
messages of exceptions and logs, annotations, ``__all__``, and lines marked ``# no mutant: <why>``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from tests.mutants import LIBRARY, Mutant, mutants_of

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 180
LONGEST_S = 5.0


@dataclass
class Area:
    """Modules and the tests that should hold them, the fastest first."""

    modules: list[str]
    tests: list[str]


AREAS = {
    "runs": Area(
        [f"runs/{n}.py" for n in ("checkpoint_manifest", "checkpoint_reader", "checkpoints", "compatibility", "configs",
                                  "curves", "dump", "files", "find", "folder", "lock", "log", "migrate", "payload",
                                  "provenance", "random_state", "records", "structure", "tables")],
        ["tests/cpo_rl/runs", "tests/cpo_rl/runners/test_one_owner.py",
         "tests/cpo_rl/runners/test_ensemble_runner.py::test_the_place_of_a_bad_number_is_named"],
    ),
    "lock": Area(
        ["runs/lock.py"],
        ["tests/cpo_rl/runs/test_lock.py", "tests/cpo_rl/runners/test_one_owner.py"],
    ),
    "settings": Area(["runners/new_settings.py"], ["tests/cpo_rl/runners/test_new_settings.py"]),
    "screen": Area(["screen.py"], ["tests/cpo_rl/runners/test_screen.py"]),
    "guard": Area(
        ["algorithms/finite_guard.py", "algorithms/sound_state.py", "algorithms/optimizer_state.py",
         "runners/guard_watch.py", "runners/rank_watch.py"],
        ["tests/cpo_rl/algorithms/test_guard_parts.py", "tests/cpo_rl/runners/test_rank_watch.py",
         "tests/cpo_rl/algorithms/test_optimizer_state.py",
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


@dataclass
class Reach:
    """What a test executes of the modules that are changed, and the processor time it takes."""

    lines: dict[str, list[int]]
    """Lines by module."""

    seconds: float

    def meets(self, mutant: Mutant) -> bool:
        """Return whether the test executes a mutant's statement; outside of functions, its module."""
        lines = self.lines.get(mutant.module, [])
        return any(mutant.span is None or line in mutant.span for line in lines)


def tests_of(mutant: Mutant, reach: dict[str, Reach]) -> list[str]:
    """Return the tests that execute a mutant, the quickest first.

    Where none does, those of the file with the module's name: they may execute it in a fork.
    """
    quick = sorted((each.seconds, name) for name, each in reach.items() if each.seconds <= LONGEST_S)
    own = f"test_{Path(mutant.module).stem}.py::"
    return [n for _, n in quick if reach[n].meets(mutant)] or [n for _, n in quick if own in n]


class Recorder:
    """Records for every test what it executes of some modules."""

    def __init__(self, modules: list[str]) -> None:
        self.names = {str(LIBRARY / module): module for module in modules}
        self.lines: dict[str, set[int]] = {}
        sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, "mutate")
        sys.monitoring.register_callback(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE, self.line)
        sys.monitoring.set_events(sys.monitoring.COVERAGE_ID, sys.monitoring.events.LINE)

    def line(self, code: CodeType, number: int) -> Any:
        module = self.names.get(code.co_filename)
        if module is not None and code.co_name != "<module>":
            self.lines.setdefault(module, set()).add(number)
        return sys.monitoring.DISABLE  # until the next test

    def record(self, run: Callable[[], object]) -> Reach:
        """Run something and return what it executed."""
        self.lines = {}
        sys.monitoring.restart_events()
        start = time.process_time()
        run()
        lines = {module: sorted(numbers) for module, numbers in self.lines.items()}
        return Reach(lines, time.process_time() - start)


class Trials:
    """A plugin of pytest: instead of the tests it runs every mutant of a function's body, in a fork after collection.

    Args:
        modules: Modules that are changed.
        mutants: What to try.
        told: File for the results: what tests execute, and verdicts by number of the mutant.
    """

    def __init__(self, modules: list[str], mutants: list[Mutant], told: Path) -> None:
        self.modules, self.mutants, self.told = modules, mutants, told
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        recording = self.told.with_suffix(".reach")
        if in_a_fork(lambda: self.look(session, recording), 20 * TIMEOUT_S) != "survived":
            return True
        reach = {name: Reach(**each) for name, each in json.loads(recording.read_text()).items()}
        known = _functions(self.modules)
        verdicts: dict[int, str] = {}
        for number, mutant in enumerate(self.mutants):
            changed = new_code(mutant) if mutant.function else None
            places = known[mutant.module, *(mutant.function or ("", 0))]
            if changed is not None and all(fits(place, changed) for place in places):
                run = functools.partial(self.run, session, tests_of(mutant, reach), places, changed)
                verdicts[number] = in_a_fork(run, TIMEOUT_S)
        self.told.write_text(json.dumps([{name: vars(each) for name, each in reach.items()}, verdicts]))
        return True

    def look(self, session: pytest.Session, recording: Path) -> int:
        """Run all tests as they are and write down what they execute."""
        recorder, found = Recorder(self.modules), {}
        for item in session.items:
            found[item.nodeid] = vars(recorder.record(functools.partial(self.protocol, item)))
            if self.failed:
                return 1
        recording.write_text(json.dumps(found))
        return 0

    def run(self, session: pytest.Session, tests: list[str], places: list[FunctionType], changed: CodeType) -> int:
        """Run tests with a function's code changed; return 1 as soon as one fails."""
        for place in places:
            place.__code__ = changed
        items = {item.nodeid: item for item in session.items}
        for name in tests:
            self.protocol(items[name])
            if self.failed:
                return 1
        return 0

    def protocol(self, item: pytest.Item) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _functions(modules: list[str]) -> dict[tuple[str, str, int], list[FunctionType]]:
    """Return the functions of modules by module, qualified name and first line."""
    names = {str(LIBRARY / module): module for module in modules}
    found: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is FunctionType and (module := names.get(each.__code__.co_filename)):
            found[module, each.__code__.co_qualname, each.__code__.co_firstlineno].append(each)
    return found


def new_code(mutant: Mutant) -> CodeType | None:
    """Return the code of a mutant's function."""
    todo = [compile(mutant.tree, str(LIBRARY / mutant.module), "exec")]
    for code in todo:
        if (code.co_qualname, code.co_firstlineno) == mutant.function:
            return code
        todo += [each for each in code.co_consts if isinstance(each, CodeType)]
    return None


def fits(function: FunctionType, code: CodeType) -> bool:
    """Return whether a function can have such a code."""
    return len(function.__code__.co_freevars) == len(code.co_freevars)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module the mutant's code when it is imported."""

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


class Selection:
    """A plugin of pytest: leaves only some tests, in their order."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {name: place for place, name in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda item: self.order[item.nodeid])


def imported(mutant: Mutant, reach: dict[str, Reach]) -> str:
    """Return the verdict on a mutant of what a module does when it is imported."""
    tests = tests_of(mutant, reach)

    def run() -> int:
        sys.meta_path.insert(0, _Finder(mutant))
        return _pytest(list(dict.fromkeys(name.partition("::")[0] for name in tests)), Selection(tests))

    return in_a_fork(run, TIMEOUT_S) if tests else "survived"


def in_a_fork(run: Callable[[], int], timeout_s: float) -> str:
    """Run something in a fork: ``survived`` if it returns 0, ``timeout`` or ``killed``."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)  # so that whatever the tests start ends with them
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = 1
        with contextlib.suppress(BaseException):
            code = run()
        os._exit(0 if code == 0 else 1)
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def _pytest(tests: list[str], plugin: object) -> int:
    """Run pytest in this process and return its verdict."""
    # left out: tests in processes of their own, which do not see the mutant, and the slowest ones
    skipped = ["-k", "not test_kills and not random_configurations and not stock_runner_exports"]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0"]
    with tempfile.TemporaryDirectory() as folder:
        return int(pytest.main([*options, f"--basetemp={folder}/t", *skipped, *tests], plugins=[plugin]))


def judge(area: Area, mutants: list[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """Yield mutants with their verdicts.

    Raises:
        RuntimeError: If a test fails without any mutant.
    """
    tests = [test for test in area.tests if Path(test.partition("::")[0]).exists()]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        in_a_fork(lambda: _pytest(tests, Trials(area.modules, mutants, told)), len(mutants) * TIMEOUT_S + 3600)
        if not told.exists():
            raise RuntimeError("a test fails without any mutant")
        recorded, verdicts = json.loads(told.read_text())
    reach = {name: Reach(**each) for name, each in recorded.items()}
    for number, mutant in enumerate(mutants):
        yield mutant, verdicts.get(str(number)) or imported(mutant, reach)


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
    import rsl_rl.runners  # noqa: F401
    import tensorboard.backend.event_processing.event_accumulator  # noqa: F401
    import tensordict  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    verdicts = []
    for name in args.areas or AREAS:
        mutants = [mutant for module in AREAS[name].modules for mutant in mutants_of(module)]
        if args.sample and args.sample < len(mutants):
            mutants = random.Random(args.seed).sample(mutants, args.sample)
        killed = 0
        for mutant, verdict in judge(AREAS[name], mutants):
            killed += verdict != "survived"
            verdicts.append({"area": name, "mutant": str(mutant), "verdict": verdict})
            if verdict == "survived":
                out(f"survived  {mutant}\n")
            sys.stdout.flush()
        out(f"{name}: {killed} of {len(mutants)} killed ({killed / len(mutants):.0%})\n")
    if args.json:
        Path(args.json).write_text(json.dumps(verdicts, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rules that keep the house as ``docs/architecture.md`` draws it; a failure names the place and says what to do."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator

from tests.project.source_tree import PACKAGES, ROOT, Module, circles, functions, imports, modules, tracked

ORDER = {
    "cpo_rl": (
        "errors",
        "threads",
        "step_extras",
        "derivation",
        "formatting",
        "screen",
        "fields",
        "contracts",
        "regulation",
        "config",
        "presets",
        "distributed",
        "environments",
        "formulas",
        "models",
        "runs",
        "algorithms",
        "export",
        "runners",
        "pbt",
        "benchmark",
    ),
    "cpo_lab": ("physics", "assets", "tasks", "launch", "viewing", "report", "deployment", "ui", "jobs", "cli"),
}
"""Rooms from the ground up: a room imports from those that stand before it only."""

MOST_LINES = 400
MOST_FILES = 20
MOST_STATEMENT_LINES = 60
RUN_FILES = {
    "manifest.json",
    "launch.json",
    "run.json",
    "metrics.csv",
    "diagnostics.jsonl",
    "agent.yaml",
    "env.yaml",
    "run.log",
}
EXTENSIBLE = {
    "env",
    "environment",
    "unwrapped",
    "alg",
    "algorithm",
    "cfg",
    "env_cfg",
    "agent_cfg",
    "scene",
    "runner",
    "self",
}
"""Names that environments, algorithms and their settings go by."""


def test_every_room_has_its_place():
    for package, order in ORDER.items():
        rooms = {module.room for module in modules() if module.package == package and module.name != package}
        assert rooms <= set(order), f"{package}: give {rooms - set(order)} a place in ORDER and in docs/architecture.md"


# -- 1: imports run one way --------------------------------------------------------------------------------------------


def wrong_way(module: Module) -> Iterator[str]:
    order = ORDER[module.package]
    for target, line in imports(module):
        if target.split(".")[0] != module.package or target == module.package or module.name == module.package:
            continue
        room = target.split(".")[1]
        if order.index(room) > order.index(module.room):
            yield (
                f"{module.shown}:{line} imports {target}, but {room!r} stands above {module.room!r}: move what both "
                f"need into a lower room, or the importing code up."
            )


def test_imports_run_one_way():
    found = [sentence for module in modules() for sentence in wrong_way(module)]
    assert not found, "\n".join(found)


def test_no_circle_of_modules():
    edges: dict[str, set[str]] = {}
    for module in modules():
        targets = {target for target, _ in imports(module, types_too=False, inside_functions=False)}
        # importing a sibling runs the package's __init__ first, which is no dependency on what that exports
        edges[module.name] = {t for t in targets if t != module.name and not module.name.startswith(f"{t}.")}
    found = circles(edges)
    assert not found, f"These modules import each other: {found}; move what they share into a module of its own."


# -- 3: files of a run are read and written in runs only ---------------------------------------------------------------


def run_files_named(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in RUN_FILES:
            yield f"{module.shown}:{node.lineno} names {node.value!r}: read and write it through cpo_rl.runs."
        imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if "yaml" in imported or (isinstance(node, ast.ImportFrom) and node.module == "yaml"):
            yield f"{module.shown}:{node.lineno} reads YAML: use cpo_rl.runs, which does it safely and in one way."


def test_files_of_a_run_are_named_in_runs_only():
    outside = [module for module in modules() if not module.name.startswith("cpo_rl.runs")]
    found = [sentence for module in outside for sentence in run_files_named(module)]
    assert not found, "\n".join(found)


# -- 4: a command is the module of its name ----------------------------------------------------------------------------


def test_a_command_is_the_module_of_its_name():
    from cpo_lab.cli import COMMANDS
    from cpo_lab.cli.parser import CommandParser

    for name, command in COMMANDS.items():
        assert command.module == f"cpo_lab.cli.{name}", f"put the command {name!r} into cli/{name}.py"
        module = importlib.import_module(command.module)
        assert callable(module.run), f"cli/{name}.py needs run(argv)"
        assert isinstance(module._parser(), CommandParser), f"cli/{name}.py must build _parser() from cli/parser.py"


# -- 5: a setting is explained and ranged where it stands --------------------------------------------------------------


def settings_of(module: Module) -> Iterator[tuple[ast.ClassDef, ast.AnnAssign, bool]]:
    """Fields of classes called ...Cfg or ...Options and whether a docstring stands behind them.

    Alternatives of a preset are left out: they are no settings but values of one.
    """
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef) or not node.name.endswith(("Cfg", "Options")):
            continue
        if any("PresetCfg" in ast.unparse(base) or "PhysicsCfg" in ast.unparse(base) for base in node.bases):
            continue
        for item, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation):
                yield node, item, isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)


def test_every_setting_is_explained():
    """A subclass that only gives another value need not explain the setting again."""
    explained = {ast.unparse(item.target) for m in modules() for _, item, said in settings_of(m) if said}
    found = [
        f"{module.shown}:{item.lineno} {owner.name}.{ast.unparse(item.target)} needs a docstring with unit and range."
        for module in modules()
        for owner, item, said in settings_of(module)
        if not said and ast.unparse(item.target) not in explained
    ]
    assert not found, "\n".join(found)


def test_ranges_are_metadata_and_defaults_are_written_once():
    """Settings of the learning library declare range or choices on the field; no subclass repeats a default."""
    defaults: dict[str, dict[str, str]] = {}
    for module in modules():
        for owner, item, _ in settings_of(module):
            name, value = ast.unparse(item.target), ast.unparse(item.value) if item.value else ""
            if module.name in ("cpo_rl.config", "cpo_rl.pbt.settings"):
                kind = ast.unparse(item.annotation)
                ranged = value.startswith("setting(") or kind in ("bool", "str", "dict[str, Any]")
                assert ranged, f"{module.shown}:{item.lineno} {name}: declare its range with cpo_rl.fields.setting"
                defaults.setdefault(owner.name, {})[name] = value
        for owner, item, _ in settings_of(module):
            for base in owner.bases:
                inherited = defaults.get(ast.unparse(base), {})
                repeated = ast.unparse(item.target) in inherited
                assert not repeated, (
                    f"{module.shown}:{item.lineno} {ast.unparse(item)} stands in {ast.unparse(base)} already"
                )


# -- 6: only contracts asks what is offered ----------------------------------------------------------------------------


def asked(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        asks = node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)
        asked_thing = ast.unparse(node.args[0]).split(".")[-1].strip("_")
        if asks and asked_thing in EXTENSIBLE:
            yield (
                f"{module.shown}:{node.lineno} asks {ast.unparse(node)}: what an environment, an algorithm or their "
                "settings may offer stands in cpo_rl/contracts.py; ask there."
            )


def test_only_contracts_asks_what_is_offered():
    found = [sentence for m in modules() if m.name != "cpo_rl.contracts" for sentence in asked(m)]
    assert not found, "\n".join(found)


# -- 7: sizes ----------------------------------------------------------------------------------------------------------


def test_no_file_is_too_long():
    long = {str(f.relative_to(ROOT)): n for f in tracked("*.py") if (n := len(f.read_text().splitlines())) > MOST_LINES}
    assert not long, f"over {MOST_LINES} lines: {long}; part them by job, not by length"


def test_no_folder_is_too_full():
    count: dict[str, int] = {}
    for file in tracked("*.py"):
        folder = str(file.parent.relative_to(ROOT))
        count[folder] = count.get(folder, 0) + (file.name != "__init__.py")
    full = {folder: n for folder, n in count.items() if n > MOST_FILES}
    assert not full, f"more than {MOST_FILES} files: {full}; merge what is one job, or give a job a folder"


def test_no_function_is_too_long():
    found = [
        f"{module.shown}:{node.lineno} {node.name} has {length} lines without its docstring, at most "
        f"{MOST_STATEMENT_LINES}; name its parts."
        for module in modules()
        for node, length in functions(module)
        if length > MOST_STATEMENT_LINES
    ]
    assert not found, "\n".join(found)


# -- 8: one style ------------------------------------------------------------------------------------------------------


def test_imports_are_absolute():
    for file in tracked("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            relative = isinstance(node, ast.ImportFrom) and node.level
            assert not relative, f"{file.relative_to(ROOT)}:{node.lineno}: import by the full name of the module"


def test_one_form_of_module():
    for module in modules():
        text = module.path.read_text()
        assert text.split("\n")[2] == "", f"{module.shown}: one empty line between the license and the docstring"
        assert ast.get_docstring(module.tree), f"{module.shown}: say what the module holds"
        exports = "__all__" in text and module.path.name != "__init__.py"
        assert not exports, f"{module.shown}: a leading underscore says what is private, no list repeats it"


def informal(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
        section = ""
        for line in (text or "").splitlines():
            if re.fullmatch(r"(Args|Raises|Returns|Yields|Attributes):", line):
                section = line
            entry = re.match(r"    \*{0,2}\w+: ([a-z]+) ", line)
            symbol = entry and entry[1] in ("eps", "lambda", "pi", "rsl")
            if section in ("Args:", "Raises:", "Attributes:") and entry and not symbol:
                yield f"{module.shown}:{node.lineno} {node.name}: begin {line.strip()!r} with a capital letter."


def test_one_form_of_docstring():
    found = [sentence for module in modules() for sentence in informal(module)]
    assert not found, "\n".join(found)


# -- 9: families of tasks know nothing of each other -------------------------------------------------------------------


def test_no_family_imports_another():
    families = {
        folder.name for folder in (PACKAGES["cpo_lab"] / "tasks").iterdir() if (folder / "__init__.py").exists()
    }
    for module in modules():
        for target, line in imports(module):
            parts = target.split(".")
            other = parts[2] if parts[:2] == ["cpo_lab", "tasks"] and len(parts) > 2 else ""
            assert other not in families - {module.family} or module.family is None, (
                f"{module.shown}:{line} imports {target} of another family: move what both use beside the families."
            )

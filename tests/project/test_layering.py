# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Imports point one way, and importing a package loads only what it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "source" / "cpo_rl" / "cpo_rl"
EXTENSION = ROOT / "exts" / "cpo_lab" / "cpo_lab"
SIMULATOR = {
    "isaaclab",
    "isaaclab_rl",
    "isaaclab_tasks",
    "isaaclab_newton",
    "isaaclab_ov",
    "isaaclab_physx",
    "isaaclab_assets",
    "isaaclab_visualizers",
    "newton",
    "warp",
    "mujoco",
    "mujoco_warp",
    "ovphysx",
    "pxr",
    "omni",
    "carb",
    "isaacsim",
}


def imported_packages(source: str, package: str) -> set[str]:
    """Top-level packages that a module imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(package if node.level else str(node.module).split(".")[0])
    return found


def offenders(folder: Path, package: str, forbidden: set[str], skip: Path | None = None) -> dict[str, list[str]]:
    files = [file for file in folder.rglob("*.py") if skip is None or not file.is_relative_to(skip)]
    assert files, f"no modules in {folder}"
    found = {
        str(file.relative_to(ROOT)): sorted(imported_packages(file.read_text(), package) & forbidden) for file in files
    }
    return {file: packages for file, packages in found.items() if packages}


def loaded_after(statement: str) -> set[str]:
    """Top-level packages in ``sys.modules`` of a fresh process after a statement."""
    program = f"{statement}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    paths = f"import sys; sys.path[:0] = {[str(EXTENSION.parent), str(LIBRARY.parent)]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", paths + program], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_imports_are_seen_wherever_they_are():
    source = "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h"
    assert imported_packages(source, "own") == {"a", "c", "own", "h"}


def test_library_knows_no_simulator_and_no_extension():
    assert offenders(LIBRARY, "cpo_rl", SIMULATOR | {"cpo_lab"}) == {}


def test_only_the_interface_knows_kit():
    assert offenders(EXTENSION, "cpo_lab", {"omni", "carb", "isaacsim"}, skip=EXTENSION / "ui") == {}


def test_packages_do_not_import_scripts_or_tests():
    for folder, package in ((LIBRARY, "cpo_rl"), (EXTENSION, "cpo_lab")):
        assert offenders(folder, package, {"scripts", "tests"}) == {}


def test_scripts_are_thin():
    """A script named after a command only calls it; a worked example may do more, but starts no simulator itself."""
    from cpo_lab.cli import COMMANDS

    for script in sorted((ROOT / "scripts").glob("*.py")):
        packages = imported_packages(script.read_text(), "scripts")
        assert not packages & SIMULATOR, script
        if script.stem in COMMANDS:
            assert packages <= {"__future__", "sys", "cpo_lab"}, script
            assert len(script.read_text().splitlines()) < 30, script


@pytest.mark.parametrize(
    "statement", ["import cpo_rl", "import cpo_rl.errors", "import cpo_rl.runners", "import cpo_rl.runs"]
)
def test_library_imports_light(statement):
    assert not loaded_after(statement) & (SIMULATOR | {"torch", "tensordict", "rich", "matplotlib"})


def test_learning_algorithm_imports_no_simulator():
    loaded = loaded_after("import cpo_rl.algorithms, cpo_rl.models; from cpo_rl.runners import EnsembleRunner")
    assert "torch" in loaded
    assert not loaded & (SIMULATOR | {"cpo_lab"})


@pytest.mark.parametrize(
    "statement", ["import cpo_lab", "import cpo_lab.tasks", "import cpo_lab.cli", "import cpo_lab.cli.train"]
)
def test_extension_imports_light(statement):
    assert not loaded_after(statement) & (SIMULATOR | {"torch", "tensordict", "matplotlib"})

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The pages about the algorithm name functions, tests and settings; all of them must exist."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import cpo_rl.formulas
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.fields import build_cfg, limits_of
from cpo_rl.presets import ABOUT, PRESETS

ROOT = Path(__file__).parents[2]
PAGES = ["algorithms.md", "fidelity.md", "distributed.md", "export.md", "pbt.md"]
FIELDS = {f.name: f for cls in (EnsembleCfg, ModelCfg) for f in dataclasses.fields(cls)}


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def resolve(path: str) -> Any:
    """The object that a dotted name means."""
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


@pytest.mark.parametrize("page", PAGES)
def test_named_functions_exist(page):
    names = set(re.findall(r"`(cpo_rl(?:\.\w+)+)`", text(page)))
    assert names or page == "distributed.md"
    for name in names:
        resolve(name)


def test_every_formula_is_on_the_page():
    """A function in ``formulas`` has a row, or a paragraph, that names the test which holds it to its formula."""
    folder = Path(cpo_rl.formulas.__file__).parent
    paragraphs = text("algorithms.md").split("\n\n")
    places = [line for p in paragraphs for line in (p.splitlines() if p.startswith("|") else [p])]
    for module in sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__"):
        source = (folder / f"{module}.py").read_text(encoding="utf-8")
        for name in re.findall(r"^def ([a-z]\w*)", source, re.MULTILINE):
            named = [place for place in places if f"`cpo_rl.formulas.{module}.{name}`" in place]
            assert any("`test_" in place for place in named), (
                f"cpo_rl.formulas.{module}.{name} has no row with a test in docs/algorithms.md; add one"
            )


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page):
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "cpo_rl").rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    files = {p.stem for p in (ROOT / "tests").rglob("test_*.py")}
    missing = set(re.findall(r"\b(test_\w+)\b", text(page))) - defined - files
    assert not missing


def test_named_settings_exist_with_values_they_accept():
    for name, value in re.findall(r"`(\w+)=([^`]+)`", text("fidelity.md")):
        assert name in FIELDS, name
        cls = EnsembleCfg if name in {f.name for f in dataclasses.fields(EnsembleCfg)} else ModelCfg
        build_cfg(cls, {name: eval(value, {})}, "algorithm")


def test_the_reference_preset_is_the_released_column():
    """What fidelity.md gives as the released choice is what the preset sets, wherever ours differs by default."""
    table = text("fidelity.md").split("## Defects")[0]
    released = {name: eval(value, {}) for name, value in re.findall(r"`(\w+)=([^`]+)`", table)}
    values = {**PRESETS["cpo_reference"], "sequence_length": 4, "mixed_precision": True}  # the last two by task
    for name, value in values.items():
        assert released[name] == value, name
    common = PRESETS["cpo_reference"].items() & PRESETS["sapg_reference"].items()
    assert dict(common) == PRESETS["cpo_reference"], "SAPG's reference is the same choices without CPO's terms"


def test_every_choice_is_explained():
    for name in {n for n, limits in limits_of(EnsembleCfg).items() if limits.choices} - {"learning_rate_schedule"}:
        assert f"`{name}" in text("fidelity.md"), name


@pytest.mark.parametrize("page", ["docs/algorithms.md", "README.md"])
def test_every_preset_is_explained_in_the_words_of_the_code(page):
    assert ABOUT.keys() == PRESETS.keys()
    shown = (ROOT / page).read_text(encoding="utf-8")
    for name, (what, relation) in ABOUT.items():
        assert f"| `{name}` | {what} | {relation} |" in shown, name


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[\w-]+)?\)", text(page)):
        assert (ROOT / "docs" / target).exists(), target

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Version, extension manifest, pins and license say the same everywhere."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import yaml
from tests.project import command_docs
from tests.project.hyperparameter_docs import DOCUMENT, with_tables

import cpo_lab

ROOT = Path(__file__).parents[2]
MANIFEST = tomllib.loads((ROOT / "exts/cpo_lab/config/extension.toml").read_text())
HEADER = "# Copyright (c) 2026, the cpo_lab authors.\n# SPDX-License-Identifier: BSD-3-Clause\n"


def test_version_has_one_source():
    version = MANIFEST["package"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert cpo_lab.__version__ == version
    assert importlib.metadata.version("cpo-lab") == version


def test_manifest_depends_on_kit_extensions_only():
    """Kit's solver refuses an extension that depends on a Python package such as isaaclab."""
    assert [name for name in MANIFEST.get("dependencies", {}) if not name.startswith(("omni.", "isaacsim."))] == []
    assert all(options.get("optional") for options in MANIFEST["dependencies"].values())


def test_manifest_names_the_package():
    """Kit starts what it finds in a named module; the library's path lets the extension's search path suffice."""
    extension = ROOT / "exts" / "cpo_lab"
    modules = {module["name"]: extension / module.get("path", ".") for module in MANIFEST["python"]["module"]}
    assert list(modules) == ["cpo_rl", "cpo_lab", "cpo_lab.ui.extension"]
    for name, folder in modules.items():
        place = folder / name.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").is_file(), name


def test_every_file_that_the_manifest_names_exists():
    for field in ("readme", "changelog", "icon"):
        assert (ROOT / "exts" / "cpo_lab" / MANIFEST["package"][field]).is_file(), field


def test_entry_points_of_the_installation():
    points = {
        (point.group, point.name): point.value for point in importlib.metadata.distribution("cpo-lab").entry_points
    }
    assert points["isaaclab.tasks", "cpo_lab"] == "cpo_lab.tasks"
    assert points["console_scripts", "cpo-lab"] == "cpo_lab.cli:main"


def test_pins_satisfy_the_requirements():
    from packaging.requirements import Requirement

    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if re.match(r"\w.*==", line)
    )
    required = [Requirement(text) for text in importlib.metadata.requires("cpo-lab") or []]
    named = [requirement for requirement in required if requirement.name in pins]
    assert {"isaaclab", "rsl-rl-lib", "torch", "pytest"} <= {requirement.name for requirement in named}
    for requirement in named:
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_every_source_file_carries_the_license():
    files = [file for folder in ("exts", "source", "scripts", "tests") for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 20
    assert [
        str(file.relative_to(ROOT)) for file in files if file.stat().st_size and not file.read_text().startswith(HEADER)
    ] == []


def test_license_files():
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License")
    notice = (ROOT / "NOTICE").read_text()
    assert all(name in notice for name in ("IsaacGymEnvs", "Shadow", "iiwa", "Allegro"))


def test_the_page_of_hyper_parameters_is_that_of_the_configurations():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_tables(text), (
        "Run python -m tests.project.hyperparameter_docs: its page is behind the settings."
    )


def test_the_page_of_commands_is_what_help_prints():
    assert command_docs.DOCUMENT.read_text(encoding="utf-8") == command_docs.page(), (
        "Run python -m tests.project.command_docs: docs/commands.md is behind the options."
    )


def test_the_citation_is_one():
    """GitHub draws "Cite this repository" from it; the README cites the same paper."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    paper = citation["references"][0]
    readme = (ROOT / "README.md").read_text()
    assert paper["title"] in readme
    assert paper["url"] in readme
    assert all(author["family-names"] in readme for author in paper["authors"])


def test_every_page_has_its_place_in_the_site():
    """The gate builds the site with warnings as errors; this tells at once what it would say."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    placed = re.findall(r"[\w/]+\.md", nav)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(placed) == sorted([*pages, "CHANGELOG.md", "CONTRIBUTING.md"]), "give it a line in mkdocs.yml's nav"

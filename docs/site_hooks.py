# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the documentation site needs beside the Markdown files: files they link to, roles of docstrings, mathematics.

MkDocs calls the functions named ``on_...``; mkdocstrings loads :class:`Roles`.
"""

from __future__ import annotations

import os
import re
from html import unescape
from pathlib import Path
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Pages of the site that stand outside of ``docs``."""

ELSEWHERE = {"README.md": "index.md", "docs": "index.md"}
"""What a link to a page outside of the site leads to."""

_LINK = re.compile(r"(\]\()(?![a-z]+:|#|<)([^)#\s]+)((?:#[^)\s]*)?(?:\s\"[^\"]*\")?\))")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
_ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|exc|obj):`(~?)([\w.]+)(?:\(\))?`")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside of ``docs`` and every file of the repository that a page links to."""
    for name in PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    found: set[str] = set()
    for page in [file for file in files if file.is_documentation_page()]:
        prose = "".join(_CODE.split(page.content_string)[::2])
        for _, target, _ in _LINK.findall(prose):
            path = _in_repository(page.src_uri, target)
            if path is not None and not path.startswith("docs/") and path not in (*PAGES, *ELSEWHERE):
                found.add(path)
    for path in sorted(path for path in found if (ROOT / path).is_file()):
        uri = f"files/{path}.txt"
        files.append(File.generated(config, uri, content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that leave ``docs`` lead to their places in the site."""
    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(lambda found: _led(found, page.file.src_uri), part) for part in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, **_: Any) -> str:
    """Turn formulas into MathML, which needs no script and no network."""
    return _FORMULA.sub(lambda m: convert(unescape(m[3]), display="inline" if m[2] == "(" else "block"), html)


class Roles(griffe.Extension):
    """Sphinx's roles in docstrings as links, where the reference has what they name, and as code elsewhere."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite all docstrings of a package."""
        self._rewrite(pkg)

    def _rewrite(self, owner: griffe.Object) -> None:
        if owner.docstring:
            owner.docstring.value = _ROLE.sub(lambda m: _linked(m, owner), owner.docstring.value)
        for member in owner.members.values():
            if not member.is_alias:
                self._rewrite(member)  # type: ignore[arg-type]


def _linked(role: re.Match[str], owner: griffe.Object) -> str:
    name = role[2]
    shown = f"`{name.rpartition('.')[2] if role[1] else name}`"
    try:
        path = owner.resolve(name) if "." not in name else name
    except griffe.NameResolutionError:
        return shown
    return f"<autoref optional identifier={path!r}>{shown}</autoref>"


def _in_repository(source: str, target: str) -> str | None:
    """Return the path in the repository that a link of a page leads to; None outside of it."""
    base = "" if source in PAGES else "docs"
    path = os.path.normpath(os.path.join(base, os.path.dirname(source), target)).replace(os.sep, "/")
    return None if path.startswith("..") else path


def _led(found: re.Match[str], source: str) -> str:
    path = _in_repository(source, found[2])
    if path is None:
        return found[0]
    if path.startswith("docs/"):
        target = path.removeprefix("docs/")
    elif path in PAGES:
        target = path
    elif path in ELSEWHERE:
        target = ELSEWHERE[path]
    elif (ROOT / path).is_file():
        target = f"files/{path}.txt"
    else:
        return found[0]
    relative = os.path.relpath(target, os.path.dirname(source) or ".").replace(os.sep, "/")
    return f"{found[1]}{relative}{found[3]}"

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Makes docs/commands.md from what ``--help`` prints; ``python -m tests.project.command_docs`` writes it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest.mock import patch

from cpo_lab.cli import COMMANDS, main

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
WIDTH = "100"
HEAD = """# Commands

What `./cpo_lab.sh COMMAND --help` prints, or `cpo-lab COMMAND --help` in the environment that it makes. Made by
`python -m tests.project.command_docs`.
"""


def help_of(*words: str) -> str:
    """What a command's ``--help`` prints on a terminal of fixed width."""
    said = io.StringIO()
    terminal = patch.dict(os.environ, {"COLUMNS": WIDTH})
    with terminal, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def page() -> str:
    """The page as it should be."""
    commands = [(name,) for name in COMMANDS] + [("benchmark", "env"), ("benchmark", "update")]
    parts = [f"## {' '.join(words)}\n\n```text\n{help_of(*words)}\n```\n" for words in sorted(commands)]
    return "\n".join([HEAD, f"```text\n{help_of()}\n```\n", *parts])


if __name__ == "__main__":
    DOCUMENT.write_text(page(), encoding="utf-8")

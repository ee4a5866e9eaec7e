# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The commands that README and docs show, and what becomes of each in the tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

NOT_RUN = {
    r"git clone ": "brings this project",
    r"(\S+/)?pip install ": "needs a network",
    r"\.ci/run\b": "the gate, which runs this test",
    r"torchrun ": "several processes: tests/cpo_rl/test_distributed.py",
    r"\S*isaaclab train_multigpu ": "needs several GPUs",
    r"\S*isaaclab train ": "Isaac Lab's launcher: tests/cpo_lab/cli/test_end_to_end.py, tasks/test_training_matrix.py",
    r"cpo-lab train --task My-Toss": "a task that its page makes: tests/cpo_lab/tasks/test_add_a_task.py",
    r"wandb sync ": "needs an account",
    r"export \w+=|cd |mkdir |source ": "changes the shell",
    r"sbatch |srun |scancel |squeue |ray |docker |podman |buildah |apptainer |kubectl ": "another program's",
    r"apt-get ": "changes the machine",
    r"docker/local_base\.sh": "makes an image, as root",
    r"pytest ": "a test itself",
}
"""What is shown and not run, by pattern of the line, with the reason."""

_SHELL = ("bash", "sh", "shell", "console")
_BLOCK = re.compile(r"^ *```([^\n`]*)\n(.*?)^ *```$", re.M | re.S)
_PROGRAM = re.compile(r"(?:[A-Z_]+=\S+\s+)*(?:\S*/)?(?:cpo-lab|cpo_lab\.sh|isaaclab|python3?|pip|torchrun|pytest)\s")
"""What a line begins with that is a command although its block does not say that it is one."""
_MENTION = re.compile(r"(?:`|^ {2,})(?:\./cpo_lab\.sh|cpo-lab) +([^`\n]+)", re.M)
_ASSIGNMENT = re.compile(r"^(?:[A-Z_]+=\S*\s+)+")


@dataclass(frozen=True)
class Shown:
    """A command on a page."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Its words, without assignments before it and remarks after it."""
        return shlex.split(_ASSIGNMENT.sub("", self.line), comments=True)

    @property
    def not_run(self) -> str | None:
        """Why it is not run; None where it is."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, self.line)), None)

    @property
    def own(self) -> list[str] | None:
        """Arguments of our own command; None of another program."""
        words = self.words
        return words[1:] or ["help"] if words[0] in ("cpo-lab", "./cpo_lab.sh", ".venv/bin/cpo-lab") else None

    @property
    def module(self) -> list[str] | None:
        """Module, or script, and its arguments, where Python runs one of ours."""
        words = self.words
        if Path(words[0]).name not in ("python", "python3") or len(words) < 2:
            return None
        return words[2:] if words[1] == "-m" else words[1:]


def shown_commands() -> Iterator[Shown]:
    """Every line of every shell block, and those of other blocks that are commands; what a backslash joins is one."""
    for page, text in _pages():
        for language, block in _BLOCK.findall(text):
            for line in block.replace("\\\n", " ").splitlines():
                if language not in _SHELL and not _PROGRAM.match(line):
                    continue
                for part in line.strip().split(" && "):
                    if part and not part.startswith("#"):
                        yield Shown(page, part.strip())


def mentioned_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of our commands within sentences and in what is set in; many have placeholders."""
    for page, text in _pages():
        yield from ((page, found[1].split()) for found in _MENTION.finditer(text))


def _pages() -> Iterator[tuple[str, str]]:
    """Name and text of every page."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md")]
    for page in [*pages, *sorted((ROOT / "docs").rglob("*.md"))]:
        yield page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")

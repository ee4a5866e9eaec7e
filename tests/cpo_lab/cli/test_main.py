# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The command line itself: help, dispatch, statuses."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cpo_lab
from cpo_lab import cli
from cpo_rl.errors import UserError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"]])
def test_help_shows_every_command_and_examples(capsys, argv):
    assert cli.main(argv) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in cli.available_commands())
    assert "examples:" in text


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"cpo-lab {cpo_lab.__version__}\n"


@pytest.mark.parametrize("name", list(cli.available_commands()))
def test_every_command_has_help_with_examples(capsys, name):
    try:
        status = cli.main([name, "--help"])
    except SystemExit as done:  # argparse leaves by an exception
        status = done.code
    assert status == 0
    text = capsys.readouterr().out
    assert f"cpo-lab {name}" in text
    assert "example" in text


def test_commands_that_are_not_installed_are_not_offered(capsys, monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "teleport", cli.Command("cpo_lab.cli.teleport", "not there"))
    assert "teleport" not in cli.available_commands()
    assert cli.main(["teleport"]) == 2


@pytest.mark.parametrize(
    ("raised", "status", "told"), [(UserError("Say what."), 2, "Say what."), (KeyboardInterrupt(), 130, "interrupted")]
)
def test_status_of_what_a_command_raises(capsys, monkeypatch, raised, status, told):
    def run(argv):
        raise raised

    monkeypatch.setattr("cpo_lab.cli.list.run", run)
    assert cli.main(["list"]) == status
    assert told in capsys.readouterr().err


class Full(io.StringIO):
    """Standard output on a full disk, or to a reader that is gone."""

    def __init__(self, number):
        super().__init__()
        self.error = OSError(number, os.strerror(number))

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    ("command", "number", "status"),
    [
        ("list", errno.ENOSPC, 1),
        ("list", errno.EPIPE, 0),
        ("train", errno.ENOSPC, 0),
        ("pbt", errno.ENOSPC, 0),
        ("pbt --status", errno.ENOSPC, 1),
        ("sweep study.yaml", errno.ENOSPC, 0),
        ("sweep --dry_run", errno.ENOSPC, 1),
    ],
)
def test_an_answer_that_cannot_be_shown_is_no_success_and_a_run_is_one(capsys, monkeypatch, command, number, status):
    monkeypatch.setattr(sys, "stdout", Full(number))
    monkeypatch.setattr(cli, "_find", lambda name: cli.Command("cpo_lab.cli.list", ""))
    monkeypatch.setattr("cpo_lab.cli.list.run", lambda argv: sys.stdout.flush() or 0)
    assert cli.main(command.split()) == status
    assert ("the answer could not be shown" in capsys.readouterr().err) is (status == 1)


def test_a_bug_is_not_dressed_up_as_user_input(monkeypatch):
    def run(argv):
        raise ValueError("a bug")

    monkeypatch.setattr("cpo_lab.cli.list.run", run)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["list"])


def test_help_is_instant():
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "cpo_lab.cli"], check=True, capture_output=True, timeout=30)
    assert time.monotonic() - started < 5.0  # about 0.1 s alone; torch or Isaac Lab would take several


def test_scripts_work_from_a_checkout_alone():
    """With PYTHONPATH only, that is without entry points, as ``isaaclab -p scripts/list.py`` would run it."""
    paths = f"{ROOT / 'exts/cpo_lab'}:{ROOT / 'source/cpo_rl'}"
    program = (
        "import runpy, sys; sys.argv = ['list.py', '--plain']; runpy.run_path('scripts/list.py', run_name='__main__')"
    )
    hide = "import importlib.metadata as m; m.entry_points = lambda **kwargs: []; "
    done = subprocess.run(
        [sys.executable, "-c", hide + program],
        cwd=ROOT,
        env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "CpoLab-Reorient-Cube-Shadow-Direct" in done.stdout.split(), done.stderr

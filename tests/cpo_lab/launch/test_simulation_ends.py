# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Leaving Isaac Sim's app ends the process; output, files and status are the same as without it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, os, sys, types
import isaaclab.app

ends = sys.argv[1] == "ends"

@contextlib.contextmanager
def launch(cfg, args=None):
    # as isaaclab.app.launch_simulation with Isaac Sim's fast_shutdown
    code = 0
    try:
        yield
    except SystemExit as error:
        code = error.code
        raise
    except KeyboardInterrupt:
        code = 130
        raise
    except Exception:
        code = 1
        raise
    finally:
        if ends:
            os._exit(code)

isaaclab.app.launch_simulation = launch
from cpo_lab import cli
from cpo_lab.launch.simulation import end_with, simulation
from cpo_rl.errors import UserError

def run(argv):
    resolved = types.SimpleNamespace(env_cfg=None, request=types.SimpleNamespace(device="cpu"))
    with simulation(resolved):
        print("measured")
        if argv == ["mistake"]:
            raise UserError("--this is wrong; do that.")
        if argv == ["interrupt"]:
            raise KeyboardInterrupt
        print("told")
        return end_with({"fine": 0, "preempted": 143, "failed": 1}[argv[0]])

import cpo_lab.cli.list

cpo_lab.cli.list.run = run
sys.exit(cli.main(["list", sys.argv[2]]))
"""


def outcome(ends: str, way: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, ends, way], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.replace("cpo-lab: interrupted\n", "")


@pytest.mark.parametrize(
    ("way", "status", "out", "err"),
    [
        ("fine", 0, "measured\ntold\n", ""),
        ("preempted", 143, "measured\ntold\n", ""),
        ("failed", 1, "measured\ntold\n", ""),
        ("mistake", 2, "measured\n", "cpo-lab: --this is wrong; do that.\n"),
        ("interrupt", 130, "measured\n", ""),
    ],
)
def test_a_command_ends_alike_with_both_launchers(way, status, out, err):
    assert outcome("returns", way) == (status, out, err)
    assert outcome("ends", way) == (status, out, err)

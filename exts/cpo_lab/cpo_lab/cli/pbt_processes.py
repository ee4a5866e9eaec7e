# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The members of a population as processes of this machine: started together, watched, stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live

from cpo_lab.cli import pbt_status
from cpo_rl.pbt.workspace import Workspace
from cpo_rl.runners.signals import HANDLED, signals_to_handle

OUTPUT = "output.log"
"""File in a member's run folder with everything its processes printed."""

LINES_S = 10.0
"""Time between progress lines where nothing is drawn [s]."""

LOOK_S = 0.5
"""Time between two looks at the processes [s]."""


def run_population(
    workspace: Workspace, commands: Sequence[Sequence[str]], environment: dict[str, str], console: Console
) -> int:
    """Run one process per member until all have ended, showing a line for each.

    The first stop signal (Ctrl+C, SIGTERM, SIGUSR1, SIGHUP) is passed on to all members, which save and end; a second
    one ends them at once. A member that fails does not stop the others.

    Args:
        workspace: The population's folder.
        commands: Command of every member.
        environment: Environment variables of the processes.
        console: Where progress is shown.

    Returns:
        Exit code, as :func:`exit_code` makes it.
    """
    processes: list[subprocess.Popen] = []
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        for process in processes:
            # twice the same signal would be taken as the first; the members' promise for a second one is Ctrl+C's
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number if len(stopped) == 1 else signal.SIGKILL)

    previous = {number: signal.signal(number, stop) for number in signals_to_handle()}
    try:
        for member, command in enumerate(commands):
            if not stopped:
                processes.append(_start(workspace.folder(member), command, environment))
        _watch(workspace, processes, stopped, console)
    finally:
        for process in processes:
            if process.poll() is None:  # only if this function itself failed
                process.terminate()
        for number, handler in previous.items():
            signal.signal(number, handler)
    codes = [process.returncode for process in processes]
    for member, code in enumerate(codes):
        if code not in (0, *(128 + number for number in HANDLED)):
            log = workspace.folder(member) / OUTPUT
            console.print(f"Member {member} ended with status {code}: {_last_line(log)} ({log})", markup=False)
    return exit_code(codes, stopped)


def exit_code(codes: Sequence[int], stopped: Sequence[int]) -> int:
    """Return what the whole command exits with.

    Args:
        codes: Exit codes of the members, negative for the signal that killed one.
        stopped: Stop signals that came, in order.

    Returns:
        128 plus the first signal after a stop, 1 if a member failed otherwise, 0 if all finished.
    """
    ends = {0, *(128 + number for number in stopped), *(-number for number in (*stopped, signal.SIGKILL) if stopped)}
    if any(code not in ends for code in codes):
        return 1
    return 128 + stopped[0] if stopped else 0


def _start(folder: Path, command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
    """Start a member in a session of its own, so that Ctrl+C reaches it through :func:`run_population` only."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / OUTPUT).open("ab") as output:
        return subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **environment}, start_new_session=True,
        )  # fmt: skip


def _watch(workspace: Workspace, processes: Sequence[subprocess.Popen], stopped: list[int], console: Console) -> None:
    """Show the members until every process has ended."""
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        due, told = 0.0, False
        while True:
            running = any(process.poll() is None for process in processes)
            if stopped and not told:
                told = True
                console.print("Stopping; every member saves first. Once more to end at once.")
            if live is not None:
                live.update(pbt_status.table(_rows(workspace, processes)), refresh=True)
            elif time.monotonic() >= due or not running:
                due = time.monotonic() + LINES_S
                for row in _rows(workspace, processes):
                    console.print(pbt_status.line(row), markup=False, highlight=False, soft_wrap=True)
            if not running:
                return
            time.sleep(LOOK_S)


def _rows(workspace: Workspace, processes: Sequence[subprocess.Popen]) -> list[dict[str, Any]]:
    """Return the members' rows, with a process that has not written yet shown as starting."""
    rows = pbt_status.member_rows(workspace)
    for row, process in zip(rows, processes, strict=False):
        if process.poll() is None and row.get("pid") != process.pid:
            row["health"] = "starting"  # what the folder says is about an earlier process
    return rows


def _last_line(path: Path) -> str:
    """Return the last line that a member printed."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it printed nothing"

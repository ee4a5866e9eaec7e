# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Python in a process of its own: one process can hold one simulation, and users start commands that way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_python"]


def run_python(*arguments: str | Path, cwd: Path | None = None, timeout: float = 500.0, **environment: str) -> str:
    """Run ``python arguments...`` on one torch thread and fail with its output unless it ends with status 0.

    Args:
        arguments: Interpreter arguments, such as a script or ``-m`` and a module, and what follows.
        cwd: Folder to run in.
        timeout: Seconds it may take.
        environment: Variables besides those of this process.

    Returns:
        What it printed, standard error after standard output.
    """
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr

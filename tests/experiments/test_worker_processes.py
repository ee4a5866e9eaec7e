# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Processes that work for another one end with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cpo_rl.threads import worker_processes


def tell_and_wait(path: str) -> None:
    """Write the process's number into a file named so, and work for a minute."""
    Path(path, str(os.getpid())).touch()
    time.sleep(60.0)


STARTER = """
import sys
from tests.experiments.test_worker_processes import tell_and_wait
from cpo_rl.threads import worker_processes
if __name__ == "__main__":
    with worker_processes(2) as pool:
        list(pool.map(tell_and_wait, [sys.argv[1]] * 4))
"""


def test_workers_end_when_their_starter_is_killed(tmp_path):
    script, told = tmp_path / "starter.py", tmp_path / "told"
    script.write_text(STARTER)
    told.mkdir()
    starter = subprocess.Popen([sys.executable, str(script), str(told)], env={**os.environ, "PYTHONPATH": _path()})
    try:
        workers = _until(lambda: [int(file.name) for file in told.iterdir()], lambda found: len(found) == 2)
    finally:
        starter.kill()
        starter.wait()
    assert _until(lambda: [pid for pid in workers if Path("/proc", str(pid)).exists()], lambda left: not left) == []


def test_workers_work():
    with worker_processes(1) as pool:
        assert list(pool.map(abs, [-1, 2])) == [1, 2]


def _path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def _until(look, enough, seconds: float = 60.0):
    end = time.monotonic() + seconds
    while not enough(found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found

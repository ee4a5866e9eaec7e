# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A job as a process of this machine, whoever asked for it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
from typing import Any

from cpo_lab.jobs.job import OUTPUT, Job
from cpo_rl.runners.signals import HANDLED

_PR_SET_PDEATHSIG = 1


def start_process(job: Job) -> subprocess.Popen:
    """Start a job's command, with what it prints added to its folder's :data:`~cpo_lab.jobs.job.OUTPUT`.

    It gets a session of its own, so that Ctrl+C reaches it through its starter only, and on Linux a SIGTERM when the
    thread that called this ends in whatever way: a run whose starter was killed saves and frees its folder.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    _libc()  # loaded before the fork
    with (job.folder / OUTPUT).open("ab") as output:
        return subprocess.Popen(
            list(job.command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **job.environment}, start_new_session=True, preexec_fn=_settle,
        )  # fmt: skip


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _settle() -> None:
    """Runs in the new process before its program."""
    if _libc() is not None:
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Ray's workers hold SIGINT back, and what they start inherits it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    # submitit's warning ahead of a time limit, which some clusters send to every process of a job
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def send(process: subprocess.Popen, number: int) -> None:
    """Send a signal to a process, which may have ended."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Jobs as an array of Slurm's, through submitit, which also requeues them ahead of their time limit."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from cpo_lab.jobs.job import STOPPED, End, Job, Running, end_of
from cpo_lab.jobs.process import send, start_process
from cpo_rl.errors import UserError
from cpo_rl.runs.files import reason

_log = logging.getLogger(__name__)

QUEUE_S = 10.0
"""Time between two questions to Slurm, one for all jobs [s]."""

MOST_TIMEOUTS = 100
"""How often a job is requeued at its time limit; every time it got one limit's length further."""

WARNING_S = 120
"""How long before its time limit a job saves and is requeued [s]."""

RESULT_S = 4.0
"""How much later than the end of its job a result may reach this machine [s]."""


class Attended:
    """What a job of Slurm's does: attend to a training process, and have it save before the job is ended.

    submitit keeps it as a pickle and calls it again after a requeue; the command itself continues its run.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._process: subprocess.Popen | None = None

    def __call__(self) -> int:
        """Run the job's command; returns its exit status."""
        self._process = start_process(self.job)
        # preemption without a warning: submitit only writes that down
        signal.signal(signal.SIGTERM, self._forward)
        while (code := self._process.poll()) is None:
            time.sleep(0.2)
        if code in STOPPED:
            raise SystemExit(code)  # a result would tell that this job, which Slurm ends or requeues now, is over
        return code

    def checkpoint(self) -> Any:
        """Have the run save; submitit calls this ahead of the time limit, and requeues what it returns."""
        import submitit

        assert self._process is not None
        send(self._process, signal.SIGUSR1)
        # not wait(), whose lock the code that this handler interrupted may hold
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return submitit.helpers.DelayedSubmission(Attended(self.job))

    def _forward(self, number: int, frame: FrameType | None) -> None:
        assert self._process is not None
        send(self._process, number)


class SlurmLauncher:
    """Gives jobs to Slurm.

    Args:
        folder: Folder for submitit's files, seen by every machine.
        parameters: Keywords of submitit's ``update_parameters``.
        cluster: Executor of submitit's: ``slurm``, or ``local`` to try the same without Slurm.

    Raises:
        UserError: If submitit or Slurm is missing, or a parameter is none.
    """

    name = "slurm"
    outlives = True
    at_once: int | None = None

    def __init__(self, folder: Path, parameters: dict[str, Any], cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError:
            raise UserError(
                "--launcher slurm needs the package submitit; install it with pip install submitit (extra: slurm)."
            ) from None
        self._folder, self._cluster = folder, cluster
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster, slurm_max_num_timeout=MOST_TIMEOUTS)
            self._executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, TypeError, NameError, OSError) as error:
            raise UserError(f"--launcher slurm cannot be used here ({reason(error)}).") from None
        self._queue: dict[str, str] | None = None
        self._asked_at = -float("inf")
        self._is_silent = False

    def start(self, jobs: Sequence[Job]) -> list[Running]:
        """Submit jobs as one array.

        Raises:
            UserError: If Slurm refuses them.
        """
        try:
            with self._executor.batch():
                submitted = [self._executor.submit(Attended(job)) for job in jobs]
        except Exception as error:  # submitit's own kinds, sbatch's exit, a full disk
            lines = str(error).strip().splitlines() or [type(error).__name__]
            said = next((line for line in reversed(lines) if "error" in line.lower()), lines[0])
            raise UserError(f"Slurm refused the jobs ({said.strip()}).") from None
        self._queue, self._asked_at = None, -float("inf")  # what Slurm told before knows nothing of these
        return [_SlurmJob(self, job, handle) for job, handle in zip(jobs, submitted, strict=True)]

    def find(self, job: Job, known_as: str) -> Running | None:
        """Return a job that an earlier command submitted, unless Slurm has forgotten it without a result."""
        import submitit

        if self._cluster != "slurm":
            return None
        handle = submitit.SlurmJob(self._folder, known_as)
        if not self.has(known_as) and not handle.paths.result_pickle.exists():
            return None
        return _SlurmJob(self, job, handle)

    def close(self) -> None:
        """Nothing: the jobs are Slurm's."""

    def has(self, known_as: str) -> bool:
        """Return whether a job is in Slurm's queue; one is until Slurm, which may be restarting, says otherwise."""
        queue = self._asked()
        return queue is None or known_as in queue

    def waits(self, known_as: str) -> bool:
        """Return whether a job in Slurm's queue has no place yet, as far as Slurm has told."""
        return (self._asked() or {}).get(known_as) in ("PENDING", "REQUEUED")

    def _asked(self) -> dict[str, str] | None:
        """Return Slurm's states by job, such as ``PENDING``; None if it has not answered since the last start.

        Only ``squeue`` is asked: not every cluster keeps accounts for ``sacct``.
        """
        if time.monotonic() - self._asked_at > QUEUE_S:
            command = ["squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i %T"]
            try:
                told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
                self._queue = dict(line.split(maxsplit=1) for line in told.stdout.splitlines() if " " in line)
                self._is_silent = False
            except (OSError, subprocess.SubprocessError) as error:
                if not self._is_silent:
                    _log.warning("Slurm does not answer (%s); its jobs count as there until it does.", reason(error))
                self._is_silent = True
            self._asked_at = time.monotonic()
        return self._queue


class _SlurmJob:
    """A job that Slurm has."""

    def __init__(self, launcher: SlurmLauncher, job: Job, handle: Any) -> None:
        self._launcher, self._job, self._handle = launcher, job, handle
        self.id = str(handle.job_id)
        self._missing_since: float | None = None

    def poll(self) -> End | None:
        if self._has_result():
            try:
                return end_of(self._job, int(self._handle.result()))
            except Exception as error:  # whatever went wrong in the job, as submitit tells it
                said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                return End(None, f"ended with an error of its job ({said[:200]})")
        if self._is_there():
            self._missing_since = None
            return None
        self._missing_since = self._missing_since or time.monotonic()
        if time.monotonic() - self._missing_since < RESULT_S:
            return None
        return End(None, f"is gone from Slurm without a result (job {self.id}: killed, cancelled or out of memory)")

    def _has_result(self) -> bool:
        return bool(self._handle.paths.result_pickle.exists())

    def _is_there(self) -> bool:
        if self._launcher._cluster != "slurm":
            return not self._handle.done()
        return self._launcher.has(self.id)

    def waits(self) -> bool:
        return self._launcher._cluster == "slurm" and self._launcher.waits(self.id)

    def stop(self, number: int) -> None:
        self._handle.cancel()

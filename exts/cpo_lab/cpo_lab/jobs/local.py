# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Jobs as processes of this machine, N at a time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace

from cpo_lab.jobs.job import End, Job, Running, end_of
from cpo_lab.jobs.process import send, start_process


class LocalLauncher:
    """Starts jobs on this machine.

    Args:
        at_once: Jobs at a time.
        devices: Devices that take turns; the least used one gets the next job. Empty leaves the choice to the job.
        threads: Threads of a job; None leaves the choice to the job.
    """

    name = "local"
    outlives = False

    def __init__(self, at_once: int, devices: Sequence[str] = (), threads: int | None = None) -> None:
        self.at_once: int | None = at_once
        self._devices, self._threads = list(devices), threads
        self._started: list[_Process] = []

    def start(self, jobs: Sequence[Job]) -> list[Running]:
        """Start processes."""
        return [self._start(job) for job in jobs]

    def _start(self, job: Job) -> Running:
        self._started = [started for started in self._started if started.poll() is None]
        used = [started.device for started in self._started]
        device = min(self._devices, key=used.count) if self._devices else None
        command = (*job.command, "--device", device) if device else job.command
        threads = {"OMP_NUM_THREADS": str(self._threads)} if self._threads else {}
        job = replace(job, command=command, environment={**threads, **job.environment})
        self._started.append(_Process(job, start_process(job), device))
        return self._started[-1]

    def find(self, job: Job, known_as: str) -> Running | None:
        """Return None: no process of an earlier start belongs to this one."""
        return None

    def close(self) -> None:
        """Ask what still runs to save and end; only after an error of this program itself."""
        for started in self._started:
            started.stop(15)


class _Process:
    """A process of this machine."""

    def __init__(self, job: Job, process: subprocess.Popen, device: str | None) -> None:
        self._job, self._process, self.device = job, process, device
        self.id = str(process.pid)

    def poll(self) -> End | None:
        code = self._process.poll()
        return None if code is None else end_of(self._job, code)

    def waits(self) -> bool:
        return False

    def stop(self, number: int) -> None:
        send(self._process, number)

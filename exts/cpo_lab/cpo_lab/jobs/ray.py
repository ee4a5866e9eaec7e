# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Jobs as actors of a Ray cluster, or of a Ray on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from cpo_lab.jobs.job import End, Job, Running, end_of
from cpo_lab.jobs.process import send, start_process
from cpo_rl.errors import UserError
from cpo_rl.runs.files import reason

ANSWER_S = 5.0
"""How long a cluster's address may take to answer [s]."""

LOCAL = "local"
"""Address that stands for a Ray of this command's own."""


@dataclass(frozen=True)
class Place:
    """Where Ray is, and what of it a run gets."""

    address: str | None
    """As for :func:`connect`."""

    cpus: int
    """Cores of a run."""

    gpus: float
    """GPUs of a run, a share of one if less than 1."""

    at_once: int | None
    """Runs at a time; None for as many as fit."""


def connect(address: str | None, option: str = "--launcher ray", cores: int | None = None) -> Any:
    """Return the library, connected to a cluster.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT``, ``auto`` for the one of this machine, or ``local``; None for
            ``RAY_ADDRESS`` if that is set, else ``local``.
        option: What needs Ray, as it is typed.
        cores: Cores that a Ray of this command's own claims to have; None for those that this machine has.

    Raises:
        UserError: If Ray is not installed, or nobody answers.
    """
    address = check_ray(address, option)
    import ray

    paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    # Ray would otherwise take GPUs away from processes that ask for none, and runs choose their device themselves
    cpu_only = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    os.environ.update(cpu_only)
    if address == LOCAL:
        # its workers are as nice as this command, not 15 steps nicer, or anything else starves the runs
        os.environ.setdefault("RAY_worker_niceness", "0")
        # a worker that ends would kill the run at once, which saves when its worker is gone
        os.environ.setdefault("RAY_kill_child_processes_on_worker_exit", "0")
    own: dict[str, Any] = {"include_dashboard": False, "num_cpus": cores} if address == LOCAL else {}
    variables = {"env_vars": {**paths, **cpu_only}}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env=variables, **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"--ray_address {address} cannot be used ({reason(error)}).") from None
    return ray


def check_ray(address: str | None, option: str = "--launcher ray") -> str:
    """Refuse what needs Ray where it is missing or nobody answers; nothing is imported or started.

    Args:
        address: As for :func:`connect`.
        option: What needs Ray, as it is typed.

    Returns:
        The address, complete.

    Raises:
        UserError: If Ray is not installed, or nobody answers.
    """
    if find_spec("ray") is None:
        raise UserError(f"{option} needs Ray; install it with pip install 'ray[tune]' (extra: ray).")
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    _check_answer(address)
    return address


def _check_answer(address: str) -> None:
    """Refuse an address behind which nobody is, for which Ray itself waits minutes.

    Raises:
        UserError: If nobody answers, or it is no address.
    """
    if address in (LOCAL, "auto"):
        return
    match = re.fullmatch(r"(?:ray://)?([^:/]+|\[.+\]):(\d+)", address)
    if match is None:
        raise UserError(f"--ray_address {address!r} must be HOST:PORT, ray://HOST:PORT, auto or local.")
    try:
        with socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=ANSWER_S):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(f"--ray_address {address} does not answer ({reason(error)}); start Ray there.") from None


def check_room(ray: Any, cpus: int, gpus: float) -> None:
    """Refuse a cluster in which no machine has room for a run, which Ray would let wait.

    Args:
        ray: The library, connected.
        cpus: Cores of a run.
        gpus: GPUs of a run.

    Raises:
        UserError: If there is no room.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        most = ", ".join(f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}" for node in nodes)
        raise UserError(
            f"No machine of the Ray cluster has {cpus} cores and {gpus:g} GPUs for a run (they have {most}); "
            "give --cpus_per_run and --gpus_per_run."
        )


class Attendant:
    """An actor that attends to the process of one job.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._process: subprocess.Popen | None = None
        self._asked: int | None = None

    def run(self) -> int:
        """Run the job's command; returns its exit status."""
        self._process = start_process(self._job)
        if self._asked is not None:  # while it was being started
            send(self._process, self._asked)
        return self._process.wait()

    def stop(self, number: int) -> None:
        """Send a signal to the process, which may not have started yet."""
        self._asked = number
        if self._process is not None:
            send(self._process, number)


class RayLauncher:
    """Gives jobs to Ray, which starts as many at a time as fit.

    Args:
        address: As for :func:`connect`.
        cpus: Cores of a job.
        gpus: GPUs of a job, a share of one if less than 1.
        at_once: Jobs at a time; None for as many as fit.

    Raises:
        UserError: If Ray cannot be used, or no machine of the cluster has room for a job.
    """

    name = "ray"
    outlives = False

    def __init__(self, address: str | None, cpus: int, gpus: float, at_once: int | None = None) -> None:
        self.at_once: int | None = at_once
        self._ray = connect(address)
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "max_concurrency": 2, "max_restarts": 0}
        try:
            check_room(self._ray, cpus, gpus)
        except UserError:
            self.close()
            raise
        self._class = self._ray.remote(Attendant)

    def start(self, jobs: Sequence[Job]) -> list[Running]:
        """Create an actor per job; Ray places it when there is room."""
        return [_RayJob(self._ray, job, self._class.options(**self._options).remote(job)) for job in jobs]

    def find(self, job: Job, known_as: str) -> Running | None:
        """Return None: actors end with the command that created them."""
        return None

    def close(self) -> None:
        """Disconnect; a Ray of this command's own ends."""
        with contextlib.suppress(Exception):  # a cluster that is gone needs no farewell
            self._ray.shutdown()


class _RayJob:
    """A job that Ray has."""

    def __init__(self, ray: Any, job: Job, actor: Any) -> None:
        self._ray, self._job, self._actor = ray, job, actor
        self._ready, self._result = actor.__ray_ready__.remote(), actor.run.remote()
        self.id = actor._actor_id.hex()
        self._withdrawn: int | None = None

    def poll(self) -> End | None:
        if not self._ray.wait([self._result], timeout=0)[0]:
            return None
        try:
            return end_of(self._job, self._ray.get(self._result))
        except self._ray.exceptions.RayError as error:
            if self._withdrawn is not None:
                return End(128 + self._withdrawn, f"was stopped by {signal.Signals(self._withdrawn).name} in the queue")
            lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
            return End(None, f"lost its Ray worker ({lines[0][:200] if lines else type(error).__name__})")
        finally:
            self._ray.kill(self._actor)

    def waits(self) -> bool:
        return not self._ray.wait([self._ready], timeout=0)[0]

    def stop(self, number: int) -> None:
        if self.waits():
            self._withdrawn = number
            self._ray.kill(self._actor)
        else:
            self._actor.stop.remote(number)

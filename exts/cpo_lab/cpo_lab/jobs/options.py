# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The options by which a command chooses its launcher, and the launcher that they describe."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from cpo_lab.jobs.job import Launcher
from cpo_lab.jobs.ray import Place
from cpo_lab.launch.machine import resolve_device
from cpo_rl.errors import UserError
from cpo_rl.threads import usable_cores

LAUNCHERS = ("local", "slurm", "ray")
"""Values of ``--launcher``."""

RETRIES = 2
"""How often a run that died is started again, unless told otherwise."""

_OF = {
    "devices": ("local",),
    "cpus_per_run": ("slurm", "ray"),
    "gpus_per_run": ("slurm", "ray"),
    "time": ("slurm",),
    "mem_gb": ("slurm",),
    "partition": ("slurm",),
    "slurm": ("slurm",),
    "ray_address": ("ray",),
}
"""Launchers that an option means something to."""


def add_launcher_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for :func:`make_launcher`, and ``--retries``."""
    group = parser.add_argument_group("where runs are started (docs/cluster.md)")
    group.add_argument(
        "--launcher", choices=LAUNCHERS, default="local", help="this machine, Slurm or Ray (default: local)"
    )
    group.add_argument("--at_once", type=int, metavar="N", help="most runs at a time")
    group.add_argument(
        "--retries", type=int, metavar="N", help=f"how often a run that died is started again (default: {RETRIES})"
    )
    group.add_argument("--devices", metavar="LIST", help="local: devices that take turns, such as cuda:0,cuda:1")
    group.add_argument("--cpus_per_run", type=int, metavar="N", help="slurm, ray: cores of a run (default: 1)")
    group.add_argument(
        "--gpus_per_run", type=float, metavar="N", help="slurm, ray: GPUs of a run (default: 1, or 0 with a CPU device)"
    )
    group.add_argument("--time", metavar="T", help="slurm: time limit, [D-]HH:MM:SS or minutes (default: 12:00:00)")
    group.add_argument("--mem_gb", type=float, metavar="G", help="slurm: memory of a run (default: the cluster's)")
    group.add_argument("--partition", metavar="NAME", help="slurm: partition (default: the cluster's)")
    group.add_argument(
        "--slurm", action="append", metavar="KEY=VALUE", help="slurm: any other option of sbatch, such as account=mine"
    )
    group.add_argument(
        "--ray_address", metavar="WHERE", help="ray: HOST:PORT, ray://HOST:PORT, auto or local (default: RAY_ADDRESS)"
    )


def check_launcher_options(args: argparse.Namespace) -> None:
    """Refuse options that are out of range or mean nothing to the launcher; nothing is imported or started.

    Raises:
        UserError: Naming the option.
    """
    for name, launchers in _OF.items():
        if getattr(args, name) is not None and args.launcher not in launchers:
            raise UserError(f"--{name} means nothing to --launcher {args.launcher}; leave it out.")
    for name, least in {"at_once": 1, "retries": 0, "cpus_per_run": 1, "gpus_per_run": 0, "mem_gb": 0.1}.items():
        value = getattr(args, name)
        if value is not None and not value >= least:
            raise UserError(f"--{name} {value} must be at least {least}.")
    gpus = args.gpus_per_run or 0
    if gpus % 1 != 0 and (args.launcher == "slurm" or gpus > 1):
        shares = "has no shares of GPUs here" if args.launcher == "slurm" else "has shares of one GPU only"
        raise UserError(f"--gpus_per_run {gpus} must be an integer; {args.launcher.capitalize()} {shares}.")
    if args.time is not None:
        minutes(args.time)
    for token in args.slurm or ():
        if not re.fullmatch(r"[a-z][\w-]*=.+", token):
            raise UserError(f"--slurm {token!r} must be KEY=VALUE, such as account=mine.")
    for device in (args.devices or "").split(",") if args.devices is not None else ():
        resolve_device(device)


def make_launcher(args: argparse.Namespace, folder: Path, jobs: int, device: str | None) -> Launcher:
    """Return the launcher that the options describe.

    Args:
        args: What :func:`add_launcher_options` added, checked by :func:`check_launcher_options`.
        folder: Folder of the jobs, for what a launcher itself writes.
        jobs: Number of jobs.
        device: Device that the jobs ask for; None leaves the choice to them.

    Raises:
        UserError: If the launcher cannot be used here.
    """
    if args.launcher == "local":
        from cpo_lab.jobs.local import LocalLauncher

        devices = args.devices.split(",") if args.devices else []
        at_once = min(args.at_once or len(devices) or 1, jobs)
        on_cpu = "cpu" in devices if devices else resolve_device(device) == "cpu"
        return LocalLauncher(at_once, devices, max(usable_cores() // at_once, 1) if on_cpu else None)
    place = place_in_ray(args, device)
    if args.launcher == "ray":
        from cpo_lab.jobs.ray import RayLauncher

        return RayLauncher(place.address, place.cpus, place.gpus, place.at_once)
    from cpo_lab.jobs.slurm import SlurmLauncher

    return SlurmLauncher(folder / "slurm", _slurm_parameters(args, place.cpus, int(place.gpus), jobs))


def place_in_ray(args: argparse.Namespace, device: str | None) -> Place:
    """Return where Ray is and what of it a run gets; arguments as for :func:`make_launcher`."""
    gpus = args.gpus_per_run if args.gpus_per_run is not None else float(device != "cpu")
    return Place(args.ray_address, args.cpus_per_run or 1, gpus, args.at_once)


def _slurm_parameters(args: argparse.Namespace, cpus: int, gpus: int, jobs: int) -> dict[str, Any]:
    """Return submitit's keywords."""
    from cpo_lab.jobs.slurm import WARNING_S

    parameters: dict[str, Any] = {
        "name": "cpo-lab",
        "timeout_min": minutes(args.time or "12:00:00"),
        "cpus_per_task": cpus,
        "slurm_array_parallelism": args.at_once or jobs,
        "slurm_signal_delay_s": WARNING_S,
    }
    optional = {"gpus_per_node": gpus or None, "mem_gb": args.mem_gb, "slurm_partition": args.partition}
    parameters |= {name: value for name, value in optional.items() if value is not None}
    given = dict(token.split("=", 1) for token in args.slurm or ())
    return {**parameters, **({"slurm_additional_parameters": given} if given else {})}


def minutes(text: str) -> int:
    """Return a time limit in minutes, rounded up [min].

    Raises:
        UserError: If it is none.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d{2}):(\d{2})", text)
    if match:
        days, hours, mins, seconds = (int(part or 0) for part in match.groups())
        total = (days * 24 + hours) * 60 + mins + (seconds > 0)
    else:
        total = int(text) if text.isdecimal() else 0
    if not 1 <= total <= 60 * 24 * 366:
        raise UserError(f"--time {text!r} must be [D-]HH:MM:SS or minutes, at least one minute.")
    return total

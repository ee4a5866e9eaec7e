# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A population that Ray Tune's own PopulationBasedTraining decides for (``cpo-lab pbt --engine ray``)."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rich.console import Console, RenderableType

from cpo_lab.jobs.job import Job
from cpo_lab.jobs.ray import Place, check_room, connect
from cpo_rl.errors import UserError
from cpo_rl.pbt.decision import Member
from cpo_rl.pbt.settings import PREFIX, PbtCfg
from cpo_rl.pbt.workspace import Workspace
from cpo_rl.runners.signals import signals_to_handle
from cpo_rl.threads import usable_cores

MEANINGLESS = (
    "start_after", "replace_fraction_best", "replace_threshold_frac_std", "replace_threshold_frac_absolute",
    "std_drop_fraction", "donor_parameters_probability",
)  # fmt: skip
"""Settings of the members' own rule that Tune's has no place for."""

MOST_FRACTION = 0.5
"""Largest ``replace_fraction_worst`` that Tune takes: those that copy and those that are copied do not overlap."""


def check_settings(given: Iterable[str], cfg: PbtCfg) -> None:
    """Refuse settings that have no effect with this engine, or that Tune would refuse later.

    Raises:
        UserError: Naming the setting.
    """
    useless = next((name for name in given if name in MEANINGLESS), None)
    if useless:
        raise UserError(f"{PREFIX}{useless} means nothing to --engine ray, whose rule is Ray Tune's; leave it out.")
    if cfg.replace_fraction_worst > MOST_FRACTION:
        raise UserError(
            f"{PREFIX}replace_fraction_worst={cfg.replace_fraction_worst} must be at most {MOST_FRACTION} with "
            "--engine ray."
        )


def first_parameters(workspace: Workspace, cfg: PbtCfg, configured: Mapping[str, float], seed: int) -> list[dict]:
    """Return every member's hyper-parameters: those of its last order, else its first mutation.

    Args:
        workspace: The population.
        cfg: Settings.
        configured: Configured values of what mutates.
        seed: Seed of the population; a member's is its number more.
    """
    made = []
    for member in range(workspace.members):
        mutated = Member(member, cfg, configured, seed + member).parameters  # as the member itself would
        order = workspace.order(member)
        made.append({name: order.parameters.get(name, v) if order else v for name, v in mutated.items()})
    return made


@dataclass(frozen=True)
class Telling:
    """How progress is told."""

    console: Console
    """Where."""

    table: Callable[[], RenderableType]
    """Draws the members on a terminal."""

    lines: Callable[[], list[str]]
    """Tells the members in a log, a line each."""


def train_population(
    jobs: Sequence[Job],
    workspace: Workspace,
    cfg: PbtCfg,
    parameters: Sequence[Mapping[str, float]],
    place: Place,
    *,
    retries: int,
    seed: int,
    telling: Telling,
    join: Callable[[], None] = lambda: None,
) -> int:
    """Train a population under Tune.

    The first stop signal is passed on to all members, which save and end.

    Args:
        jobs: The members' commands, which take orders (``--pbt_engine ray``).
        workspace: Their folder.
        cfg: Settings.
        parameters: Hyper-parameters that each begins with.
        place: Where Ray runs them.
        retries: How often a member that died is started again.
        seed: Seed of Tune's own draws and of the mutations.
        telling: How progress is told.
        join: Makes the workspace, once Ray has answered, or refuses another population's.

    Returns:
        0 if all are done, 1 if one failed, 128 plus the signal's number after a stop.

    Raises:
        UserError: If Ray cannot be used, or has no room for a member.
    """
    # on this machine all train side by side, as without Ray: members that wait would be judged by nothing
    cores = max(place.cpus * len(jobs), usable_cores())
    ray = connect(place.address, "--engine ray", cores)
    stopped: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        if len(stopped) > 1 and number == signal.SIGINT:
            os._exit(128 + number)  # Ray's workers end with this process, and the members save

    try:
        check_room(ray, place.cpus, place.gpus)
        join()
        _tell_room(ray, place, len(jobs), telling.console)
        previous = {number: signal.signal(number, stop) for number in signals_to_handle()}
        try:
            # both before the first import of Tune: our handlers save the members, and a workspace is read by --status
            os.environ |= {"TUNE_DISABLE_SIGINT_HANDLER": "1", "RAY_AIR_NEW_OUTPUT": "0"}
            from cpo_lab.jobs.ray_tune import tune_population

            failed = tune_population(
                jobs, workspace, cfg, parameters, place, stopped, retries=retries, seed=seed, telling=telling
            )
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    finally:
        with contextlib.suppress(Exception):  # a cluster that is gone needs no farewell
            ray.shutdown()
    if stopped:
        return 128 + stopped[0]
    return 1 if failed else 0


def _tell_room(ray: Any, place: Place, members: int, console: Console) -> None:
    """Say that members will wait for others to end where not all fit."""
    there = ray.cluster_resources()
    fit = [int(there.get("CPU", 0) // place.cpus)]
    fit += [int(there.get("GPU", 0) // place.gpus)] if place.gpus else []
    if min(fit) < members:
        console.print(
            f"There is room for {min(fit)} of {members} members; the others begin when one of these has ended.",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

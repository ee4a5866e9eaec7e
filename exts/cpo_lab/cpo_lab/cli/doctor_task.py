# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab doctor --task``: does a task's physics behave on this engine and device?

The measurements are those of :mod:`cpo_lab.tasks.physical_checks`, which the tests run as well: a pose is
held, a
finger follows a step command, an object stays where it rests, tendons couple.
"""

from __future__ import annotations

from typing import Any

from cpo_lab.launch.configuration import Request, resolve
from cpo_lab.launch.registry import find_task
from cpo_lab.launch.settings import names_of
from cpo_lab.launch.simulation import make_env, simulation
from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError


def check_task(task: str, device: str | None, num_envs: int | None, overrides: list[str]) -> list[Any]:
    """Build a task and measure its physics.

    Args:
        task: Gym id of one of this project's tasks.
        device: ``cpu``, ``cuda:0`` or None for the first GPU if there is one.
        num_envs: Environments, None for 8.
        overrides: Settings such as ``physics=newton_mjwarp`` or ``env.num_objects=4``.

    Returns:
        The :class:`~cpo_lab.tasks.physical_checks.PhysicalCheck` objects.

    Raises:
        UserError: If the task or a setting is unknown, or the task is not one of this project's.
    """
    find_task(task)
    if not task.startswith("CpoLab-"):
        raise UserError(f"--task {task} is not one of this project's tasks, whose joints the checks know.")
    resolved = resolve(Request(task, "ppo", device=device, num_envs=num_envs or 8, seed=0, overrides=overrides))
    if EnvironmentSettings(resolved.env_cfg).num_objects is not None and "env.num_objects" not in names_of(overrides):
        resolved.env_cfg.num_objects = 1 if resolved.env_cfg.object_set == "cube" else 8
    with simulation(resolved, []), make_env(resolved) as wrapped:
        import torch

        from cpo_lab.tasks.physical_checks import physical_checks

        with torch.inference_mode():
            return physical_checks(wrapped.unwrapped)

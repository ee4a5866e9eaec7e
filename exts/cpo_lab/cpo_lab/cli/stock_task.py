# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's own tasks, for a comparison with ours: they name no agents of this project and fit no machine."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

from cpo_lab.cli.launch import Request, Resolved
from cpo_lab.cli.parser import find_task, resolve_device, suggestion, tasks
from cpo_rl.errors import UserError

_AGENT = "rsl_rl_cfg_entry_point"


def is_stock(task: str) -> bool:
    """Return whether a task is one of Isaac Lab's own.

    Raises:
        UserError: If it is neither ours nor Isaac Lab's.
    """
    if task in tasks():
        return False
    if not task.startswith(("Isaac-", "IsaacContrib-")):
        find_task(task)
    import gymnasium
    import isaaclab_tasks  # noqa: F401  registers the ids

    known = [name for name, spec in gymnasium.registry.items() if _AGENT in (spec.kwargs or {})]
    if task not in known:
        raise UserError(f"Unknown task {task!r}; {suggestion(task, known)}")
    return True


def resolve_stock(task: str, device: str | None, physics: str | None, num_envs: int) -> Resolved:
    """Make the configurations of one of Isaac Lab's tasks, on the engine that ours would use.

    Args:
        task: Its Gym id.
        device: ``cpu``, ``cuda:<index>``, or None for the first GPU if there is one.
        physics: Name of one of its physics presets, or None for the engine that suits the device.
        num_envs: Environments.

    Raises:
        UserError: If the engine is unknown or a file of the scene cannot be had.
    """
    from isaaclab_tasks.utils import resolve_task_config

    from cpo_lab.assets.availability import check_files
    from cpo_lab.physics.defaults import limit_torch_threads
    from cpo_lab.physics.no_cuda import allow_pinned_without_cuda
    from cpo_lab.physics.presets import engine_for

    device = resolve_device(device)
    physics = physics or engine_for(device)
    try:
        with redirect_stdout(io.StringIO()):
            env_cfg, agent_cfg = resolve_task_config(task, _AGENT, overrides=[f"physics={physics}"])
    except ValueError as error:
        raise UserError(f"{str(error).strip().splitlines()[0].rstrip('.')}; {task} is Isaac Lab's task.") from None
    env_cfg.sim.device = agent_cfg.device = device
    env_cfg.scene.num_envs, env_cfg.seed = num_envs, 0
    check_files(env_cfg.scene, "go online")
    allow_pinned_without_cuda()
    limit_torch_threads(device)
    request = Request(task, "rsl_rl", device=device, physics=physics, num_envs=num_envs, num_policies=1, seed=0)
    return Resolved(request, _AGENT, env_cfg, agent_cfg, [])

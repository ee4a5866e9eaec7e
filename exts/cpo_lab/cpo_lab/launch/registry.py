# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What there is to train: tasks, their agents and their engines, as packages have registered them."""

from __future__ import annotations

import io
import logging
import re
from contextlib import redirect_stdout
from importlib import metadata
from typing import TYPE_CHECKING

from cpo_rl.errors import UserError, suggestion

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

_log = logging.getLogger(__name__)

DEFAULT_TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
"""Task of ``cpo-lab train`` without arguments."""

DEFAULT_AGENT = "cpo"
"""Algorithm of ``cpo-lab train`` without arguments."""

_AGENT_KEY = re.compile(r"rsl_rl_(?:(?P<name>\w+)_)?cfg_entry_point")

STOCK_AGENT = "rsl_rl_cfg_entry_point"
"""Key of the agent that Isaac Lab's own tasks name."""


def tasks() -> dict[str, EnvSpec]:
    """Return the tasks that this project's agents can train, by id.

    These are the Gym ids registered by this package or by any installed package of the entry point group
    ``isaaclab.tasks``, whose registration names an agent in the form ``rsl_rl_<agent>_cfg_entry_point``.
    """
    import gymnasium

    import cpo_lab.tasks  # noqa: F401  registers the ids; explicit, so that scripts work without an installation

    for entry_point in metadata.entry_points(group="isaaclab.tasks"):
        try:
            entry_point.load()
        except Exception as error:
            # someone else's broken package must not take our tasks away
            _log.warning("Tasks of %s could not be loaded: %s", entry_point.value, error)
    return {name: spec for name, spec in sorted(gymnasium.registry.items()) if agents_of(spec)}


def agents_of(spec: EnvSpec) -> dict[str, str]:
    """Return the agents of a task: short name (``cpo``) to key of its registration."""
    found = {}
    for key in spec.kwargs or {}:
        match = _AGENT_KEY.fullmatch(key)
        if match and match["name"]:
            found[match["name"]] = key
    return found


def find_task(name: str) -> EnvSpec:
    """Return the registration of a task.

    Raises:
        UserError: If the task is unknown.
    """
    known = tasks()
    if name not in known:
        raise UserError(f"Unknown task {name!r}; {suggestion(name, known)}")
    return known[name]


def agent_key(spec: EnvSpec, agent: str) -> str:
    """Return the registration key of a task's agent.

    Args:
        spec: Registration of the task.
        agent: Short name such as ``sapg``, or the key itself such as ``rsl_rl_sapg_cfg_entry_point``.

    Raises:
        UserError: If the task has no such agent.
    """
    known = agents_of(spec)
    if agent in known:
        return known[agent]
    if _AGENT_KEY.fullmatch(agent) and agent in (spec.kwargs or {}):
        return agent
    raise UserError(f"Unknown agent {agent!r} for task {spec.id}; {suggestion(agent, known)}")


def public_key(task: str, key: str) -> str:
    """Return an agent's key as ``isaaclab play`` without ``--agent`` would name it, if it is the task's default."""
    kwargs = find_task(task).kwargs
    return STOCK_AGENT if kwargs.get(STOCK_AGENT) == kwargs.get(key) else key


def physics_of(task: str) -> list[str]:
    """Return the names of a task's physics presets."""
    from isaaclab_tasks.utils.preset_cli import enumerate_task_presets
    from isaaclab_tasks.utils.preset_target import PresetTarget

    with redirect_stdout(io.StringIO()):  # Isaac Lab prints which file it reads
        presets = enumerate_task_presets(task)
    return list(presets[PresetTarget.PHYSICS]) if presets else []


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

    known = [name for name, spec in gymnasium.registry.items() if STOCK_AGENT in (spec.kwargs or {})]
    if task not in known:
        raise UserError(f"Unknown task {task!r}; {suggestion(task, known)}")
    return True

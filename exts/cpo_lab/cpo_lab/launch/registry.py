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


def tasks(*, of_isaac_lab: bool = False) -> dict[str, EnvSpec]:
    """Return the tasks that this project's agents can train, by id.

    These are the Gym ids registered by this package or by any installed package of the entry point group
    ``isaaclab.tasks``, whose registration names an agent in the form ``rsl_rl_<agent>_cfg_entry_point``, or a PPO of
    rsl_rl from which ours are derived (:mod:`cpo_lab.tasks.derived`).

    Args:
        of_isaac_lab: Whether Isaac Lab's own tasks are among them, which takes seconds to load.
    """
    known = _registered(of_isaac_lab)
    return {name: spec for name, spec in sorted(known.items()) if agents_of(spec)}


def _registered(of_isaac_lab: bool) -> dict[str, EnvSpec]:
    """Return all registered environments of Isaac Lab, by id, whatever their agents; arguments as :func:`tasks`."""
    import gymnasium

    import cpo_lab.tasks  # noqa: F401  registers the ids; explicit, so that scripts work without an installation

    if of_isaac_lab:
        import isaaclab_tasks  # noqa: F401  registers its ids
    for entry_point in metadata.entry_points(group="isaaclab.tasks"):
        try:
            entry_point.load()
        except Exception as error:
            # someone else's broken package must not take our tasks away
            _log.warning("Tasks of %s could not be loaded: %s", entry_point.value, error)
    known = {name: spec for name, spec in gymnasium.registry.items() if "env_cfg_entry_point" in (spec.kwargs or {})}
    return {name: spec for name, spec in known.items() if of_isaac_lab or not _is_of_isaac_lab(spec)}


def _is_of_isaac_lab(spec: EnvSpec) -> bool:
    """Whether a registration is one of Isaac Lab's own."""
    return str(spec.kwargs["env_cfg_entry_point"]).startswith("isaaclab_tasks.")


def is_derived(spec: EnvSpec, key: str) -> bool:
    """Whether an agent of a task is one of ours that is derived from the task's PPO."""
    from cpo_lab.tasks.derived import offer

    return offer.is_derived((spec.kwargs or {}).get(key))


def agents_of(spec: EnvSpec) -> dict[str, str]:
    """Return the agents of a task: short name (``cpo``) to key of its registration, derived ones first."""
    found = {}
    for key in sorted(spec.kwargs or {}, key=lambda key: not is_derived(spec, key)):
        match = _AGENT_KEY.fullmatch(key)
        if match and match["name"]:
            found[match["name"]] = key
    return found


def find_task(name: str) -> EnvSpec:
    """Return the registration of a task; Isaac Lab's own are loaded only if it is none of the others.

    Raises:
        UserError: If the task is unknown, or has no agent that can be trained here.
    """
    known = tasks()
    if name in known:
        return known[name]
    everything = _registered(of_isaac_lab=True)
    if name not in everything:
        raise UserError(f"Unknown task {name!r}; {suggestion(name, everything)}")
    spec = everything[name]
    if not agents_of(spec):
        raise UserError(
            f"Task {name} has no rsl_rl PPO configuration ({STOCK_AGENT}), from which the settings of an ensemble are "
            f"taken; it registers {_learners(spec)}, and docs/your_own_task.md says how to add one."
        )
    return spec


def _learners(spec: EnvSpec) -> str:
    """Return the learning libraries that a registration names, as text."""
    keys = [key for key in spec.kwargs if key.endswith("_cfg_entry_point") and key != "env_cfg_entry_point"]
    return ", ".join(sorted(key.removesuffix("_cfg_entry_point") for key in keys)) or "none of any library"


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


def plain_agent(spec: EnvSpec) -> str:
    """Return the agent to build a task for when nothing is trained: one policy, and of another's task its own PPO."""
    known = agents_of(spec)
    of_others = is_derived(spec, known.get("ppo", "")) and is_derived(spec, known.get("stock_ppo", ""))
    names = ("stock_ppo", "ppo") if of_others else ("ppo",)
    return next((name for name in (*names, *known) if name in known), STOCK_AGENT)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every task with an rsl_rl PPO configuration is offered our agents, as entries of its registration.

Nothing is loaded for it: an entry is a name, ``cpo_lab.tasks.derived.entries:cpo@Isaac-Ant``, which whoever looks up
the agent resolves. Isaac Lab loads our tasks before its own, so what is registered later is offered them as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium.envs import registration

PPO_KEY = "rsl_rl_cfg_entry_point"
"""Key of the PPO configuration in a task's registration."""

ENTRIES = f"{__package__}.entries"
"""Module that makes the configurations."""

_MARK = "_offers_cpo_lab_agents"


def is_derived(entry: object) -> bool:
    """Whether an entry of a registration names an agent of ours for a task of others."""
    return isinstance(entry, str) and entry.startswith(f"{ENTRIES}:")


def offer(agents: Sequence[str]) -> None:
    """Add agents to all tasks of others, registered or to come; calling it again does nothing.

    Args:
        agents: Their short names.
    """
    if hasattr(gymnasium.register, _MARK):
        return
    for task in list(gymnasium.registry):
        _add(task, agents)
    for module in (gymnasium, gymnasium.envs, registration):
        module.register = _offering(module.register, agents)  # type: ignore[attr-defined]


def _offering(register: Callable[..., Any], agents: Sequence[str]) -> Callable[..., Any]:
    """Return Gymnasium's ``register`` with the offer behind it."""

    @functools.wraps(register)
    def registered(id: str, *args: Any, **kwargs: Any) -> Any:
        result = register(id, *args, **kwargs)
        _add(id, agents)
        return result

    setattr(registered, _MARK, True)
    return registered


def _add(task: str, agents: Sequence[str]) -> None:
    """Add agents to a registration that names a PPO configuration; an agent that it has already stays.

    The registration gets a mapping of its own: a package may register several tasks with one, or make a task's from
    another's, whose offers are not for it.
    """
    spec = gymnasium.registry.get(task)
    entries = getattr(spec, "kwargs", None) or {}
    ours = str(entries.get(PPO_KEY, "")).startswith("cpo_lab.tasks.")
    if spec is None or PPO_KEY not in entries or "env_cfg_entry_point" not in entries or ours:
        return
    offers = {f"rsl_rl_{agent}_cfg_entry_point": f"{ENTRIES}:{agent}@{task}" for agent in agents}
    theirs = {key: entry for key, entry in entries.items() if not is_derived(entry)}
    spec.kwargs = {**offers, **theirs}

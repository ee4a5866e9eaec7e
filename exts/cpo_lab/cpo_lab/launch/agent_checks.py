# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of an agent's settings by themselves, against the size of a rollout and against what the task gives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from isaaclab.utils import to_dict

from cpo_rl import contracts
from cpo_rl.algorithms.class_name import algorithm_class
from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.errors import UserError
from cpo_rl.fields import build_cfg


def check_agent(agent_cfg: Any, num_envs: int) -> tuple[list[str], list[int]]:
    """Check the ensemble's settings by themselves and against the size of a rollout, to which they are fitted.

    Returns:
        One line for everything that was fitted, and the widths of the network's layers where there is one for all.
    """
    RunnerOptions.from_cfg(vars(agent_cfg))
    settings_class = contracts.settings_class(algorithm_class(agent_cfg.algorithm.class_name))
    if settings_class is None:  # an algorithm of rsl_rl checks nothing
        batches = to_dict(agent_cfg.algorithm).get("num_mini_batches", 1)
        if batches > num_envs * agent_cfg.num_steps_per_env:
            raise UserError(
                f"num_mini_batches={batches} must not exceed the {num_envs * agent_cfg.num_steps_per_env} transitions "
                "of an iteration."
            )
        return [], []
    ensemble = build_cfg(settings_class, to_dict(agent_cfg.algorithm), "algorithm")
    if not isinstance(ensemble, EnsembleCfg):
        return [], []
    model = build_cfg(ModelCfg, to_dict(agent_cfg.model), "model")
    fitted = ensemble.fit_batch(num_envs, agent_cfg.num_steps_per_env)
    agent_cfg.algorithm.num_mini_batches = ensemble.num_mini_batches
    ensemble.validate_batch(num_envs, agent_cfg.num_steps_per_env)
    return [fitted] if fitted else [], list(model.hidden_dims)


def check_groups(agent_cfg: Any) -> None:
    """Refuse observation groups that our tasks do not have: all give ``policy``, which actor and critic read."""
    for name, groups in (to_dict(agent_cfg).get("obs_groups") or {}).items():
        if name not in ("actor", "critic") or list(groups) != ["policy"]:
            raise UserError(
                f"agent.obs_groups.{name}={list(groups)} must be [policy], of actor or critic, because the task gives "
                "nothing else."
            )


def least_memory(env_cfg: Any, agent_cfg: Any, widths: list[int]) -> int:
    """Return bytes that a rollout's observations and the layers with gradients and moments take, at the very least."""
    stated = vars(env_cfg).get("observation_space")  # a manager-based task states none
    size = stated if isinstance(stated, int) else 1
    layers = sum(before * after for before, after in pairwise([size, *widths]))
    return 4 * (env_cfg.scene.num_envs * agent_cfg.num_steps_per_env * size + 4 * layers)

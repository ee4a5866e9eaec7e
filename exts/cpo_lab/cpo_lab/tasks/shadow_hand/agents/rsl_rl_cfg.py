# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings per algorithm. Sources: the reference's ``ShadowHandPPO.yaml`` and the commands of its README."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry, task_runner_cfg

MODEL: dict[str, Any] = {"hidden_dims": [512, 512, 256, 128], "activation": "elu", "observation_clip": 5.0}
"""Shared trunk."""

ALGORITHM: dict[str, Any] = {
    "num_learning_epochs": 5,
    "num_mini_batches": 2,  # PPO's number: 8 steps per environment in mini-batches of 4 N rows
    "learning_rate": 5.0e-4,
    "desired_kl": 0.016,
    "clip_param": 0.2,
    "gamma": 0.99,
    "lam": 0.95,
    "bound_loss_coef": 1.0e-4,
    "max_grad_norm": 1.0,
    "reward_scale": 0.01,
    "bootstrap_time_outs": True,
    "awac_coef": 0.001,
    "awac_temperature": 0.2,
    "adversarial_coef": 0.01,
    "entropy_coef_scale": 0.005,
}
"""What the algorithms share; each preset adds or switches off its own terms."""


def hand_runner_cfg(
    agent: str, experiment_name: str, model: dict[str, Any], algorithm: dict[str, Any]
) -> RslRlBaseRunnerCfg:
    """Run settings of a hand's task for an agent; the learner works on the GPU if there is one."""
    return task_runner_cfg(
        agent,
        model=model,
        algorithm=algorithm,
        num_steps_per_env=8,
        max_iterations=104000,
        save_interval=200,
        experiment_name=experiment_name,
        device=default_device(),
    )


def _runner(agent: str) -> RslRlBaseRunnerCfg:
    return hand_runner_cfg(agent, "shadow_hand_reorient_cube", MODEL, ALGORITHM)


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, _runner)

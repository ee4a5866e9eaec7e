# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings of Franka's tasks. Sources: the reference's ``FrankaCube{Push,Stack}PPO.yaml`` and its launcher.

The weight of the regression that the paper used here is in nothing that we could read; it is the one published for the
arms with hands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, task_runner_cfg

MODEL: dict[str, Any] = {"hidden_dims": [256, 128, 64], "activation": "elu", "observation_clip": 5.0}
"""The shared trunk."""

ALGORITHM: dict[str, Any] = {
    "num_learning_epochs": 5,
    "num_mini_batches": 4,  # PPO's number: 16 steps per environment in mini-batches of 4 N rows
    "learning_rate": 5.0e-4,
    "desired_kl": 0.008,
    "learning_rate_update": "epoch",
    "clip_param": 0.2,
    "gamma": 0.99,
    "lam": 0.95,
    "max_grad_norm": 1.0,
    "value_loss_coef": 2.0,
    "bound_loss_coef": 1.0e-4,
    "reward_scale": 1.0,
    "bootstrap_time_outs": True,
    "awac_coef": 0.001,
    "awac_temperature": 0.2,
    "entropy_coef_scale": 0.0,
}
"""What algorithms and tasks share; each preset adds or switches off its own terms."""

REFERENCE: dict[str, Any] = {"sequence_length": 4}
"""The release shuffles chunks of four consecutive steps."""


def runner(experiment_name: str) -> Callable[[str], RslRlBaseRunnerCfg]:
    """Return what makes a task's run settings for an agent; the learner works on the GPU if there is one.

    Args:
        experiment_name: Folder of its runs below ``logs/rsl_rl``.
    """

    def make(agent: str) -> RslRlBaseRunnerCfg:
        return task_runner_cfg(
            agent,
            model=MODEL,
            algorithm=ALGORITHM,
            reference=REFERENCE,
            num_steps_per_env=16,
            max_iterations=13000,
            save_interval=100,
            experiment_name=experiment_name,
            device=default_device(),
        )

    return make

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings per task and algorithm. Sources: the reference's ``AllegroKukaLSTMPPO.yaml`` and its README.

The reference publishes no CPO command for two arms; those tasks take the settings of the same task with one arm, except
for the entropy ladder of the SAPG command for reorientation with two arms.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry, task_runner_cfg

MODEL: dict[str, Any] = {
    "hidden_dims": [768, 512, 256],
    "activation": "elu",
    "rnn_type": "lstm",
    "rnn_hidden_dim": 768,
    "rnn_num_layers": 1,
    "rnn_layer_norm": True,
    "observation_clip": 5.0,
}
"""An LSTM with a normalized output, then the shared trunk."""

ALGORITHM: dict[str, Any] = {
    "num_learning_epochs": 2,
    "num_mini_batches": 4,  # PPO's number: 16 steps per environment in mini-batches of 4 N rows
    "sequence_length": 16,
    "learning_rate": 1.0e-4,
    "desired_kl": 0.016,
    "clip_param": 0.1,
    "gamma": 0.99,
    "lam": 0.95,
    "bound_loss_coef": 1.0e-4,
    "max_grad_norm": 1.0,
    "reward_scale": 0.01,
    "bootstrap_time_outs": False,
    "awac_coef": 0.001,
    "awac_temperature": 0.2,
    "entropy_coef_scale": 0.0,
}
"""What the algorithms and tasks share; each preset adds or switches off its own terms."""

REFERENCE: dict[str, Any] = {"mixed_precision": True}
"""The release trains in half precision; ours is bfloat16."""

TASKS: dict[str, dict[str, Any]] = {
    "regrasp": {},
    "reorient": {"entropy_coef_scale": 0.005},
    "throw": {"awac_temperature": 0.1},
    "dual_regrasp": {},
    "dual_reorient": {"entropy_coef_scale": 0.002},
}
"""What differs between tasks."""


def _runner(task: str, agent: str) -> RslRlBaseRunnerCfg:
    """Run settings of a task for an agent; the learner works on the GPU if there is one."""
    return task_runner_cfg(
        agent,
        model=MODEL,
        algorithm={**ALGORITHM, **TASKS[task]},
        reference=REFERENCE,
        num_steps_per_env=16,
        max_iterations=52000,
        save_interval=100,
        experiment_name=f"allegro_kuka_{task}",
        device=default_device(),
    )


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in a task's registration, such as ``dual_reorient_cpo``."""
    for task in TASKS:
        if name.startswith(f"{task}_"):
            return agent_entry(name.removeprefix(f"{task}_"), partial(_runner, task))
    raise AttributeError(name)

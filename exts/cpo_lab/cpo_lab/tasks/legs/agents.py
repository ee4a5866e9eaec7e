# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings of robots on legs. Sources: the reference's ``{Anymal,Humanoid}PPO.yaml`` and its launcher.

What differs between robots stands in their files, as a :class:`LegsAgent`. The weight of the regression that the paper
used here is in nothing that we could read; it is the one published for the arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, task_runner_cfg

MODEL: dict[str, Any] = {"hidden_dims": [768, 512, 256], "activation": "elu", "observation_clip": 5.0}
"""The shared trunk."""

ALGORITHM: dict[str, Any] = {
    "num_learning_epochs": 5,
    "num_mini_batches": 4,  # PPO's number: 16 steps per environment in mini-batches of 4 N rows
    "desired_kl": 0.008,
    "learning_rate_update": "mini_batch",
    "clip_param": 0.2,
    "gamma": 0.99,
    "lam": 0.95,
    "max_grad_norm": 1.0,
    "bootstrap_time_outs": True,
    "awac_coef": 0.001,
    "awac_temperature": 0.2,
    "entropy_coef_scale": 0.0,
}
"""What algorithms and robots share; each preset adds or switches off its own terms."""

REFERENCE: dict[str, Any] = {"sequence_length": 4, "mixed_precision": True}
"""The release shuffles chunks of four consecutive steps and trains in half precision; ours is bfloat16."""


@dataclass(frozen=True)
class LegsAgent:
    """What the run settings of one robot add."""

    experiment_name: str
    """Folder of its runs below ``logs/rsl_rl``."""

    learning_rate: float
    """Learning rate of the first update."""

    value_loss_coef: float
    """Weight of the value loss, half of the reference's ``critic_coef``."""

    bound_loss_coef: float
    """Weight of the loss that keeps means within their bound."""

    reward_scale: float
    """Factor of rewards for the learner."""

    max_iterations: int
    """Iterations of the published runs."""

    def runner(self, agent: str) -> RslRlBaseRunnerCfg:
        """Make the run settings for an agent; the learner works on the GPU if there is one."""
        own = ("learning_rate", "value_loss_coef", "bound_loss_coef", "reward_scale")
        return task_runner_cfg(
            agent,
            model=MODEL,
            algorithm={**ALGORITHM, **{name: getattr(self, name) for name in own}},
            reference=REFERENCE,
            num_steps_per_env=16,
            max_iterations=self.max_iterations,
            save_interval=100,
            experiment_name=self.experiment_name,
            device=default_device(),
        )

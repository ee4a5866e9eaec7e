# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings of all hands' tasks. Sources: the reference's ``{Shadow,Allegro}HandPPO.yaml`` and its README.

What differs between hands stands in their files, as a :class:`HandAgent`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, task_runner_cfg

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
}
"""What algorithms and hands share; each preset adds or switches off its own terms."""


REFERENCE: dict[str, Any] = {"sequence_length": 4}
"""The release shuffles chunks of four consecutive steps, also without a recurrent network."""


@dataclass(frozen=True)
class HandAgent:
    """What the run settings of one hand add."""

    experiment_name: str
    """Folder of its runs below ``logs/rsl_rl``."""

    hidden_dims: tuple[int, ...]
    """Units of the shared trunk's layers."""

    awac_coef: float
    """Weight of CPO's regression."""

    awac_temperature: float
    """Its temperature."""

    adversarial_coef: float
    """Weight of the diversity reward in the agent ``cpo_diversity``; the others have none."""

    entropy_coef_scale: float
    """Steepness of the ladder of entropy bonuses; 0 for none."""

    def runner(self, agent: str) -> RslRlBaseRunnerCfg:
        """Make the run settings for an agent; the learner works on the GPU if there is one."""
        own = ("awac_coef", "awac_temperature", "adversarial_coef", "entropy_coef_scale")
        return task_runner_cfg(
            agent,
            model={"hidden_dims": list(self.hidden_dims), "activation": "elu", "observation_clip": 5.0},
            algorithm={**ALGORITHM, **{name: getattr(self, name) for name in own}},
            reference=REFERENCE,
            num_steps_per_env=8,
            max_iterations=104000,
            save_interval=200,
            experiment_name=self.experiment_name,
            device=default_device(),
        )

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings per task and algorithm. Sources: the reference's ``AllegroKukaLSTMPPO.yaml`` and its README.

The reference publishes no CPO command for two arms; those tasks take the settings of the same task with one arm, except
for the entropy ladder of the SAPG command for reorientation with two arms.
"""

from __future__ import annotations

from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import EnsembleRunnerCfg, ensemble_runner_cfg

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
    "adversarial_coef": 0.0,
    "entropy_coef_scale": 0.0,
}
"""What the algorithms and tasks share; each preset adds or switches off its own terms."""

TASKS: dict[str, dict[str, Any]] = {
    "regrasp": {},
    "reorient": {"entropy_coef_scale": 0.005},
    "throw": {"awac_temperature": 0.1},
    "dual_regrasp": {},
    "dual_reorient": {"entropy_coef_scale": 0.002},
}
"""What differs between tasks."""


def _runner(preset: str, task: str) -> EnsembleRunnerCfg:
    """Run settings of a task for a preset; the learner works on the GPU if there is one."""
    return ensemble_runner_cfg(
        preset,
        model=MODEL,
        algorithm={**ALGORITHM, **TASKS[task]},
        num_steps_per_env=16,
        max_iterations=52000,
        save_interval=100,
        experiment_name=f"allegro_kuka_{task}",
        device=default_device(),
    )


def regrasp_cpo() -> EnsembleRunnerCfg:
    """Regrasping with Coupled Policy Optimization."""
    return _runner("cpo", "regrasp")


def regrasp_sapg() -> EnsembleRunnerCfg:
    """Regrasping with Split and Aggregate Policy Gradients."""
    return _runner("sapg", "regrasp")


def regrasp_ppo() -> EnsembleRunnerCfg:
    """Regrasping with one policy."""
    return _runner("ppo", "regrasp")


def reorient_cpo() -> EnsembleRunnerCfg:
    """Reorientation with Coupled Policy Optimization."""
    return _runner("cpo", "reorient")


def reorient_sapg() -> EnsembleRunnerCfg:
    """Reorientation with Split and Aggregate Policy Gradients."""
    return _runner("sapg", "reorient")


def reorient_ppo() -> EnsembleRunnerCfg:
    """Reorientation with one policy."""
    return _runner("ppo", "reorient")


def throw_cpo() -> EnsembleRunnerCfg:
    """Throwing with Coupled Policy Optimization."""
    return _runner("cpo", "throw")


def throw_sapg() -> EnsembleRunnerCfg:
    """Throwing with Split and Aggregate Policy Gradients."""
    return _runner("sapg", "throw")


def throw_ppo() -> EnsembleRunnerCfg:
    """Throwing with one policy."""
    return _runner("ppo", "throw")


def dual_regrasp_cpo() -> EnsembleRunnerCfg:
    """Regrasping with two arms and Coupled Policy Optimization."""
    return _runner("cpo", "dual_regrasp")


def dual_regrasp_sapg() -> EnsembleRunnerCfg:
    """Regrasping with two arms and Split and Aggregate Policy Gradients."""
    return _runner("sapg", "dual_regrasp")


def dual_regrasp_ppo() -> EnsembleRunnerCfg:
    """Regrasping with two arms and one policy."""
    return _runner("ppo", "dual_regrasp")


def dual_reorient_cpo() -> EnsembleRunnerCfg:
    """Reorientation with two arms and Coupled Policy Optimization."""
    return _runner("cpo", "dual_reorient")


def dual_reorient_sapg() -> EnsembleRunnerCfg:
    """Reorientation with two arms and Split and Aggregate Policy Gradients."""
    return _runner("sapg", "dual_reorient")


def dual_reorient_ppo() -> EnsembleRunnerCfg:
    """Reorientation with two arms and one policy."""
    return _runner("ppo", "dual_reorient")

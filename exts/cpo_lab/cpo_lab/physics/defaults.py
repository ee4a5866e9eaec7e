# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Choices that decide between seconds and minutes on a CPU, made for the user and reported to the user.

Every function returns the lines to show; nothing is printed here.
"""

from __future__ import annotations

import os
from typing import Any

from cpo_lab.physics.presets import default_device


def default_num_envs(cfg: Any, device: str | None = None) -> int:
    """Number of environments for ``device`` (default: this machine's), from the task's two fields."""
    return cfg.cpu_num_envs if (device or default_device()) == "cpu" else cfg.cuda_num_envs


def fit_num_envs(cfg: Any) -> list[str]:
    """Replace the number of environments for a GPU by the one for a CPU if the device is a CPU.

    Isaac Lab applies ``--device`` after the configuration was made, so a machine with a GPU starts from the GPU's
    number. That number cannot be meant for a CPU, where it would need hours to build.

    Args:
        cfg: Environment configuration (a :class:`cpo_lab.tasks.base_env.TaskEnvCfg`); changed in place.
    """
    if cfg.sim.device != "cpu" or cfg.scene.num_envs != cfg.cuda_num_envs:
        return []
    cfg.scene.num_envs = cfg.cpu_num_envs
    return [f"environments: {cfg.cpu_num_envs}, which suits a CPU (--num_envs N chooses another number)"]


def limit_torch_threads(device: str) -> list[str]:
    """Run torch on one thread if the physics runs on a CPU with few cores, unless ``OMP_NUM_THREADS`` is set.

    Torch's threads spin while they wait. On two cores they take the time of the physics engine's own threads.

    Args:
        device: Device of the simulation.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device != "cpu" or cores > 4 or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return []
    torch.set_num_threads(1)
    return [f"torch threads: 1 of {cores} cores, the rest is the physics engine's (OMP_NUM_THREADS=N chooses another)"]


def cpu_defaults(env_cfg: Any, agent_cfg: Any) -> list[str]:
    """Make the agent and the threads suit the simulation's device; for launchers that hold both configurations.

    Args:
        env_cfg: Environment configuration with its final ``sim.device``.
        agent_cfg: Run configuration of the learner; its ``device`` is changed in place.

    Returns:
        One line for every choice.
    """
    lines = []
    if env_cfg.sim.device == "cpu" and str(agent_cfg.device).startswith("cuda") and default_device() == "cpu":
        agent_cfg.device = "cpu"
        lines.append("agent device: cpu, there is no CUDA device (agent.device=NAME chooses another)")
    return lines + fit_num_envs(env_cfg) + limit_torch_threads(env_cfg.sim.device)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Choices that decide between seconds and minutes on a CPU, made for the user and reported to the user.

Every function returns the lines to show; nothing is printed here.
"""

from __future__ import annotations

from typing import Any

from cpo_lab.physics.presets import default_device
from cpo_rl import threads


def default_num_envs(cfg: Any, device: str | None = None) -> int:
    """Number of environments for ``device`` (default: this machine's), from the task's two fields."""
    return cfg.cpu_num_envs if (device or default_device()) == "cpu" else cfg.cuda_num_envs


def fit_num_envs(cfg: Any, untouched: int) -> list[str]:
    """Make the number of environments suit the device and the task's two fields, if nobody chose another one.

    Isaac Lab applies ``--device`` and settings after the configuration was made, so a machine with a GPU starts from
    the GPU's number. That number cannot be meant for a CPU, where it would need hours to build.

    Args:
        cfg: Environment configuration (a :class:`cpo_lab.tasks.base_env.TaskEnvCfg`); changed in place. Its number may
            be 0, which stands for the task's.
        untouched: Number that the configuration was made with.

    Returns:
        One line if it was changed.
    """
    suited = default_num_envs(cfg, cfg.sim.device)
    if cfg.scene.num_envs not in (0, untouched) or cfg.scene.num_envs == suited:
        return []
    cfg.scene.num_envs = suited
    kind = "a CPU" if cfg.sim.device == "cpu" else "a GPU"
    return [f"environments: {suited}, which suits {kind} (--num_envs N chooses another number)"]


def limit_torch_threads(device: str) -> list[str]:
    """Run torch on one thread if the physics runs on a CPU with few cores, unless ``OMP_NUM_THREADS`` is set.

    Args:
        device: Device of the simulation.
    """
    cores = threads.limit_torch_threads(device)
    if cores is None:
        return []
    return [f"torch threads: 1 of {cores} cores, the rest is the physics engine's (OMP_NUM_THREADS=N chooses another)"]

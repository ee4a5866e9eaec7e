# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What all our environments do before Isaac Lab builds them: fit engine, size and threads to the machine, visibly."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from isaaclab.envs import DirectRLEnv, DirectRLEnvCfg
from isaaclab.utils import configclass

from cpo_lab.physics.defaults import fit_num_envs, limit_torch_threads
from cpo_lab.physics.no_cuda import allow_pinned_without_cuda
from cpo_lab.physics.presets import HandPhysicsCfg, PhysicsChoiceCfg, fit_to_device

logger = logging.getLogger(__name__)


@configclass
class TaskEnvCfg(DirectRLEnvCfg):
    """Fields that every task of this package has."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = HandPhysicsCfg
    """Class of the presets that ``sim.physics`` holds, from which the engine for another device is taken."""

    physics_choice: PhysicsChoiceCfg = PhysicsChoiceCfg()
    """Engine asked for with ``physics=NAME``; ``device`` if none was. Set by the presets, not by hand."""

    cuda_num_envs: int = 24576
    """Environments on a CUDA device unless ``--num_envs`` says otherwise, at least 1 (reference: 24,576)."""

    cpu_num_envs: int = 252
    """Environments on a CPU unless ``--num_envs`` says otherwise, at least 1; a multiple of the 6 policies."""

    def check(self) -> None:
        """Raise :class:`~cpo_rl.errors.UserError` for a setting that cannot work; called before anything starts."""


class TaskEnv(DirectRLEnv):
    """A :class:`DirectRLEnv` that also runs where there is no CUDA driver."""

    cfg: TaskEnvCfg

    def __init__(self, cfg: TaskEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        allow_pinned_without_cuda()
        self.choices: list[str] = [
            *fit_to_device(cfg.sim, cfg.physics_choice, cfg.physics_presets()),
            *fit_num_envs(cfg),
            *limit_torch_threads(cfg.sim.device),
            *self.fit_to_engine(cfg),
        ]
        """What was chosen for the user, one line each."""
        for line in self.choices:
            logger.warning(line)
        super().__init__(cfg, render_mode, **kwargs)

    @staticmethod
    def fit_to_engine(cfg: TaskEnvCfg) -> list[str]:
        """Change what must differ between engines; ``cfg.sim.physics`` is the engine that will run.

        Args:
            cfg: The task's settings; changed in place.

        Returns:
            One line for every change.
        """
        return []

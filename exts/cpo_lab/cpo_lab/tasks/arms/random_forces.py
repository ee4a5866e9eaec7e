# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Random forces that push the object about (``allegro_kuka_base.py:1549-1562``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpo_lab.tasks.arms import rules

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject

    from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg


class RandomForces:
    """Forces that appear at random, each with its environment's chance, and decay."""

    def __init__(self, cfg: AllegroKukaEnvCfg, body: RigidObject, mass: float, step_dt: float) -> None:
        """Start without forces.

        Args:
            cfg: The task's settings.
            body: What is pushed, of N environments.
            mass: Mass that scales the forces in all environments [kg].
            step_dt: Time between two policy steps [s].
        """
        self.cfg, self.body, self.device = cfg, body, body.device
        self.forces = torch.zeros(body.num_instances, 3, device=self.device)
        """Force on the object in its own frame [N], shape [N, 3]."""
        self.probability = torch.zeros(body.num_instances, device=self.device)
        """Chance of a new force per step [N]."""
        self._mass = torch.tensor(mass, device=self.device)
        self._decay = rules.force_decay(step_dt, cfg.force_decay, cfg.force_decay_interval)

    def step(self) -> None:
        """Let the forces decay, draw new ones where it is time, and hand them to the engine."""
        if self.cfg.force_scale == 0.0:
            return
        uniform = torch.rand(len(self.forces), device=self.device)
        normal = torch.randn(len(self.forces), 3, device=self.device)
        self.forces = rules.random_forces(
            self.forces, self.probability, uniform, normal, self._mass, self.cfg.force_scale, self._decay
        )
        self._buffer = self.forces.unsqueeze(1).contiguous()  # kept, because the engine may read it later
        self.body.permanent_wrench_composer.set_forces_and_torques_index(forces=self._buffer)

    def reset(self, env_ids: torch.Tensor, mask: torch.Tensor) -> None:
        """Switch the forces off and draw a new chance for them.

        Args:
            env_ids: Environments that start anew [K].
            mask: The same environments, bool [N].
        """
        if self.cfg.force_scale == 0.0:
            return
        self.forces = self.forces.masked_fill(mask.unsqueeze(-1), 0.0)
        low, high = self.cfg.force_probability
        uniform = torch.rand(len(env_ids), device=self.device)
        self.probability[env_ids] = rules.log_uniform(low, high, uniform)

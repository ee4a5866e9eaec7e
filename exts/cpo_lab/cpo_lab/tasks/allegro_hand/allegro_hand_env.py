# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""In-hand reorientation of a cube with the Allegro Hand (reference: IsaacGymEnvs ``tasks/allegro_hand.py``).

The rules are the Shadow Hand's; the hand, the rate and the observation are others.
"""

from __future__ import annotations

from typing import Any

import torch

from cpo_lab.tasks.allegro_hand.allegro_hand_env_cfg import AllegroHandEnvCfg
from cpo_lab.tasks.allegro_hand.layout import ALLEGRO_OBSERVATIONS
from cpo_lab.tasks.common.layout import assemble
from cpo_lab.tasks.common.reorient import relative_rotation, unscale
from cpo_lab.tasks.shadow_hand.shadow_hand_env import ShadowHandEnv
from cpo_rl.errors import UserError


class AllegroHandEnv(ShadowHandEnv):
    """Turn a cube in the hand to one goal orientation after the other."""

    cfg: AllegroHandEnvCfg

    def __init__(self, cfg: AllegroHandEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        if cfg.joint_torque not in ("zeros", "applied"):
            raise UserError(f"joint_torque must be 'zeros' or 'applied', not '{cfg.joint_torque}'.")
        super().__init__(cfg, render_mode, **kwargs)

    def _index_robot(self) -> None:
        super()._index_robot()
        # the reference's default is 0 for every joint, which the thumb's limit forbids in Isaac Lab's configuration
        self._default_positions = torch.zeros_like(self._default_positions)

    def _get_observations(self) -> dict[str, torch.Tensor]:
        hand, origins = self.hand.data, self.scene.env_origins
        pose, velocity = self.object.data.root_link_pose_w.torch, self.object.data.root_com_vel_w.torch
        position = self.map.read(hand.joint_pos)
        applied = self.cfg.joint_torque == "applied"
        values = {
            "joint_position": unscale(position, self.map.lower, self.map.upper),
            "joint_velocity": self.map.read(hand.joint_vel),
            "joint_torque": self.map.read(hand.applied_torque) if applied else torch.zeros_like(position),
            "object_pose": torch.cat((pose[:, :3] - origins, pose[:, 3:]), dim=-1),
            "object_linear_velocity": velocity[:, :3],
            "object_angular_velocity": velocity[:, 3:],
            "goal_pose": torch.cat((self.goal_position, self.goal_rotation), dim=-1),
            "relative_rotation": relative_rotation(pose[:, 3:], self.goal_rotation),
            "last_action": self.last_actions,
        }
        self._log()
        return {"policy": assemble(ALLEGRO_OBSERVATIONS, values, self.cfg.observation_clip)}

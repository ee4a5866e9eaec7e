# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A hand as the task sees it: joints in the task's order and sense of rotation, actions to joint or tendon motors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import warp as wp

from cpo_lab.tasks.joints import indices_of, scale

if TYPE_CHECKING:
    from isaaclab.assets import Articulation

    from cpo_lab.tasks.in_hand.env_cfg import HandNamesCfg


class HandMap:
    """Translates between one articulation and the task, for all environments."""

    def __init__(self, hand: Articulation, names: HandNamesCfg, device: str) -> None:
        """Find joints, tendons and links by name: every engine enumerates them in another order.

        Args:
            hand: The articulation.
            names: What they are called in its file.
            device: Device of the simulation.

        Raises:
            UserError: If the hand lacks one of them.
        """
        self.hand, self.device = hand, device
        self.joints = indices_of(names.joints, hand.joint_names, "joint").to(device)
        """Where the task's joints stand in the engine's order [J]."""
        self.joint_ids = _for_isaac_lab(self.joints)
        mirrored = indices_of(names.mirrored, names.joints, "joint")
        self._sign: torch.Tensor | None = None
        if len(mirrored):
            self._sign = torch.ones(len(names.joints), device=device)
            self._sign[mirrored] = -1.0
        limits = self.to_task(hand.data.joint_limits.torch[0, self.joints].T).sort(dim=0).values
        self.lower, self.upper = limits[0].clone(), limits[1].clone()
        """Joint limits [rad], shape [J] each."""
        self.default = self.to_task(hand.data.default_joint_pos.torch[0, self.joints])
        """Default joint positions [rad], shape [J]."""
        self._index_motors(names)

    def _index_motors(self, names: HandNamesCfg) -> None:
        """Find out what each action drives, and between which limits."""
        pulls = torch.tensor([motor in names.tendons for motor in names.motors])
        self._tendon_actions = pulls.nonzero().flatten().to(self.device)
        self._joint_actions = (~pulls).nonzero().flatten().to(self.device)
        driven = [motor for motor in names.motors if motor not in names.tendons]
        self._driven = indices_of(driven, names.joints, "joint").to(self.device)
        self.action_lower = torch.full((len(names.motors),), names.tendon_range[0], device=self.device)
        self.action_upper = torch.full((len(names.motors),), names.tendon_range[1], device=self.device)
        self.action_lower[self._joint_actions] = self.lower[self._driven]
        self.action_upper[self._joint_actions] = self.upper[self._driven]
        self._spans = torch.zeros(0, len(names.joints), device=self.device)
        if not pulls.any():
            return
        tendons = [motor for motor in names.motors if motor in names.tendons]
        self._tendon_ids = _for_isaac_lab(indices_of(tendons, hand_tendons(self.hand), "tendon").to(self.device))
        self._spans = torch.zeros(len(tendons), len(names.joints), device=self.device)
        for row, tendon in enumerate(tendons):
            self._spans[row, indices_of(names.tendons[tendon], names.joints, "joint")] = 1.0

    def links(self, names: Sequence[str]) -> torch.Tensor:
        """Return where links stand among the engine's, int64, shape [len(names)].

        Raises:
            UserError: If the hand lacks one of them.
        """
        return indices_of(names, self.hand.body_names, "link").to(self.device)

    def to_task(self, values: torch.Tensor) -> torch.Tensor:
        """Give joint values [..., J] in the task's order the task's sign; the same call leads back."""
        return values if self._sign is None else values * self._sign

    def read(self, values: Any) -> torch.Tensor:
        """Return a joint quantity of the articulation's data in the task's order and sign, shape [N, J]."""
        return self.to_task(values.torch[:, self.joints])

    def motor_targets(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the motor targets that hold joint positions [n, J] (rad), shape [n, A]."""
        targets = positions.new_zeros(len(positions), len(self.action_lower))
        targets[:, self._joint_actions] = positions[:, self._driven]
        targets[:, self._tendon_actions] = positions @ self._spans.T
        return targets

    def scale(self, actions: torch.Tensor) -> torch.Tensor:
        """Map actions [N, A] in [-1, 1] to motor targets between their limits [rad], shape [N, A]."""
        return scale(actions, self.action_lower, self.action_upper)

    def command(self, motors: torch.Tensor, positions: torch.Tensor) -> None:
        """Hand targets to the engine, which keeps them.

        Args:
            motors: Motor targets [rad], shape [N, A].
            positions: Joint targets [rad], shape [N, J]; those of driven joints are set from ``motors`` in place.
        """
        positions[:, self._driven] = motors[:, self._joint_actions]
        target = self.to_task(positions)
        self.hand.actuators.target_command.set_position_index(value=target, joint_ids=self.joint_ids)
        self.pull(motors)

    def write(self, positions: torch.Tensor, env_ids: torch.Tensor) -> None:
        """Put hands at rest at joint positions [rad], shape [n, J], and make these their targets."""
        hand, joints = self.hand, self.joint_ids
        position = self.to_task(positions)
        hand.write_joint_position_to_sim_index(position=position, joint_ids=joints, env_ids=env_ids)
        hand.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(position), joint_ids=joints, env_ids=env_ids)
        hand.actuators.target_command.set_position_index(value=position, joint_ids=joints, env_ids=env_ids)
        self.pull(self.motor_targets(positions), env_ids)

    def pull(self, motors: torch.Tensor, env_ids: torch.Tensor | None = None) -> None:
        """Command those of the motor targets [n, A] (rad) that are lengths of tendons, if the hand has any."""
        if len(self._spans):
            self.hand.set_fixed_tendon_position_target_index(
                target=motors[:, self._tendon_actions].contiguous(), fixed_tendon_ids=self._tendon_ids, env_ids=env_ids
            )


def hand_tendons(hand: Articulation) -> list[str]:
    """Return the names of a hand's tendons; none if the engine found none."""
    return list(hand.fixed_tendon_names) if hand.num_fixed_tendons else []


def _for_isaac_lab(index: torch.Tensor) -> Any:
    """Return an index as the int32 array that Isaac Lab's calls take without a copy per step."""
    return wp.from_torch(index.int().contiguous(), dtype=wp.int32)

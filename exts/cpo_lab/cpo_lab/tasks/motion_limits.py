# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Bounds on motion, kept in the engine's state after every physics step.

Joints never turn faster than their motors' velocity limits, and objects never spin faster than the reference's engine
allows nor fly faster than anything in these tasks throws them. Without them a finger that a table or another finger
squeezes reaches 1e4 rad/s, and a cuboid that tumbles freely can gain spin until it is no number. PhysX's own limit of
joint velocity does not serve: with it joints slip past their position limits by radians. A joint past a position limit
moves inwards only, and one that contacts push farther all the same is put back. Nothing here waits for a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import isaaclab.sim as sim_utils
import torch
import warp as wp
from isaaclab.actuators import ActuatorBase

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveScene

STOP = 0.1
"""How far past a position limit a joint is stopped [rad]: from there on it moves inwards only. A finger that something
squeezes otherwise goes on outwards at its velocity limit."""

FARTHEST = 0.2
"""How far past a position limit a joint can be after a physics step [rad]; one that was pushed farther, at rest as it
may be, is put back to there."""

ROUNDING = 1.0e-4
"""How much farther [rad], so that a joint which was put back stays alone."""

LOST = 1.0
"""A joint so far past a limit [rad] was not pushed there: its environment is broken and left to the quarantine."""

NO_LIMIT = 1e3
"""Velocity limits from here on are none [rad/s]: engines write large numbers where a file states no limit."""


def joint_velocity_limits(robot: Any) -> torch.Tensor:
    """Return the largest speeds of an articulation's joints.

    Args:
        robot: Isaac Lab's articulation; its actuators' ``actuator_velocity_limit`` counts, or else what its file says.

    Returns:
        Limits [rad/s], shape [N, J], infinite where there is none.
    """
    limits = robot.data.joint_vel_limits.torch.clone()
    for group in robot.actuators.values():
        if not isinstance(group, ActuatorBase):
            continue  # one that Newton runs keeps its limits to itself
        limits[:, group.joint_indices] = group.actuator_velocity_limit
    limits[~((limits > 0.0) & (limits < NO_LIMIT))] = torch.inf
    return limits


def moves_freely(body: Any) -> bool:
    """Whether a rigid object of the scene moves by itself; one that only goes where it is put has no velocity."""
    from pxr import UsdPhysics

    prim = sim_utils.find_first_matching_prim(body.cfg.prim_path)
    found = sim_utils.get_all_matching_child_prims(
        prim.GetPath(), lambda each: each.HasAPI(UsdPhysics.RigidBodyAPI), traverse_instance_prims=False
    )
    return not any(UsdPhysics.RigidBodyAPI(each).GetKinematicEnabledAttr().Get() for each in found)


class MotionLimiter:
    """Cuts velocities off, and puts joints back, in every articulation and free object of a scene that has limits."""

    def __init__(self, scene: InteractiveScene, speed: float, spin: float) -> None:
        """Read the limits.

        Args:
            scene: The built scene.
            speed: Largest speed of an object [m/s].
            spin: Largest angular speed of an object [rad/s].
        """
        self._robots = []
        for robot in scene.articulations.values():
            limit = joint_velocity_limits(robot)
            if torch.isfinite(limit).any():
                low, high = robot.data.joint_pos_limits.torch.unbind(dim=-1)
                stopped = torch.where(torch.isfinite(limit), 0.0, limit)
                self._robots.append((robot, limit, stopped, low, high))
        self._objects = [body for body in scene.rigid_objects.values() if moves_freely(body)]
        self._most = torch.tensor([[speed, spin]], device=scene.device)
        # asking whether anything is too fast is free on a CPU and would stall a GPU
        self._asks = scene.device == "cpu"

    def apply(self) -> None:
        """Bound what the engine's state holds now."""
        for robot, limit, stopped, low, high in self._robots:
            velocity, position = robot.data.joint_vel.torch, robot.data.joint_pos.torch
            upper = torch.where(position > high + STOP, stopped, limit)
            lower = -torch.where(position < low - STOP, stopped, limit)
            fast = ((velocity > upper) | (velocity < lower)).any(dim=1)
            past = torch.maximum(low - position, position - high).amax(dim=1)
            out = (past > FARTHEST + ROUNDING) & (past < LOST)
            bounded, within = (
                torch.clamp(velocity, lower, upper),
                torch.clamp(position, low - FARTHEST, high + FARTHEST),
            )
            if not self._asks or out.any():
                robot.write_joint_position_to_sim_mask(position=within, env_mask=wp.from_torch(out))
            if not self._asks or fast.any():
                robot.write_joint_velocity_to_sim_mask(velocity=bounded, env_mask=wp.from_torch(fast))
        for body in self._objects:
            velocity = body.data.root_com_vel_w.torch.unflatten(1, (2, 3))  # linear, angular
            speed = velocity.norm(dim=2)
            fast = (speed > self._most).any(dim=1)
            if self._asks and not fast.any():
                continue
            bounded = (velocity * (self._most / speed).clamp(max=1.0).unsqueeze(2)).flatten(1)
            body.write_root_velocity_to_sim_mask(root_velocity=bounded, env_mask=wp.from_torch(fast))

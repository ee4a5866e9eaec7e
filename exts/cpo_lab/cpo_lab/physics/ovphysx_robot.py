# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab's OvPhysX articulation without the writes that repeat what the engine knows; see ``changed_targets.py``."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from isaaclab.actuators import ActuatorCollection, ImplicitActuator
from isaaclab_ov import tensor_types
from isaaclab_ov.assets import Articulation
from isaaclab_ov.assets.articulation.actuator_control import OvPhysxActuatorControl

REPEAT = 8
"""Physics steps after which targets are written even if they have not changed. A write also keeps a robot at rest
awake, which PhysX would put to sleep 0.4 s after the last one."""


class OvPhysxRobot(Articulation):
    """An articulation that writes targets when they change, and differentiates velocities when somebody asks.

    ``data.joint_acc`` is then the mean acceleration since it was last read, not over the last physics step.
    """

    torques = True
    """Whether the torques of the motors are computed before every physics step, for ``data.applied_torque``."""

    def _process_actuators_cfg(self) -> None:
        """Build the actuators, and put our control in the place of Isaac Lab's where it knows what is written."""
        super()._process_actuators_cfg()
        # a GPU would have to be waited for to compare; reordered joints and Newton's motors have buffers of their own
        if self.device == "cpu" and not self.data.has_joint_ordering and not self._has_newton_actuators:
            self._actuator_control = self.actuators._control = ChangedTargets(self, self.torques)

    def update(self, dt: float) -> None:
        """Advance the time of the data by ``dt`` seconds, after which they are read anew."""
        self._data._sim_timestamp += dt
        if self.torques:
            _ = self._data.joint_vel  # Isaac Lab computes torques from what was read last


class OvPhysxRobotWithoutTorques(OvPhysxRobot):
    """The same where nobody reads torques: ``data.applied_torque`` and ``data.computed_torque`` are NaN."""

    torques = False


class ChangedTargets(OvPhysxActuatorControl):
    """Writes position, velocity and effort targets before a physics step if they differ from those last written."""

    def __init__(self, articulation: Articulation, torques: bool) -> None:
        super().__init__(articulation)
        motors = articulation.actuators
        self._torques = torques or not all(isinstance(motor, ImplicitActuator) for motor in motors.values())
        if not self._torques:
            motors.applied_effort.torch.fill_(float("nan"))
            motors.computed_effort.torch.fill_(float("nan"))
        self._written: dict[Any, torch.Tensor] = {}
        """What the engine holds, by kind of target; none before the first write."""
        self._physics_steps = 0

    def stage_user_command(self, command_name: str, collection: ActuatorCollection, *selection: Any) -> None:
        """Leave it to :meth:`submit_commands`, which no physics step goes without."""

    def compute_native_actuators(self, collection: ActuatorCollection, dt: float) -> bool:
        """Return whether torques need not be computed: PhysX has implicit motors of its own."""
        return not self._torques

    def submit_commands(self, collection: ActuatorCollection) -> None:
        """Write what changed."""
        self._physics_steps += 1
        due = self._physics_steps % REPEAT == 0
        robot = self._articulation
        effort = collection._joint_effort_target_sim if self._torques else collection._joint_effort_target
        if robot._can_write_effort:
            # whether PhysX keeps a torque beyond the step is its affair: only a zero is left out
            self._write(tensor_types.DOF_ACTUATION_FORCE, effort, due, keeps=False)
        if robot._has_implicit_actuators and robot._can_write_pos_target:
            self._write(tensor_types.DOF_POSITION_TARGET, collection._joint_pos_target, due)
        if robot._has_implicit_actuators and robot._can_write_vel_target:
            self._write(tensor_types.DOF_VELOCITY_TARGET, collection._joint_vel_target, due)

    def _write(self, kind: Any, values: wp.array, due: bool, keeps: bool = True) -> None:
        """Write one kind of target.

        Args:
            kind: What it is called in the engine.
            values: The targets, float32 [N, J].
            due: Whether to write them even if nothing changed.
            keeps: Whether the engine keeps a target other than zero until it is written again.
        """
        now = wp.to_torch(values)
        written = self._written.get(kind)
        if written is not None and not due and _same_bits(written, now) and (keeps or not bool(now.any())):
            return
        self._written[kind] = now.clone()  # not in place: a tensor of the inference mode is fixed outside of it
        self._articulation._root_view.set_attribute(kind, values)


def _same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two float32 tensors hold the same bits, for which 0 and -0 differ and a NaN equals itself."""
    return torch.equal(first.view(torch.int32), second.view(torch.int32))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The arm's law of control as a function of tensors: operational space control, as the reference has it.

The source is IsaacGymEnvs ``tasks/franka_cube_stack.py`` (``_compute_osc_torques``), which follows Khatib (1987).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cpo_rl.fields import setting


@dataclass
class ControlRules:
    """Constants of the arm's control; both spring and damper pairs are critically damped."""

    position_step: float = setting(0.1, above=0.0)
    """Distance that a full action asks the gripper to move along each axis [m]."""

    rotation_step: float = setting(0.5, above=0.0)
    """Angle that a full action asks it to turn about each axis [rad]."""

    stiffness: float = setting(150.0, above=0.0)
    """Stiffness towards what an action asks for [1/s^2]: the law multiplies it by the inertia that is felt."""

    posture_stiffness: float = setting(10.0, at_least=0.0)
    """Stiffness towards the default pose, where it does not move the gripper [1/s^2]."""


def arm_torques(
    jacobian: torch.Tensor,
    mass: torch.Tensor,
    step: torch.Tensor,
    velocity: torch.Tensor,
    posture_error: torch.Tensor,
    joint_velocity: torch.Tensor,
    rules: ControlRules,
) -> torch.Tensor:
    """Torques that accelerate the gripper towards where an action asks it to go.

    With ``L = (J M^-1 J^T)^-1``, ``k`` and ``p`` the two stiffnesses:
    ``J^T L (k step - 2 sqrt(k) v) + (1 - J^T L J M^-1) M (p error - 2 sqrt(p) q')``.

    Args:
        jacobian: Of the hand in world axes, linear rows first, shape [N, 6, J].
        mass: Mass matrix of the arm, shape [N, J, J].
        step: Wanted displacement [m] and turn [rad], world axes, shape [N, 6].
        velocity: Velocity of the gripper [m/s and rad/s], world axes, shape [N, 6].
        posture_error: Default less present joint positions [rad], shape [N, J].
        joint_velocity: [rad/s], shape [N, J].
        rules: Constants.

    Returns:
        Torques [N m], shape [N, J]; 0 where the matrices cannot be inverted.
    """
    columns = jacobian.transpose(1, 2)
    # the variants that do not raise: one environment that broke must not end the run, and a GPU need not be waited for
    per_mass = torch.linalg.solve_ex(mass, columns)[0]  # M^-1 J^T
    spring, damper = rules.stiffness, 2.0 * math.sqrt(rules.stiffness)
    wanted = (spring * step - damper * velocity).unsqueeze(-1)
    spring, damper = rules.posture_stiffness, 2.0 * math.sqrt(rules.posture_stiffness)
    wrapped = torch.remainder(posture_error + math.pi, 2.0 * math.pi) - math.pi
    posture = mass @ (spring * wrapped - damper * joint_velocity).unsqueeze(-1)
    # what the posture does to the gripper is taken out of what the gripper is asked to do: both share the factor J^T L
    force = torch.linalg.solve_ex(jacobian @ per_mass, wanted - per_mass.transpose(1, 2) @ posture)[0]
    torques = (columns @ force + posture).squeeze(-1)
    return torch.nan_to_num(torques, nan=0.0, posinf=0.0, neginf=0.0)

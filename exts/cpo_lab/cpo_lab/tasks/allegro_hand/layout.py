# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The 88 observations of the Allegro Hand task, in the reference's order (``allegro_hand.py:494-513``)."""

from __future__ import annotations

from cpo_lab.tasks.common.layout import ObservationTerm

ALLEGRO_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm(
        "joint_position", 16, "joint angles, limits mapped to [-1, 1]; index 0-3, middle 0-3, ring 0-3, thumb 0-3"
    ),
    ObservationTerm("joint_velocity", 16, "joint velocities, same order", "rad/s", 0.2),
    ObservationTerm("joint_torque", 16, "zeros, or torques of the joint motors, same order", "N m", 10.0),
    ObservationTerm("object_pose", 7, "cube position (environment frame, m) and orientation xyzw"),
    ObservationTerm("object_linear_velocity", 3, "cube velocity, world axes", "m/s"),
    ObservationTerm("object_angular_velocity", 3, "cube angular velocity, world axes", "rad/s", 0.2),
    ObservationTerm("goal_pose", 7, "goal position (environment frame, m) and orientation xyzw"),
    ObservationTerm("relative_rotation", 4, "cube orientation times conjugate of the goal's, xyzw"),
    ObservationTerm("last_action", 16, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""Layout of the ``policy`` observation."""

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The 211 observations of the Shadow Hand task, in the reference's order (``shadow_hand.py:566-593``)."""

from __future__ import annotations

from cpo_lab.tasks.common.layout import ObservationTerm

SHADOW_OBSERVATIONS: tuple[ObservationTerm, ...] = (
    ObservationTerm(
        "joint_position",
        24,
        "joint angles, limits mapped to [-1, 1]; WRJ1 WRJ0, FFJ3..0, MFJ3..0, RFJ3..0, LFJ4..0, THJ4..0",
    ),
    ObservationTerm("joint_velocity", 24, "joint velocities, same order", "rad/s", 0.2),
    ObservationTerm("joint_torque", 24, "torques of the joint motors, same order", "N m", 10.0),
    ObservationTerm("object_pose", 7, "cube position (environment frame, m) and orientation xyzw"),
    ObservationTerm("object_linear_velocity", 3, "cube velocity, world axes", "m/s"),
    ObservationTerm("object_angular_velocity", 3, "cube angular velocity, world axes", "rad/s", 0.2),
    ObservationTerm("goal_pose", 7, "goal position (environment frame, m) and orientation xyzw"),
    ObservationTerm("relative_rotation", 4, "cube orientation times conjugate of the goal's, xyzw"),
    ObservationTerm(
        "fingertip_state",
        65,
        "per distal link ff, mf, rf, lf, th: position (environment frame, m), orientation xyzw, linear velocity (m/s) "
        "and angular velocity (rad/s) in world axes",
    ),
    ObservationTerm(
        "fingertip_wrench",
        30,
        "per distal link, same order: force (N) and torque (N m) that its joint transmits, axes of the link",
        "N, N m",
        10.0,
    ),
    ObservationTerm("last_action", 20, "the action before this observation, -1 to 1; zeros right after a reset"),
)
"""Layout of the ``policy`` observation."""

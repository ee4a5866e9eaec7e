# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Forward kinematics of a robot table in NumPy, independent of USD and of the engines."""

from __future__ import annotations

import numpy as np

from cpo_lab.assets.robot_table import Robot


def matrix(xyzw) -> np.ndarray:
    x, y, z, w = np.asarray(xyzw, dtype=float) / np.linalg.norm(xyzw)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def turn(axis, angle: float) -> np.ndarray:
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def forward_kinematics(
    robot: Robot, angles: dict[str, float], position=(0.0, 0.0, 0.0), orientation=(0.0, 0.0, 0.0, 1.0)
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Position [3] and rotation [3, 3] of every link for joint ``angles`` (others 0) and the given pose of the root.

    The angle of a sliding joint is how far it is pushed out [m].
    """
    joints = {joint.child: joint for joint in robot.joints}
    poses = {robot.links[0].name: (np.asarray(position, dtype=float), matrix(orientation))}
    for link in robot.links[1:]:
        origin, rotation = poses[link.parent]
        joint = joints[link.name]
        own, angle, place = matrix(link.orientation), angles.get(joint.name, 0.0), np.asarray(link.position)
        if joint.slides:
            place = place + own @ (angle * np.asarray(joint.axis))
        else:
            own = own @ turn(joint.axis, angle)
        poses[link.name] = (origin + rotation @ place, rotation @ own)
    return poses

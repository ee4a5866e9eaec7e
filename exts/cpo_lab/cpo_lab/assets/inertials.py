# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Mass properties: merge bodies that are welded together, and turn inertia tensors into principal moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cpo_lab.assets.robot_table import Link, Quat, Vec3

_DIGITS = 9
"""Significant digits kept, so that tables (and the cache key made of them) do not depend on the machine's LAPACK."""


@dataclass(frozen=True)
class Inertial:
    """Mass properties of one body."""

    mass: float
    """Kilograms."""
    center: Vec3
    """Centre of mass in the body's frame [m]."""
    tensor: tuple[float, float, float, float, float, float]
    """(xx, xy, xz, yy, yz, zz) about the centre of mass, in the body's axes [kg m^2], as URDF orders them."""

    def matrix(self) -> np.ndarray:
        """Return the inertia tensor as a matrix, shape [3, 3]."""
        xx, xy, xz, yy, yz, zz = self.tensor
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def rotation_matrix(quat: Quat) -> np.ndarray:
    """Return the rotation matrix of a quaternion (xyzw), shape [3, 3]."""
    x, y, z, w = np.asarray(quat) / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quat_from_matrix(matrix: np.ndarray) -> Quat:
    """Return the quaternion (xyzw, w >= 0) of a rotation matrix [3, 3]."""
    m = np.asarray(matrix)
    # the eigenvector of the largest eigenvalue of this symmetric matrix is the quaternion (Bar-Itzhack)
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    quat = np.linalg.eigh(k)[1][:, -1]
    return _rounded(quat if quat[3] >= 0 else -quat)  # type: ignore[return-value]


def merge(parts: Sequence[tuple[Inertial, Vec3, Quat]]) -> Inertial:
    """Merge bodies that are welded to one frame.

    Args:
        parts: For each body its mass properties and the pose of its frame (position [m], rotation xyzw) in the common
        frame.

    Returns:
        The properties of the whole, in the common frame.
    """
    masses = np.array([inertial.mass for inertial, _, _ in parts])
    centers, tensors = [], []
    for inertial, position, quat in parts:
        rotation = rotation_matrix(quat)
        centers.append(np.asarray(position) + rotation @ np.asarray(inertial.center))
        tensors.append(rotation @ inertial.matrix() @ rotation.T)
    center = (masses[:, None] * np.array(centers)).sum(0) / masses.sum()
    total = np.zeros((3, 3))
    for mass, own_center, tensor in zip(masses, centers, tensors, strict=True):
        arm = own_center - center
        total += tensor + mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    xx, xy, xz, yy, yz, zz = total[0, 0], total[0, 1], total[0, 2], total[1, 1], total[1, 2], total[2, 2]
    return Inertial(float(masses.sum()), _rounded(center), _rounded((xx, xy, xz, yy, yz, zz)))  # type: ignore[arg-type]


def principal(inertial: Inertial) -> tuple[Vec3, Quat]:
    """Return principal moments [kg m^2] and the rotation principal axes -> body (xyzw).

    Tensors that no rigid body can have (some published ones come from identification on the real hand) have a negative
    eigenvalue; of those only the diagonal is used.
    """
    values, axes = np.linalg.eigh(inertial.matrix())
    if values[0] <= 0.0:
        xx, _, _, yy, _, zz = inertial.tensor
        return (xx, yy, zz), (0.0, 0.0, 0.0, 1.0)
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1.0
    return _rounded(values), quat_from_matrix(axes)  # type: ignore[return-value]


def link_from(name: str, parent: str | None, inertial: Inertial, **fields: Any) -> Link:
    """Return a :class:`Link` with the given mass properties; ``fields`` are its other fields."""
    moments, axes = principal(inertial)
    return Link(
        name,
        parent,
        mass=inertial.mass,
        center_of_mass=inertial.center,
        inertia=moments,
        inertia_orientation=axes,
        **fields,
    )


def _rounded(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    # adding 0.0 turns -0.0 into 0.0
    return tuple(float(f"{float(value):.{_DIGITS}g}") + 0.0 if abs(value) > 1e-12 else 0.0 for value in values)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Rotations of vectors and random ones, on quaternions xyzw."""

from __future__ import annotations

import math

import torch


def rotate(quat: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Rotate vectors by unit quaternions.

    Args:
        quat: Rotations xyzw, shape [..., 4].
        vector: Vectors, shape [..., 3]; leading dimensions broadcast.

    Returns:
        Rotated vectors, shape [..., 3].
    """
    axis, real = quat[..., :3], quat[..., 3:]
    axis, vector = torch.broadcast_tensors(axis, vector)
    cross = 2.0 * torch.linalg.cross(axis, vector)
    return vector + real * cross + torch.linalg.cross(axis, cross)


def rotate_back(quat: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Rotate vectors [..., 3] by the inverse of unit quaternions [..., 4]: world axes to those of a body."""
    return rotate(torch.cat((-quat[..., :3], quat[..., 3:]), dim=-1), vector)


def uniform_rotation(uniform: torch.Tensor) -> torch.Tensor:
    """Map uniform numbers in [0, 1], shape [n, 3], to uniform rotations xyzw, shape [n, 4] (Shoemake 1992)."""
    u, v, w = uniform.unbind(-1)
    a, b = (1.0 - u).sqrt(), u.sqrt()
    v, w = 2.0 * math.pi * v, 2.0 * math.pi * w
    return torch.stack((a * v.sin(), a * v.cos(), b * w.sin(), b * w.cos()), dim=-1)

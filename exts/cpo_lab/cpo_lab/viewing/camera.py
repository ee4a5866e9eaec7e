# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where the camera of a picture stands: by a name, or by two points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError

Vec3 = tuple[float, float, float]

NAMES = ("close", "side", "top")
"""Cameras by name: the task's own, one beside what it looks at, and one above it."""

_BEHIND: Vec3 = (0.16, -0.24, 0.26)
"""From what a camera looks at to where it stands, for a task that says nothing [m]."""


@dataclass(frozen=True)
class Camera:
    """A camera, in the frame of an environment."""

    eye: Vec3
    """Where it stands [m]."""
    target: Vec3
    """What it looks at [m]."""

    @property
    def distance(self) -> float:
        """How far away what it looks at is [m]."""
        return math.dist(self.eye, self.target)


def read_camera(text: str) -> str | Camera:
    """Read ``--camera``: a name, or ``X,Y,Z,X,Y,Z``, the eye and what it looks at in the environment's frame [m].

    Raises:
        UserError: If it is neither.
    """
    if text in NAMES:
        return text
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise UserError(
            f"--camera must be {', '.join(NAMES)} or six numbers X,Y,Z,X,Y,Z (where it stands and what it looks at, "
            f"in metres), not {text!r}."
        )
    camera = Camera((numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5]))
    if camera.distance < 1e-3:
        raise UserError(f"--camera {text!r} looks at the place where it stands; give two different points.")
    return camera


def camera_of(cfg: Any, wanted: str | Camera) -> Camera:
    """Return the camera for a task.

    A task says where its own stands with the fields ``camera_eye`` and ``camera_lookat``; without them it looks at the
    start of the object, from above and in front.

    Args:
        cfg: The environment's configuration.
        wanted: Result of :func:`read_camera`.
    """
    if isinstance(wanted, Camera):
        return wanted
    settings = EnvironmentSettings(cfg)
    start = (0.0, 0.0, 0.5) if settings.object_cfg is None else settings.object_cfg.init_state.pos
    target = _vec(settings.camera_lookat or start)
    eye = _vec(settings.camera_eye or tuple(a + b for a, b in zip(target, _BEHIND, strict=True)))
    own = Camera(eye, target)
    if wanted == "close":
        return own
    x, y, z = target
    if wanted == "side":
        return Camera((x + 0.97 * own.distance, y - 0.05 * own.distance, z + 0.2 * own.distance), target)
    # not exactly above: what is up in the picture would be undefined
    return Camera((x, y - 0.02 * own.distance, z + own.distance), target)


def _vec(values: Any) -> Vec3:
    x, y, z = (float(value) for value in values)
    return (x, y, z)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Where in a scene names are written and where a camera stands that sees all environments shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpo_lab.viewing.camera import camera_of

MOST_NAMES = 64
"""Environments that get a name in a viewer: more would hide what they name."""

_ABOVE = 0.42
"""How high a name stands above what the task's camera looks at, over the distance of that camera."""

_STEEP = math.radians(35.0)
"""Least angle from which several environments are looked down at, or the first row would hide the others."""


@dataclass(frozen=True)
class Places:
    """Environments that are shown with their names."""

    indices: list[int]
    """Which."""
    points: NDArray[np.float64]
    """Where their names stand, world [K, 3] in metres."""

    @classmethod
    def of(cls, env: Any) -> Places:
        """Return the places of a running environment: those that its viewers show, or the first ones."""
        chosen = [viewer.get_visualized_env_ids() for viewer in env.sim.visualizers]
        shown = next((ids for ids in chosen if ids is not None), range(env.num_envs))
        indices = list(shown)[:MOST_NAMES]
        camera = camera_of(env.cfg, "close")
        above = np.add(camera.target, (0.0, 0.0, _ABOVE * camera.distance))
        return cls(indices, env.scene.env_origins.cpu().numpy()[indices].astype(float) + above)


def overview(env: Any, indices: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return where a camera stands and what it looks at, world [m], to see environments from the task's side.

    Args:
        env: The running environment.
        indices: Environments to see.
    """
    camera = camera_of(env.cfg, "close")
    origins = env.scene.env_origins.cpu().numpy()[list(indices)].astype(float)
    low, high = origins.min(axis=0), origins.max(axis=0)
    target = (low + high) / 2.0 + camera.target
    towards = np.asarray(camera.eye) - camera.target
    if len(indices) > 1:
        flat = float(np.hypot(towards[0], towards[1]))
        towards[2] = max(towards[2], math.tan(_STEEP) * flat)
    towards /= np.linalg.norm(towards)
    distance = 1.1 * camera.distance + 0.85 * float(np.linalg.norm(high - low))
    return tuple((target + distance * towards).tolist()), tuple(target.tolist())

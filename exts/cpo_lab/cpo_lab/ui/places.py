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

_NEAR = 4
"""Environments that the camera looks at where there are too many for names."""

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
    focus: list[int]
    """Those that the camera looks at: all, or neighbours with the last policy where there are too many for names."""

    @classmethod
    def of(cls, env: Any, ids: NDArray[np.int64]) -> Places:
        """Return the places of a running environment: what its first viewer shows, rather than one that films.

        Args:
            env: The environment.
            ids: Policy of each environment [N]; where there are too many for names, each policy's first get them.
        """
        viewers = sorted(env.sim.visualizers, key=lambda viewer: bool(vars(viewer.cfg).get("headless")))
        shown = next((viewer.get_visualized_env_ids() for viewer in viewers), None)
        indices = list(range(env.num_envs) if shown is None else shown)
        focus = indices
        if len(indices) > MOST_NAMES:
            policies = np.unique(ids[indices]).tolist()
            firsts = [[i for i in indices if ids[i] == policy][: MOST_NAMES // len(policies)] for policy in policies]
            indices, focus = [i for first in firsts for i in first], firsts[-1][:_NEAR]
        camera = camera_of(env.cfg, "close")
        above = np.add(camera.target, (0.0, 0.0, _ABOVE * camera.distance))
        origins = env.scene.env_origins.cpu().numpy()[indices].astype(float)
        return cls(indices, origins + above, focus)


def look_at_all(env: Any, ids: NDArray[np.int64]) -> Places:
    """Give the viewers of a running environment the task's camera, and return which environments they show.

    Args:
        env: Running rsl_rl environment.
        ids: Policy of each environment [N].
    """
    places = Places.of(env.unwrapped, ids)
    env.unwrapped.sim.set_camera_view(*overview(env.unwrapped, places.focus))
    return places


def goals_of(env: Any, indices: Sequence[int]) -> NDArray[np.float64] | None:
    """Return where the goals of environments are drawn, world [K, 3] in metres; None where none are.

    Args:
        env: The running environment, whose task draws goals with markers named so.
        indices: Environments.
    """
    for group in env.sim.vis_marker_registry.get_groups().values():
        drawn = getattr(group, "translations", None)
        if "goal" not in str(group.cfg.prim_path).lower() or drawn is None or len(drawn) % env.num_envs:
            continue
        parts = drawn.cpu().numpy().astype(float).reshape(env.num_envs, -1, 3)  # of one goal, around its middle
        return parts[list(indices)].mean(axis=1)
    return None


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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The cuboids that the arm tasks manipulate: which shapes exist, in which order, and which environment gets which.

The rules are those of the reference's generator (IsaacGymEnvs, ``tasks/allegro_kuka/generate_cuboids.py``): all
combinations of three edge lengths from a list whose volume lies in a range and that pass the filters. There the shapes
become files whose names start with a running number, the names are sorted, and the list is shuffled with a fixed seed
(``allegro_kuka_base.py:458-472``); the same is done here with the names alone. Pure Python and numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cpo_rl.errors import UserError

BASE_EDGE = 0.05
"""Edge of the cube that all scales refer to [m]."""

DENSITY = 400.0
"""Density of every cuboid [kg/m^3]."""

SHUFFLE_SEED = 42
"""Seed of the order, fixed so that a resumed run sees the same objects."""

Percent = tuple[int, int, int]
"""Three edges in percent of :data:`BASE_EDGE`."""


@dataclass(frozen=True)
class CuboidRule:
    """One family of cuboids."""

    percents: tuple[int, ...]
    """Edge lengths to combine, in percent of :data:`BASE_EDGE`; their order decides the running number."""
    min_volume: float
    """Smallest volume in multiples of the base cube's, inclusive."""
    max_volume: float
    """Largest volume in multiples of the base cube's, inclusive."""
    skip: tuple[Callable[[Percent], bool], ...] = ()
    """Filters; a shape for which one of them is true is left out. They get the edges in ascending order."""

    def shapes(self) -> list[Percent]:
        """Return the shapes in the order of their running numbers."""
        chosen: list[Percent] = []
        for x, y, z in product(self.percents, repeat=3):
            volume = x * y * z / 1e6
            low, middle, high = sorted((x, y, z))
            if self.min_volume <= volume <= self.max_volume and not any(
                skip((low, middle, high)) for skip in self.skip
            ):
                chosen.append((x, y, z))
        return chosen


def is_thin_plate(ascending: Percent) -> bool:
    """Return whether the smallest edge is at most a third of the middle one: too hard to grasp."""
    return ascending[0] * 3 <= ascending[1]


def is_not_elongated(ascending: Percent) -> bool:
    """Return whether the longest edge is not more than three times each of the others."""
    return ascending[2] <= ascending[0] * 3 or ascending[2] <= ascending[1] * 3


DEFAULT = CuboidRule((100,), 1.0, 1.0)
SMALL = CuboidRule((100, 50, 66, 75, 90, 110, 125, 150, 175, 200, 250, 300), 1.0, 2.5)
BIG = CuboidRule((100, 125, 150, 200, 250, 300, 350), 2.5, 15.0, (is_thin_plate,))
STICKS = CuboidRule((100, 50, 75, 200, 300, 400, 500, 600), 2.5, 6.0, (is_thin_plate, is_not_elongated))

OBJECT_SETS: dict[str, tuple[CuboidRule, ...]] = {
    "cube": (DEFAULT,),
    "small_cuboids": (DEFAULT, SMALL),
    "cuboids": (DEFAULT, SMALL, BIG, STICKS),
}
"""Object sets by name: one cube, the 654 shapes of the throw task, the 947 of regrasping and reorientation."""


def object_shapes(object_set: str, num_objects: int | None = None) -> tuple[Percent, ...]:
    """Return the shapes of a set in the order in which environments receive them.

    Args:
        object_set: A key of :data:`OBJECT_SETS`.
        num_objects: Keep only the first so many shapes of the shuffled list; None keeps all.

    Returns:
        Edges in percent of :data:`BASE_EDGE`. A shape can occur twice, as in the reference (947 entries, 938 shapes).

    Raises:
        UserError: If the set is unknown, or ``num_objects`` is not between 1 and the size of the set.
    """
    if object_set not in OBJECT_SETS:
        raise UserError(f"object_set must be one of {', '.join(sorted(OBJECT_SETS))}, not '{object_set}'.")
    named: dict[str, Percent] = {}
    for rule in OBJECT_SETS[object_set]:
        # equal names overwrite each other, as the files of the reference do
        named.update({f"{i:03d}_cube_{x}_{y}_{z}.urdf": (x, y, z) for i, (x, y, z) in enumerate(rule.shapes())})
    ordered = [named[name] for name in sorted(named)]
    np.random.default_rng(SHUFFLE_SEED).shuffle(ordered)
    if num_objects is None:
        return tuple(ordered)
    if not 1 <= num_objects <= len(ordered):
        raise UserError(
            f"num_objects must lie between 1 and {len(ordered)} for the object set '{object_set}', not {num_objects}."
        )
    return tuple(ordered[:num_objects])


def scales(shapes: Sequence[Percent]) -> np.ndarray:
    """Return edges in multiples of :data:`BASE_EDGE`, float32, shape [n, 3]."""
    return np.asarray(shapes, dtype=np.float32).reshape(-1, 3) / 100.0


def edges(shape: Percent) -> tuple[float, float, float]:
    """Return the edges of a shape [m]."""
    return tuple(BASE_EDGE * percent / 100.0 for percent in shape)  # type: ignore[return-value]


def mass(shape: Percent) -> float:
    """Return the mass of a shape [kg]."""
    x, y, z = edges(shape)
    return DENSITY * x * y * z


def inertia(shape: Percent) -> tuple[float, float, float]:
    """Return the moments of inertia of a shape about its axes [kg m^2]."""
    x, y, z = edges(shape)
    factor = mass(shape) / 12.0
    return factor * (y * y + z * z), factor * (x * x + z * z), factor * (x * x + y * y)


def object_of_env(num_envs: int, num_objects: int) -> np.ndarray:
    """Return the object of every environment, ``i mod num_objects`` (``allegro_kuka_base.py:784``), shape [num_envs].

    Isaac Lab's own default gives *contiguous* environments the same object, which would show every policy of an
    ensemble
    (a contiguous block of environments) other objects. Dealt out in turn, a block of ``B`` environments holds each
    object
    ``floor(B / num_objects)`` or one more times.
    """
    return np.arange(num_envs) % num_objects


def round_robin(weights: np.ndarray, num_envs: int) -> np.ndarray:
    """Deal world prototypes out in turn; a clone strategy for ``isaaclab.cloner.CloneCfg``."""
    return object_of_env(num_envs, len(weights))

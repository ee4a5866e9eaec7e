# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The cube that is turned in the hand. Its faces have six colours, so that one sees how it lies."""

from __future__ import annotations

from collections.abc import Callable

import isaaclab.sim as sim_utils
from isaaclab.assets import RigidObjectCfg
from isaaclab.markers import VisualizationMarkersCfg
from isaaclab.utils import configclass

from cpo_lab.assets.contact import body_cfg, free_body_props

FACES: dict[str, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    "east": ((1, 0, 0), (0.85, 0.15, 0.12)),
    "west": ((-1, 0, 0), (0.95, 0.55, 0.10)),
    "north": ((0, 1, 0), (0.10, 0.55, 0.25)),
    "south": ((0, -1, 0), (0.15, 0.35, 0.80)),
    "top": ((0, 0, 1), (0.95, 0.90, 0.20)),
    "bottom": ((0, 0, -1), (0.90, 0.90, 0.92)),
}
"""Name -> (outward direction, colour as red, green, blue of a screen, 0 to 1)."""

PLATE = 0.0004
"""Half thickness of the coloured plates, metres. They are drawn and do not collide."""

Vec3 = tuple[float, float, float]


def plate(edge: float, direction: tuple[int, int, int]) -> tuple[Vec3, Vec3]:
    """Centre and half edges (metres) of the plate on the face of a cube that looks into ``direction``."""
    center = tuple(0.5 * edge * component for component in direction)
    # a little smaller than the face, so that neighbouring plates do not fight for the edge
    half = tuple(PLATE if component else 0.47 * edge for component in direction)
    return center, half  # type: ignore[return-value]


@configclass
class MarkedCubeCfg(sim_utils.CuboidCfg):
    """A cuboid with equal edges and a coloured plate on every face."""

    func: Callable | str = "cpo_lab.assets.cube_spawner:spawn_marked_cube"
    """Spawner, imported when the scene is built."""


def cube_cfg(
    edge: float, density: float, position: tuple[float, float, float], prim_path: str = "{ENV_REGEX_NS}/Object"
) -> RigidObjectCfg:
    """A free cube.

    Args:
        edge: Edge length, metres.
        density: Kg / m^3.
        position: Start position, metres.
        prim_path: Where to spawn it.
    """
    props = free_body_props(sim_utils.MassCfg(density=density))
    return body_cfg(MarkedCubeCfg(size=(edge, edge, edge), **props), position, prim_path)


_GOAL_FACE = 0.91
"""Share of a plate that a goal's face has, so that its body shows between them."""

BODY_COLOR = (0.10, 0.10, 0.11)
"""Colour between the faces of a goal, as on a screen."""


def goal_marker_cfg(edge: float) -> VisualizationMarkersCfg:
    """Markers that draw a cube of ``edge`` metres: a prototype per face, in the order of :data:`FACES`, and a body."""
    body = sim_utils.CuboidCfg(
        size=(0.985 * edge,) * 3, visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=BODY_COLOR)
    )
    return VisualizationMarkersCfg(
        prim_path="/Visuals/goal",
        markers={
            name: sim_utils.CuboidCfg(
                size=tuple(_GOAL_FACE * 2.0 * length for length in plate(edge, direction)[1]),
                visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=color),
            )
            for name, (direction, color) in FACES.items()
        }
        | {"body": body},
    )

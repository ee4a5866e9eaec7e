# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Materials of what is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from cpo_lab.assets.cube import FACES


@dataclass(frozen=True)
class Material:
    """A surface of the metalness workflow, as ``UsdPreviewSurface`` has it."""

    color: tuple[float, float, float]
    """Red, green, blue as on a screen, 0 to 1."""
    roughness: float = 0.5
    """0 mirrors, 1 is chalk."""
    metallic: float = 0.0
    """0 paint, 1 metal."""


MATERIALS = {
    "shell": Material((0.88, 0.88, 0.87), 0.35),
    "graphite": Material((0.20, 0.205, 0.215), 0.42),
    "dark": Material((0.085, 0.085, 0.09), 0.55),
    "metal": Material((0.62, 0.63, 0.65), 0.48, 0.7),
    "rubber": Material((0.80, 0.80, 0.78), 0.8),
    "pad": Material((0.30, 0.31, 0.33), 0.85),
    "orange": Material((0.95, 0.42, 0.08), 0.4),
    "band": Material((0.95, 0.95, 0.95), 0.45),
    "wood": Material((0.74, 0.64, 0.52), 0.6),
    "cube": Material((0.10, 0.10, 0.11), 0.45),
    **{f"face_{name}": Material(color, 0.4) for name, (_, color) in FACES.items()},
    "tin": Material((0.70, 0.73, 0.76), 0.35, 0.6),
}
"""By name. ``band`` is what gets the colour of the policy that acts."""

BAND = "band"
"""The material that is coloured by policy."""

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Soft light for Newton's OpenGL viewer, which has one hard sun and shadows made for scenes of tens of metres.

A frame is drawn several times with the light elsewhere and the camera shifted by parts of a pixel; the mean of the
frames has soft shadows, darker corners and smooth edges, as under a lamp and a bright ceiling. One frame alone has the
lamp only, for videos that must be fast.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vec3 = Sequence[float]

Draw = Callable[[Vec3, Vec3, bool], "NDArray[np.uint8]"]
"""Draws one frame from an eye to a target [m]; the last argument says whether the light is the ceiling's."""

FLOOR_COLOR = (0.77, 0.78, 0.80)
"""Colour of the floor, red, green, blue of a screen."""

_KEY = np.array((0.42, -0.38, 0.82)) / np.linalg.norm((0.42, -0.38, 0.82))
"""Where the lamp is, seen from the target: from the right and behind the default camera."""

_LAMP_SIZE = 0.07
"""Tangent of the lamp's half angle."""

_ONE_FRAME = (1.1, 0.62)
"""Strength of the lamp and ambient light of a picture that is one frame."""

_EXPOSURE = 1.2
_DEPTH = 3.0
"""How far before and behind the target shadows are looked for [m]."""


class Lighting:
    """Lights what a viewer draws.

    Args:
        viewer: Newton's ``ViewerGL``.
        reach: Half edge of the square around the target in which shadows are drawn [m].
        frames: Frames that one picture is the mean of.
    """

    def __init__(self, viewer: Any, reach: float, frames: int) -> None:
        self.viewer, self.reach, self.frames = viewer, reach, frames
        self._target: Vec3 = (0.0, 0.0, 0.0)
        renderer = viewer.renderer
        renderer.spotlight_enabled = False
        renderer.draw_fps = False
        renderer.exposure = _EXPOSURE
        renderer.shadow_extents = reach
        renderer.shadow_radius = 6.0 if frames > 1 else 9.0
        renderer._render_shadow_map = functools.partial(_shadow_map, self, renderer)

    def set_background(self, color: Vec3) -> None:
        """Fill what nothing covers with one colour, red, green, blue of a screen."""
        self.viewer.renderer.sky_upper = self.viewer.renderer.sky_lower = tuple(color)

    def picture(self, eye: Vec3, target: Vec3, draw: Draw) -> NDArray[np.uint8]:
        """Return the mean of the frames, uint8 [height, width, 3].

        Args:
            eye: Where the camera is [m].
            target: What it looks at [m].
            draw: Draws one frame, told whether the light is the ceiling's.
        """
        self._target = target
        renderer = self.viewer.renderer
        if self.frames == 1:
            _set_light(renderer, _KEY, *_ONE_FRAME)
            return draw(eye, target, False)
        total: Any = 0.0
        height = renderer._screen_height
        pixel = 2.0 * math.tan(math.radians(self.viewer.camera.fov) / 2.0) * math.dist(eye, target) / height
        right, up = _image_axes(eye, target)
        for i in range(self.frames):
            _set_light(renderer, *_light(i, self.frames))
            # shifts that fill a pixel evenly (the two-dimensional golden ratio)
            shift = pixel * ((i * 0.7548776662 % 1.0 - 0.5) * right + (i * 0.5698402910 % 1.0 - 0.5) * up)
            total = total + (draw(eye, (np.asarray(target) + shift).tolist(), i % 2 == 1) / 255.0) ** 2.2
        return (255.0 * (total / self.frames) ** (1.0 / 2.2) + 0.5).astype(np.uint8)

    def lamp(self, target: Vec3, draw: Draw) -> NDArray[np.uint8]:
        """Return one frame of what is at ``target`` [m], seen from above in the light of the lamp."""
        self._target = target
        light = _ONE_FRAME if self.frames == 1 else _light(0, self.frames)[1:]
        _set_light(self.viewer.renderer, _KEY, *light)
        return draw((target[0], target[1] - 0.5, target[2] + 1.0), target, False)


def _light(i: int, frames: int) -> tuple[NDArray[np.float64], float, float]:
    """Return direction, strength and ambient light of frame ``i``: the lamp in every second one, else the ceiling."""
    count, n = (frames + 1) // 2, i // 2
    angle, share = 2.399963 * n, (n + 0.5) / count
    if i % 2 == 0:
        side, up = _tangents(_KEY)
        size = _LAMP_SIZE * math.sqrt(share)
        direction = _KEY + size * (math.cos(angle) * side + math.sin(angle) * up)
        return direction / np.linalg.norm(direction), 1.55, 0.28
    height = math.sqrt(1.0 - 0.97 * share)  # as much light from a direction as a floor gets from it
    wide = math.sqrt(1.0 - height * height)
    return np.array((wide * math.cos(angle), wide * math.sin(angle), height)), 0.85, 0.28


def _set_light(renderer: Any, direction: NDArray[np.float64], strength: float, ambient: float) -> None:
    renderer._sun_direction = direction.astype(np.float32)
    renderer._light_color = (strength, strength, 0.98 * strength)
    renderer.ambient_sky = (ambient, ambient, 1.02 * ambient)
    renderer.ambient_ground = (0.7 * ambient, 0.7 * ambient, 0.7 * ambient)


def _tangents(direction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two unit vectors perpendicular to a unit vector and to each other."""
    side = np.cross(direction, (0.0, 0.0, 1.0) if abs(direction[2]) < 0.99 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    return side, np.cross(side, direction)


def _image_axes(eye: Vec3, target: Vec3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions to the right and up in the picture."""
    view = np.asarray(target, dtype=float) - np.asarray(eye, dtype=float)
    return _tangents(view / np.linalg.norm(view))


def _shadow_map(
    lighting: Lighting, renderer: Any, objects: dict[str, Any], scene_has_transparency: bool = False
) -> None:
    """Draw depths as the light sees them, in a box around the target.

    Stands in for the renderer's own method, whose box is 1 km deep: its rounding is larger than a finger.
    """
    from pyglet.math import Mat4
    from pyglet.math import Vec3 as PygletVec3

    light, reach = renderer._sun_direction, lighting.reach
    origin = np.asarray(renderer.camera.pos, dtype=np.float32)
    center = np.asarray(lighting._target, dtype=np.float32) - origin
    _, up = _tangents(np.asarray(light, dtype=float))
    view = Mat4.look_at(PygletVec3(*(center + _DEPTH * light)), PygletVec3(*center), PygletVec3(*up))
    box = Mat4.orthogonal_projection(-reach, reach, -reach, reach, 0.0, 2.0 * _DEPTH)
    renderer._light_space_matrix = np.array(box @ view, dtype=np.float32)
    renderer._shadow_shader.update(renderer._light_space_matrix, origin)
    with renderer._shadow_shader:
        renderer._draw_objects({name: drawn for name, drawn in objects.items() if getattr(drawn, "cast_shadow", True)})
    renderer.gl.glBindFramebuffer(renderer.gl.GL_FRAMEBUFFER, 0)

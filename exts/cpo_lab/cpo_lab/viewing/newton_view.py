# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What Isaac Lab's Newton viewer is asked for pictures: to remember a moment, and to draw it later in good light.

The only module that reaches behind the viewer's public methods, which draw the present state only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cpo_lab.assets.look.materials import BAND
from cpo_lab.viewing.lighting import FLOOR_COLOR, Lighting

_PLAIN = (0.945, 0.95, 0.957)
"""Colour of a plain background, red, green, blue of a screen."""

_HEIGHT_OF_VIEW, _LEAST_ASPECT = 25.0, 1.5
"""Angle that a picture sees from top to bottom [degrees], and width over height below which it sees more."""

_FLOOR = "/studio/floor"
_MARGIN = 30.0
"""How far the floor goes beyond the environments [m]."""

_MARKER_FIELDS = ("translations", "orientations", "scales", "marker_indices", "visible", "count")


@dataclass(frozen=True)
class Moment:
    """Where everything was."""

    bodies: NDArray[np.float32]
    """Poses of all bodies [B, 7]: position [m], orientation xyzw."""
    markers: Mapping[str, Mapping[str, Any]]
    """What markers showed."""


class NewtonView:
    """Draws moments of an environment.

    Args:
        env: The running environment, its viewer being ``NewtonGLVisualizer`` without a window.
        colors: Colour of each shown environment, 0 to 255, by index.
        background: What is behind: ``floor``, with shadows, ``plain``, one colour, or ``transparent``.
        frames: Frames that a picture is the mean of.
        reach: Half edge of the square that shadows are drawn in [m].
    """

    def __init__(
        self, env: Any, colors: Mapping[int, Sequence[int]], background: str, frames: int, reach: float
    ) -> None:
        self._sim = env.unwrapped.sim
        self._origins = env.unwrapped.scene.env_origins.cpu().numpy()
        self._visualizer = self._sim.visualizers[0]
        self._gl = self._visualizer._viewer
        self._background = background
        self._lighting = Lighting(self._gl, reach, frames)
        self._gl.show_ground = False
        width, height = self._gl.renderer._screen_width, self._gl.renderer._screen_height
        half = math.tan(math.radians(_HEIGHT_OF_VIEW / 2.0)) * max(_LEAST_ASPECT * height / width, 1.0)
        self._gl.camera.fov = math.degrees(2.0 * math.atan(half))
        self._lay_floor(visible=background == "floor")
        color_bands(self._visualizer.backend.model, colors)
        self._moment: Moment | None = None
        self._is_calibrated = background != "floor"
        if background == "plain":
            self._lighting.set_background(_PLAIN)

    def moment(self) -> Moment:
        """Return where everything is now."""
        from isaaclab.scene_data import SceneDataFormat

        if not self._sim.is_rendering:  # then nobody else has brought the scene up to date
            self._sim.forward()
            self._sim.vis_marker_registry.dispatch_callbacks()
        poses, backend = SceneDataFormat.Transform(), self._visualizer.backend
        provider, count = self._visualizer._scene_data_provider, backend.model.body_count
        if provider.get_transforms(poses, mapping=self._visualizer._transform_mapping, count=count):
            bodies = poses.transforms.numpy().copy()
        else:
            bodies = backend.state_0.body_q.numpy().copy()
        return Moment(bodies, {name: _state(group) for name, group in self._groups().items()})

    def picture(self, moment: Moment, eye: Sequence[float], target: Sequence[float]) -> NDArray[np.uint8]:
        """Draw a moment.

        Args:
            moment: What to draw.
            eye: Where the camera is, world [m].
            target: What it looks at, world [m].

        Returns:
            Picture, uint8 [height, width, 3], with a fourth channel (opacity) if the background is transparent.
        """
        import warp as wp

        state = self._visualizer.backend.state_0
        groups, bodies = self._groups(), state.body_q
        present = Moment(bodies, {name: _state(group) for name, group in groups.items()})
        state.body_q = wp.array(moment.bodies, dtype=wp.transform, device=bodies.device)
        try:
            _restore(groups, moment)
            if not self._is_calibrated:
                self._calibrate(target)
            if self._background == "transparent":
                return self._cut_out(eye, target)
            return self._lighting.picture(eye, target, self._draw)
        finally:
            state.body_q = bodies
            _restore(groups, present)

    def _draw(self, eye: Sequence[float], target: Sequence[float], ceiling: bool = False) -> NDArray[np.uint8]:
        """Draw one frame; light of the ceiling leaves no shadow on the floor."""
        self._gl.objects[self._gl._qualify(_FLOOR)].hidden = ceiling or self._background != "floor"
        self._visualizer.set_camera_view(eye, target)
        self._gl.begin_frame(0.0)
        try:
            self._gl.log_state(self._visualizer.backend.state_0)
            self._visualizer._render_markers(self._visualizer.backend.model.num_envs)
        finally:
            self._gl.end_frame()
        return self._gl.get_frame().numpy().copy()

    def _cut_out(self, eye: Sequence[float], target: Sequence[float]) -> NDArray[np.uint8]:
        """Draw before black and before white; what differs is what one sees through."""
        views = []
        for shade in (0.0, 1.0):
            self._lighting.set_background((shade,) * 3)
            views.append((self._lighting.picture(eye, target, self._draw) / 255.0) ** 2.2)
        opacity = np.clip(1.0 - (views[1] - views[0]).mean(axis=-1, keepdims=True), 0.0, 1.0)
        color = np.clip(views[0] / np.maximum(opacity, 1e-3), 0.0, 1.0) ** (1.0 / 2.2)
        return (255.0 * np.concatenate((color, opacity), axis=-1) + 0.5).astype(np.uint8)

    def _calibrate(self, target: Sequence[float]) -> None:
        """Give the background the colour of the lit floor, so that no horizon shows."""
        empty = (target[0] + 0.8 * _MARGIN, target[1] + 0.02, 0.0)
        frame = self._lighting.lamp(empty, self._draw)
        self._lighting.set_background((frame[len(frame) // 2, frame.shape[1] // 2] / 255.0).tolist())
        self._is_calibrated = True

    def _groups(self) -> Mapping[str, Any]:
        return self._sim.vis_marker_registry.get_groups()

    def _lay_floor(self, visible: bool) -> None:
        import warp as wp

        low, high = self._origins.min(axis=0) - _MARGIN, self._origins.max(axis=0) + _MARGIN
        corners = [(low[0], low[1], 0.0), (high[0], low[1], 0.0), (high[0], high[1], 0.0), (low[0], high[1], 0.0)]
        device = self._gl.device
        self._gl.log_mesh(
            _FLOOR,
            wp.array(np.array(corners, dtype=np.float32), dtype=wp.vec3, device=device),
            wp.array(np.array((0, 1, 2, 0, 2, 3), dtype=np.int32), dtype=wp.int32, device=device),
            wp.array(np.tile(np.array((0.0, 0.0, 1.0), dtype=np.float32), (4, 1)), dtype=wp.vec3, device=device),
            color=FLOOR_COLOR,
            roughness=1.0,
            metallic=0.0,
            hidden=not visible,
        )


def color_bands(model: Any, colors: Mapping[int, Sequence[int]]) -> None:
    """Give the coloured band of each shown environment's robots the colour of its policy.

    Args:
        model: Newton's model, from which its viewers take colours.
        colors: Colour by index of the environment, 0 to 255.
    """
    if model.shape_color is None:
        return
    shades, worlds = model.shape_color.numpy(), model.shape_world.numpy()
    for shape, label in enumerate(model.shape_label):
        if str(label).endswith(f"look_{BAND}") and int(worlds[shape]) in colors:
            shades[shape] = np.asarray(colors[int(worlds[shape])]) / 255.0
    model.shape_color.assign(shades)


def _state(group: Any) -> dict[str, Any]:
    """Return a copy of what a group of markers shows."""
    values = {field: getattr(group, field, None) for field in _MARKER_FIELDS}
    return {field: value.clone() if isinstance(value, torch.Tensor) else value for field, value in values.items()}


def _restore(groups: Mapping[str, Any], moment: Moment) -> None:
    """Have groups of markers show what they showed."""
    for name, state in moment.markers.items():
        if name in groups:
            for field, value in state.items():
                setattr(groups[name], field, value)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures and videos of environments, off-screen and without a GPU, through Isaac Lab's Newton GL viewer.

Environments are rendered one by one and put side by side with a caption each. Isaac Lab's own recorder films one camera
and cannot do that, so frames go to ffmpeg directly.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpo_lab.viewing.captions import Scoreboard
from cpo_rl.contracts import Environment, EnvironmentSettings
from cpo_rl.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from cpo_rl.algorithms.episodes import CountedStep


PICTURES = (".png", ".jpg", ".jpeg")
"""Endings of picture files."""

VIDEOS = (".mp4",)
"""Endings of video files."""

_APART = 6.0
"""Distance between environments [m] that keeps neighbors out of each other's pictures."""

_MAX_RATE = 30.0
"""Most frames per second of a video."""

_OBJECT_COLOR = (0.85, 0.33, 0.10)
"""Color of an object that has none, which tells it from the hand."""

_NO_FIELD = object()


def check_renderer(argument: str, *, video: bool) -> None:
    """Check that this machine can render, before anything is simulated for it.

    Args:
        argument: What asked for it, for the message.
        video: Whether frames are to become a video.

    Raises:
        UserError: If a library is missing.
    """
    if sys.platform == "linux" and ctypes.util.find_library("EGL") is None:
        raise UserError(f"{argument} needs off-screen OpenGL, which is missing; cpo-lab doctor says what to install.")
    if video and not importlib.util.find_spec("imageio_ffmpeg"):
        raise UserError(f'{argument} needs imageio-ffmpeg; install it with pip install -e ".[video]" in the project.')


class Studio:
    """Sets up a viewer in a configuration, then takes a picture or a video of some environments side by side.

    Args:
        picture: File of the picture of the last step, or None.
        video: File of the video of all steps, or None.
        size: Width and height of the output [pixels].
        board: What to write onto each environment that is shown.
    """

    def __init__(self, picture: Path | None, video: Path | None, size: tuple[int, int], board: Scoreboard) -> None:
        self.picture, self.video, self.board = picture, video, board
        count = len(board.names)
        self.columns = math.ceil(math.sqrt(count))
        self.rows = math.ceil(count / self.columns)
        # even numbers, as the video format demands
        self.tile = tuple(
            max(pixels // count // 2 * 2, 16) for pixels, count in zip(size, (self.columns, self.rows), strict=True)
        )
        self._stride = 1
        self._rate = _MAX_RATE
        self._writer: Any = None
        self._temporary: Path | None = None

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be rendered."""
        return self.picture is not None or self.video is not None

    def configure(self, env_cfg: Any) -> None:
        """Add the viewer to an environment's configuration, before the simulator starts; changes the configuration."""
        if not self.is_needed:
            return
        from isaaclab_visualizers.newton import NewtonGLVisualizerCfg

        # with a display the viewer would open a window; the choice is made when it is first imported
        os.environ.pop("DISPLAY", None)
        env_cfg.scene.env_spacing = max(env_cfg.scene.env_spacing, _APART)
        env_cfg.sim.visualizer_cfgs = [
            NewtonGLVisualizerCfg(
                window_width=self.tile[0],
                window_height=self.tile[1],
                headless=True,
                focal_length=22.0,
                visible_env_indices=list(self.board.names),
                streaming_view=False,
                enable_live_plots=False,
            )
        ]
        object_cfg = EnvironmentSettings(env_cfg).object_cfg
        if object_cfg is not None and vars(object_cfg.spawn).get("visual_material", _NO_FIELD) is None:
            from isaaclab.sim import PreviewSurfaceCfg

            object_cfg.spawn.visual_material = PreviewSurfaceCfg(diffuse_color=_OBJECT_COLOR)
        rate = 1.0 / (env_cfg.sim.dt * env_cfg.decimation)
        self._stride = max(round(rate / _MAX_RATE), 1)
        self._rate = rate / self._stride

    def after_step(self, env: Any, count: int, counted: CountedStep) -> None:
        """Film the state after ``count`` environment steps, the last of which is ``counted``, on a frame's turn."""
        if self.is_needed:
            self.board.step(counted, Environment(env).step_dt)
        if self.video is None or count % self._stride:
            return
        frame = self.render(env)
        if self._writer is None:
            import imageio_ffmpeg

            self._temporary = self.video.with_name(f".{self.video.stem}.{os.getpid()}.mp4")
            self._writer = imageio_ffmpeg.write_frames(
                str(self._temporary), (frame.shape[1], frame.shape[0]), fps=self._rate, macro_block_size=2, quality=7
            )
            self._writer.send(None)
        self._writer.send(frame.tobytes())

    def finish(self, env: Any) -> list[Path]:
        """Take the picture and complete the video.

        Returns:
            The files that were written.

        Raises:
            UserError: If the video has no frame.
        """
        written = []
        if self.picture is not None:
            from PIL import Image

            temporary = self.picture.with_name(f".{self.picture.stem}.{os.getpid()}{self.picture.suffix}")
            Image.fromarray(self.render(env)).save(temporary, optimize=True)
            temporary.replace(self.picture)
            written.append(self.picture)
        if self.video is not None:
            if self._writer is None or self._temporary is None:
                raise UserError(f"--video needs at least {self._stride} steps for one frame; give more --steps.")
            self._writer.close()
            self._temporary.replace(self.video)
            written.append(self.video)
        return written

    def discard(self) -> None:
        """Remove what an unfinished video left behind."""
        if self._writer is not None:
            self._writer.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def render(self, env: Any) -> np.ndarray:
        """Return the shown environments side by side.

        Args:
            env: The running environment.

        Returns:
            RGB image, uint8 [rows * tile height, columns * tile width, 3].
        """
        import numpy as np

        sim = env.unwrapped.sim
        if not sim.is_rendering:  # then nobody else has brought the scene up to date
            sim.forward()
            sim.vis_marker_registry.dispatch_callbacks()
        viewer = sim.visualizers[0]
        width, height = self.tile
        image = np.full((self.rows * height, self.columns * width, 3), 255, dtype=np.uint8)
        eye, target = _camera(env.unwrapped.cfg)
        for place, index in enumerate(self.board.names):
            origin = env.unwrapped.scene.env_origins[index].tolist()
            viewer.set_camera_view(_plus(origin, eye), _plus(origin, target))
            row, column = divmod(place, self.columns)
            frame = self.board.draw(index, viewer.render_rgb_array())
            image[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame[:height, :width]
        return image


def _camera(cfg: Any) -> tuple[list[float], list[float]]:
    """Return where the camera stands and looks, relative to an environment [m].

    A task says it with the fields ``camera_eye`` and ``camera_lookat``; without them the camera looks at the start of
    the object, from above and in front of the fingers.
    """
    settings = EnvironmentSettings(cfg)
    start = [0.0, 0.0, 0.5] if settings.object_cfg is None else settings.object_cfg.init_state.pos
    target = list(settings.camera_lookat or start)
    return list(settings.camera_eye or _plus(target, [0.16, -0.24, 0.26])), target


def _plus(a: list[float], b: list[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]

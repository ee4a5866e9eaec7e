# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Pictures and videos of environments, off-screen and without a GPU, through Isaac Lab's Newton GL viewer.

A rollout is remembered step by step and drawn when it is over: only then is it known which moment is worth a picture.
Environments are drawn one by one and put side by side with a caption each. Isaac Lab's own recorder films one camera
and cannot do that.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cpo_lab.viewing.camera import Camera, camera_of
from cpo_lab.viewing.captions import Scoreboard, draw_caption
from cpo_lab.viewing.files import write_picture, write_video
from cpo_lab.viewing.film import Film, Shot
from cpo_rl.contracts import Environment
from cpo_rl.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from cpo_rl.algorithms.episodes import CountedStep


_APART = 30.0
"""Distance between environments [m] that keeps neighbors out of each other's pictures."""

_MAX_RATE = {".mp4": 30.0, ".gif": 15.0, ".webp": 15.0}
"""Most frames per second of a video, by ending."""

_GAP = 2
"""Pixels between environments."""


def check_renderer(argument: str, file: Path) -> None:
    """Check that this machine can render, before anything is simulated for it.

    Args:
        argument: What asked for it, for the message.
        file: What is to be written.

    Raises:
        UserError: If a library is missing.
    """
    if sys.platform == "linux" and ctypes.util.find_library("EGL") is None:
        raise UserError(f"{argument} needs off-screen OpenGL, which is missing; cpo-lab doctor says what to install.")
    if file.suffix.lower() == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise UserError(f'{argument} needs imageio-ffmpeg; install it with pip install -e ".[video]" in the project.')


@dataclass(frozen=True)
class Shoot:
    """What to make of a rollout, and how."""

    picture: Path | None = None
    """File of the picture, or None."""
    video: Path | None = None
    """File of the video, or None."""
    size: tuple[int, int] = (1280, 720)
    """Width and height [pixels]."""
    camera: str | Camera = "close"
    """Where the camera stands, see :func:`cpo_lab.viewing.camera.read_camera`."""
    background: Literal["floor", "plain", "transparent"] = "floor"
    """What is behind: a floor with shadows, one colour, or nothing."""
    moment: Literal["best", "last"] = "best"
    """Which moment a picture shows, of each environment its own best one or the last of all."""
    seconds: float | None = None
    """Length of the video, whose best part it is [s]; None for all steps."""
    light: int | None = None
    """Frames that a picture is the mean of; None is 32 for pictures and 4 for videos."""
    captions: bool = True
    """Whether names and numbers are written."""


class Studio:
    """Sets up a viewer in a configuration, remembers a rollout, and makes a picture or a video of it.

    Args:
        shoot: What to make.
        board: What to write onto each environment that is shown.
    """

    def __init__(self, shoot: Shoot, board: Scoreboard) -> None:
        self.shoot, self.board = shoot, board
        self.film = Film(list(board.names))
        count = len(board.names)
        self.columns = math.ceil(math.sqrt(count))
        self.rows = math.ceil(count / self.columns)
        # even numbers, as the video format demands
        self.tile = tuple(
            max((pixels - _GAP * (count - 1)) // count // 2 * 2, 16)
            for pixels, count in zip(shoot.size, (self.columns, self.rows), strict=True)
        )
        self._step_dt = 1.0 / 30.0
        self._view: Any = None

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be rendered."""
        return self.shoot.picture is not None or self.shoot.video is not None

    def configure(self, env_cfg: Any) -> None:
        """Add the viewer to an environment's configuration, before the simulator starts; changes the configuration."""
        if not self.is_needed:
            return
        from isaaclab_visualizers.newton import NewtonGLVisualizerCfg

        from cpo_lab.assets.look.dress import dress

        # with a display the viewer would open a window; the choice is made when it is first imported
        os.environ.pop("DISPLAY", None)
        dress(env_cfg.scene)
        env_cfg.scene.env_spacing = max(env_cfg.scene.env_spacing, _APART)
        env_cfg.sim.visualizer_cfgs = [
            NewtonGLVisualizerCfg(
                window_width=self.tile[0],
                window_height=self.tile[1],
                headless=True,
                visible_env_indices=list(self.board.names),
                background_color=(1.0, 1.0, 1.0),
                streaming_view=False,
                enable_live_plots=False,
            )
        ]
        self._step_dt = env_cfg.sim.dt * env_cfg.decimation

    def after_step(self, env: Any, counted: CountedStep) -> None:
        """Remember the state after a step."""
        if not self.is_needed:
            return
        self.board.step(counted, Environment(env).step_dt)
        if self._view is None:
            self._view = self.open_view(env)
        self.film.add(self._view.moment(), {index: self.board.caption(index) for index in self.board.names}, counted)

    def open_view(self, env: Any) -> Any:
        """Return what draws moments of a running environment."""
        from cpo_lab.viewing.newton_view import NewtonView

        light = self.shoot.light or (32 if self.shoot.video is None else 4)
        reach = 0.55 * camera_of(env.unwrapped.cfg, self.shoot.camera).distance
        return NewtonView(env, self.board.colors, self.shoot.background, light, reach)

    def finish(self, env: Any) -> list[Path]:
        """Draw and write what was asked for.

        Returns:
            The files that were written.

        Raises:
            UserError: If the video has no frame.
        """
        if not self.is_needed:
            return []
        shoot, written = self.shoot, []
        if shoot.picture is not None:
            last = self.film.shots[-1]
            shots = {index: self.film.best(index) if shoot.moment == "best" else last for index in self.board.names}
            write_picture(shoot.picture, self.render(env, shots))
            written.append(shoot.picture)
        if shoot.video is not None:
            stride = max(round(1.0 / (self._step_dt * _MAX_RATE[shoot.video.suffix.lower()])), 1)
            if len(self.film.shots) < stride:
                raise UserError(f"--video needs at least {stride} steps for one frame; give more --steps.")
            write_video(shoot.video, self._frames(env, stride), 1.0 / (self._step_dt * stride))
            written.append(shoot.video)
        return written

    def _frames(self, env: Any, stride: int) -> Iterator[np.ndarray]:
        """Draw the video's frames, every ``stride`` steps."""
        shots = self.film.shots
        if self.shoot.seconds is not None:
            shots = self.film.best_part(max(round(self.shoot.seconds / self._step_dt), stride))
        for shot in shots[stride - 1 :: stride]:
            yield self.render(env, dict.fromkeys(self.board.names, shot))

    def render(self, env: Any, shots: Mapping[int, Shot]) -> np.ndarray:
        """Return the shown environments side by side, each at its shot.

        Args:
            env: The running environment.
            shots: What to show of each environment, by index.

        Returns:
            Picture, uint8 [height, width, 3], with a fourth channel (opacity) if the background is transparent.
        """
        import numpy as np

        width, height = self.tile
        camera = camera_of(env.unwrapped.cfg, self.shoot.camera)
        channels = 4 if self.shoot.background == "transparent" else 3
        across, down = (max(pixels // 2 * 2, 16) for pixels in self.shoot.size)
        image = np.full((max(down, height), max(across, width), channels), 255, dtype=np.uint8)
        image[..., 3:] = 0
        for place, index in enumerate(self.board.names):
            origin = env.unwrapped.scene.env_origins[index].tolist()
            eye, target = ([a + b for a, b in zip(origin, point, strict=True)] for point in (camera.eye, camera.target))
            frame = self._view.picture(shots[index].moment, eye, target)
            if self.shoot.captions:
                frame = draw_caption(frame, shots[index].captions[index])
            row, column = divmod(place, self.columns)
            top, left = row * (height + _GAP), column * (width + _GAP)
            image[top : top + height, left : left + width] = frame[:height, :width]
        return image

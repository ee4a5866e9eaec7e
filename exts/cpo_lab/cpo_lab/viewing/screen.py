# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What of a command is shown and filmed, and what Isaac Lab's launcher is told for it; checked before the start."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cpo_lab.viewing.pictures import check_renderer
from cpo_lab.viewing.viewers import check_together, configure_viewers, viewers_of
from cpo_rl.errors import UserError

_OF_KIT = ("experience", "kit_args", "deterministic")
"""Options that Isaac Sim's app reads."""

_FILMED = 4
"""Environments in a film."""

_APP = ("isaacsim_physx", "physx")
"""Engines that may start Isaac Sim's app."""


@dataclass
class Screen:
    """Viewers and films of a command, from :func:`screen_of`."""

    viewers: list[str] = field(default_factory=list)
    """Viewers to open."""

    host: str | None = None
    """Address that those in a browser listen on; None for this machine only."""

    launcher: dict[str, Any] = field(default_factory=dict)
    """What Isaac Lab's launcher is told besides."""

    video: dict[str, int] | None = None
    """Fields of Isaac Lab's ``VideoRecorderCfg`` if training is filmed."""

    @property
    def shows(self) -> bool:
        """Whether anything is drawn."""
        return bool(self.viewers) or self.video is not None

    def give(self, env_cfg: Any, physics: str | None) -> None:
        """Check against the engine and put viewers into an environment's configuration.

        Args:
            env_cfg: Settings of the environment; changed in place.
            physics: Name of the engine.

        Raises:
            UserError: If they do not go together, or an option has no effect.
        """
        check_together(self.viewers, physics)
        if "kit" not in self.viewers and physics not in _APP:
            unread = next((name for name in _OF_KIT if name in self.launcher), None)
            if unread is not None:
                raise UserError(
                    f"--{unread} is for Isaac Sim's app, which nothing here starts; add --viz kit or "
                    "physics=isaacsim_physx, or leave it out."
                )
        configure_viewers(env_cfg, self.viewers, self.host)

    def film(self, env_cfg: Any, folder: Path, num_policies: int) -> None:
        """Have the environment film itself while it trains, if that was asked for; changes its configuration.

        Args:
            env_cfg: Settings of the environment.
            folder: The run folder, in which ``videos/train/clip_0000.mp4`` and so on are written.
            num_policies: Policies; neighbours of the leader's are filmed, if no window shows others.
        """
        if self.video is None:
            return
        from isaaclab.envs.utils.video_recorder_cfg import VideoRecorderCfg
        from isaaclab_visualizers.newton import NewtonGLVisualizerCfg

        if "newton_gl" not in self.viewers:
            num_envs = env_cfg.scene.num_envs
            first = (num_policies - 1) * (num_envs // num_policies)  # policies act in blocks, which lie far apart
            shown = list(range(first, min(first + _FILMED, num_envs)))
            os.environ.pop("DISPLAY", None)  # or the one that only films would open a window
            cfgs = env_cfg.sim.visualizer_cfgs or []
            filming = NewtonGLVisualizerCfg(
                window_width=1280, window_height=720, headless=True, visible_env_indices=shown, enable_live_plots=False
            )
            env_cfg.sim.visualizer_cfgs = [*(cfgs if isinstance(cfgs, list) else [cfgs]), filming]
        output_dir = str(folder / "videos" / "train")
        env_cfg.video_recorders = [
            VideoRecorderCfg(source="visualizer:newton_gl", output_dir=output_dir, **self.video)  # type: ignore[arg-type]
        ]

    def arguments(self, device: str | None) -> dict[str, Any]:
        """Return what Isaac Lab's ``launch_simulation`` takes.

        Args:
            device: Device of the simulation.
        """
        filming = ["newton_gl"] if self.video is not None else []
        return {"device": device, "visualizer": list(dict.fromkeys([*self.viewers, *filming])), **self.launcher}


def screen_of(args: Namespace) -> Screen:
    """Read the options of :func:`cpo_lab.cli.parser.add_screen_options`.

    Raises:
        UserError: If one is wrong, has no effect, or what it needs is missing.
    """
    viewers = viewers_of(args.viz)
    launcher = {name: value for name in (*_OF_KIT, "headless") if (value := getattr(args, name))}
    stream = _livestream() if args.livestream is None else args.livestream
    if stream:
        if find_spec("isaacsim") is None:
            raise UserError(
                "--livestream streams the viewport of Isaac Sim, which is not installed; install it with pip install "
                '-e ".[isaacsim]" in the project, or take --viz viser, which shows in a browser.'
            )
        viewers = list(dict.fromkeys([*viewers, "kit"]))
        launcher["livestream"] = stream
    if args.headless and {"newton_gl", "newton_rtx"} & set(viewers):
        raise UserError("--headless opens no window, and --viz newton_gl opens one; leave one of them out.")
    if args.max_visible_envs is not None:
        if not viewers:
            raise UserError("--max_visible_envs is for viewers; add --viz NAMES, or leave it out.")
        launcher["max_visible_envs"] = args.max_visible_envs
    experience = launcher.get("experience")
    if experience and not str(experience).endswith(".kit"):
        raise UserError(f"--experience {experience!r} must be a .kit file of Isaac Sim's.")
    return Screen(viewers, args.viz_host, launcher, _video_of(args))


def _livestream() -> int:
    """Return what the environment's variable of Isaac Lab says."""
    text = os.environ.get("LIVESTREAM") or "0"
    if text not in ("0", "1", "2"):
        raise UserError(f"The environment has LIVESTREAM={text!r}, which must be 0, 1 or 2; correct or unset it.")
    return int(text)


def _video_of(args: Namespace) -> dict[str, int] | None:
    """Return how training is filmed; None for not at all."""
    given = {name: getattr(args, name, None) for name in ("video_interval", "video_length")}
    if getattr(args, "video", None) is not True:  # cpo-lab play films by itself, into a file
        unread = next((name for name, value in given.items() if value is not None), None)
        if unread is not None:
            raise UserError(f"--{unread} is for --video; add it, or leave this out.")
        return None
    if find_spec("moviepy") is None:
        raise UserError('--video needs moviepy; install it with pip install -e ".[video]" in the project.')
    check_renderer("--video", Path("clip.mp4"))
    video = {"video_interval": 2000, "video_length": 200, **{n: v for n, v in given.items() if v is not None}}
    if video["video_interval"] < video["video_length"]:
        raise UserError(
            f"--video_interval {video['video_interval']} is less than --video_length {video['video_length']}: films "
            "would overlap; give a larger interval or a smaller length."
        )
    return video

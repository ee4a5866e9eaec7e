# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Viewers that are asked for with ``--viz``: checked before anything starts, and served to this machine only."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

from cpo_rl.errors import UserError, suggestion

VIEWERS = {"kit": "isaacsim", "newton_gl": "pyglet", "newton_rtx": "ovrtx", "rerun": "rerun", "viser": "viser"}
"""Module that each viewer needs."""

EXTRAS = {"kit": "isaacsim", "rerun": "rerun", "viser": "viser"}
"""Extra of this project that brings it."""

_STOCK, _OURS = "isaaclab.envs.ui", "cpo_lab.ui.env_window"

WINDOWS = {
    f"{_STOCK}.base_env_window:BaseEnvWindow": f"{_OURS}:EnsembleWindow",
    f"{_STOCK}.manager_based_rl_env_window:ManagerBasedRLEnvWindow": f"{_OURS}:ManagerEnsembleWindow",
}
"""Window of an environment in Kit that has a part for the ensemble, by the one of Isaac Lab that it extends."""

LOCAL = "127.0.0.1"
"""Where viewers in a browser are served unless asked otherwise: to this machine."""


def viewers_of(names: str | None) -> list[str]:
    """Return the viewers that a value of ``--viz`` names, each once, after checking that they can be had.

    Args:
        names: Names with commas between them; None or ``none`` for no viewer.

    Raises:
        UserError: If a name is unknown, or what it needs is missing.
    """
    if names is None or names.strip().lower() == "none":
        return []
    chosen = []
    for word in names.split(","):
        name = {"newton": "newton_gl"}.get(word.strip().lower(), word.strip().lower())
        if name not in VIEWERS:
            raise UserError(f"--viz {word.strip()!r} is no viewer; {suggestion(name, VIEWERS)}")
        if find_spec(VIEWERS[name]) is None:
            raise UserError(f"--viz {name} needs {VIEWERS[name]}, which is not installed; {_install(name)}.")
        chosen.append(name)
    if "newton_gl" in chosen and sys.platform == "linux" and not _has_display():
        raise UserError(
            "--viz newton_gl opens a window, but there is no display; take --viz viser, which shows in a browser, or "
            "play with --video or --picture."
        )
    return list(dict.fromkeys(chosen))


def check_together(viewers: list[str], physics: str | None) -> None:
    """Refuse viewers that do not go with the engine, or with each other: Kit wants the process for itself.

    Args:
        viewers: Names from :func:`viewers_of`.
        physics: Name of the engine.

    Raises:
        UserError: If they cannot share a process.
    """
    if "kit" in viewers and physics == "ovphysx":
        raise UserError(
            "--viz kit does not go with physics ovphysx, which runs without Isaac Sim; add --physics isaacsim_physx or "
            "newton_mjwarp, or take newton_gl, viser or rerun."
        )
    if {"kit", "newton_rtx"} <= set(viewers):
        raise UserError("--viz kit and newton_rtx cannot share a process; leave one of them out.")


def configure_viewers(env_cfg: Any, viewers: list[str], host: str | None = None) -> None:
    """Give an environment's configuration the viewers that are served in a browser, bound to one address.

    Isaac Lab's own would listen on all interfaces of the machine. In Kit the environment's window becomes ours.

    Args:
        env_cfg: Settings of the environment; changed in place.
        viewers: Names from :func:`viewers_of`.
        host: Address; None for this machine only.
    """
    from isaaclab_visualizers.rerun import RerunVisualizerCfg
    from isaaclab_visualizers.viser import ViserVisualizerCfg

    made = {"viser": ViserVisualizerCfg, "rerun": RerunVisualizerCfg}
    cfgs = env_cfg.sim.visualizer_cfgs or []
    kept = [cfg for cfg in (cfgs if isinstance(cfgs, list) else [cfgs]) if cfg.visualizer_type not in made]
    if "kit" in viewers:
        env_cfg.ui_window_class_type = WINDOWS.get(str(env_cfg.ui_window_class_type), env_cfg.ui_window_class_type)
    new = [made[name](bind_address=host or LOCAL) for name in viewers if name in made]
    if new:
        env_cfg.sim.visualizer_cfgs = [*kept, *new]


def _install(name: str) -> str:
    if name in EXTRAS:
        return f'install it with pip install -e ".[{EXTRAS[name]}]" in the project'
    return "choose another viewer, such as viser"


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

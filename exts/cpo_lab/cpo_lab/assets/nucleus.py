# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""NVIDIA's robots in place of our generated ones: ``presets=nucleus_assets``.

The files are NVIDIA's and stay on NVIDIA's server, or under ``ISAACSIM_ASSET_ROOT``. Their configurations, gains
included, are those of ``isaaclab_assets``; only the pose differs where the task needs it.
"""

from __future__ import annotations

from typing import Any

from isaaclab.assets import ArticulationCfg
from isaaclab.utils import configclass, replace
from isaaclab_assets.robots.allegro import ALLEGRO_HAND_CFG
from isaaclab_assets.robots.shadow_hand import SHADOW_HAND_PHYSX_CFG, TENDON_POSITION_LIMITS
from isaaclab_newton.physics import NewtonCfg
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.physics.changed_targets import CLASS_TYPE

BUILTIN, NUCLEUS = "builtin", "nucleus"
"""Values of :class:`AssetChoiceCfg`."""

SHADOW_HAND_POSITION = (0.0, -0.043, 0.48)
"""Root of NVIDIA's Shadow Hand [m]: the joints of palm, fingers and thumb are then where ours are, within 2 mm."""

TENDON_RANGE = TENDON_POSITION_LIMITS
"""Range of a tendon motor of NVIDIA's Shadow Hand [rad]: the sum of a finger's two outer joints."""

MIRRORED = ("rh_FFJ4", "rh_MFJ4", "rh_THJ2", "rh_THJ1")
"""Joints of NVIDIA's Shadow Hand that turn the other way round than the reference's."""


@configclass
class AssetChoiceCfg(PresetCfg):
    """Remembers whether NVIDIA's robots were asked for: resolves to ``builtin`` or ``nucleus``."""

    nucleus_assets: str = NUCLEUS
    default: str = BUILTIN


def nucleus_joint(name: str) -> str:
    """Return what NVIDIA's Shadow Hand calls a joint of the reference: it counts from 1, ``FFJ0`` is ``rh_FFJ1``."""
    return f"rh_{name[:-1]}{int(name[-1]) + 1}"


def nucleus_shadow_hand_cfg() -> ArticulationCfg:
    """Return NVIDIA's Shadow Hand where our hand is, with the asset's own joint motors and tendon motors."""
    return replace(
        SHADOW_HAND_PHYSX_CFG,
        class_type=CLASS_TYPE,
        prim_path="{ENV_REGEX_NS}/Robot",
        init_state=replace(SHADOW_HAND_PHYSX_CFG.init_state, pos=SHADOW_HAND_POSITION),
    )


def nucleus_allegro_hand_cfg() -> ArticulationCfg:
    """Return NVIDIA's Allegro Hand, whose pose is the reference's."""
    return replace(ALLEGRO_HAND_CFG, class_type=CLASS_TYPE, prim_path="{ENV_REGEX_NS}/Robot")


def fit_variant(robot: ArticulationCfg, physics: Any) -> list[str]:
    """Choose between a file's descriptions for PhysX and for MuJoCo, if it holds both.

    Args:
        robot: The robot; changed in place.
        physics: Configuration of the engine that will run.

    Returns:
        One line if something was changed.
    """
    variants = robot.spawn.variants or {}
    wanted = "mujoco" if isinstance(physics, NewtonCfg) else "physx"
    if variants.get("Physics", wanted) == wanted:
        return []
    robot.spawn.variants = {**variants, "Physics": wanted}
    return [f"robot: its file's variant Physics={wanted}, which suits the engine"]

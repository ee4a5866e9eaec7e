# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Checks of the arm tasks' settings, before anything is allocated."""

from __future__ import annotations

from typing import Any

from cpo_lab.assets.allegro_hand_table import FINGERTIP_LINKS
from cpo_lab.assets.cuboids import object_shapes
from cpo_lab.assets.kuka_allegro_table import JOINT_NAMES, PALM_LINK
from cpo_lab.tasks.arms.layout import KEYPOINTS
from cpo_lab.tasks.robot_file import check_robot
from cpo_rl.errors import UserError


def check(cfg: Any) -> None:
    """Raise :class:`UserError` for the first setting of an arm task that cannot work."""
    if cfg.num_objects < 0:
        raise UserError(f"num_objects must be 0 (all) or a positive number, not {cfg.num_objects}.")
    object_shapes(cfg.object_set, cfg.num_objects or None)
    if cfg.keypoints not in KEYPOINTS:
        raise UserError(f"keypoints must be one of {', '.join(KEYPOINTS)}, not '{cfg.keypoints}'.")
    if cfg.arm_control not in ("integrated", "absolute"):
        raise UserError(f"arm_control must be 'integrated' or 'absolute', not '{cfg.arm_control}'.")
    for name in ("episode_length", "success_steps", "tolerance_interval"):
        if getattr(cfg, name) < 1:
            raise UserError(f"{name} must be at least 1, not {getattr(cfg, name)}.")
    for name in (
        "initial_tolerance",
        "target_tolerance",
        "keypoint_scale",
        "force_decay_interval",
        "lifting_threshold",
    ):
        if not getattr(cfg, name) > 0.0:
            raise UserError(f"{name} must be positive, not {getattr(cfg, name)}.")
    if not 0.0 < cfg.tolerance_factor <= 1.0:
        raise UserError(f"tolerance_factor must lie above 0 and at most at 1, not {cfg.tolerance_factor}.")
    low, high = cfg.force_probability
    if not 0.0 < low <= high <= 1.0:
        raise UserError(
            f"force_probability must be two ascending numbers above 0 and up to 1, not {cfg.force_probability}."
        )
    if any(a > b for a, b in zip(cfg.goal_low, cfg.goal_high, strict=True)):
        raise UserError(f"goal_low must not exceed goal_high, but they are {cfg.goal_low} and {cfg.goal_high}.")


def check_robots(cfg: Any) -> None:
    """Raise :class:`UserError` if an arm's file lacks a joint or link that the task names."""
    for name in ("robot", "robot_2")[: cfg.num_arms]:
        check_robot(f"env.scene.{name}", getattr(cfg.scene, name), JOINT_NAMES, (PALM_LINK, *FINGERTIP_LINKS))

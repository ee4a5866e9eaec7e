# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which settings of the arm tasks do not go together, and which have no effect beside others."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets.allegro import GAINS
from cpo_lab.assets.allegro_hand_table import FINGERTIP_LINKS
from cpo_lab.assets.cache import is_generated
from cpo_lab.assets.cuboids import object_shapes
from cpo_lab.assets.kuka_allegro_table import JOINT_NAMES, PALM_LINK
from cpo_lab.physics.presets import FOLLOW_DEVICE
from cpo_lab.tasks.robot_file import check_robot
from cpo_lab.tasks.settings import refuse_changed
from cpo_rl.errors import UserError

if TYPE_CHECKING:
    from isaaclab.assets import ArticulationCfg

    from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg, GoalBoxEnvCfg

ROBOTS = ("robot", "robot_2")
"""Names of the arms in the scene."""

_SPAWNERS = {
    "object": ("func", "spawn_path", "spawn_paths", "assets_cfg", "contact_offset", "color"),
    "ground": ("func", "spawn_path", "width"),
}
"""Fields that our own spawners read or Isaac Lab fills in; they ignore the others that they inherit."""


def our_robots(cfg: AllegroKukaEnvCfg) -> list[ArticulationCfg]:
    """Return those of the scene's arms whose file is ours."""
    arms = [getattr(cfg.scene, name) for name in ROBOTS[: cfg.num_arms]]
    return [arm for arm in arms if is_generated(arm.spawn.usd_path)]


def check_combinations(cfg: AllegroKukaEnvCfg) -> None:
    """Refuse settings that contradict others or have no effect beside them.

    Raises:
        UserError: Naming the first one.
    """
    object_shapes(cfg.object_set, cfg.num_objects or None)
    low, high = cfg.force_probability
    if low > high:
        raise UserError(f"env.force_probability must be two ascending numbers, not {cfg.force_probability}.")
    if cfg.target_tolerance > cfg.initial_tolerance:
        raise UserError(
            f"env.target_tolerance must be at most initial_tolerance={cfg.initial_tolerance:g}, not "
            f"{cfg.target_tolerance:g}; equal ones switch the curriculum off."
        )
    if cfg.target_tolerance == cfg.initial_tolerance:
        names = ["tolerance_factor", "tolerance_interval", "tolerance_successes"]
        refuse_changed(cfg, names, "without a curriculum, that is with equal initial_tolerance and target_tolerance")
    if cfg.force_scale == 0.0:
        refuse_changed(cfg, ["force_probability", "force_decay", "force_decay_interval"], "with force_scale=0")
    if cfg.arm_control == "absolute":
        refuse_changed(cfg, ["arm_speed"], "with arm_control=absolute")
    if cfg.keypoints == "center":
        refuse_changed(cfg, ["goal_rotation"], "with keypoints=center, which makes goals places")
    if not our_robots(cfg):
        refuse_changed(cfg, ["self_collision"], "on an arm that is not ours, whose file decides")
    if cfg.presets_are_chosen() and cfg.physics_choice != FOLLOW_DEVICE:
        check_finger_gains(cfg)


def check_finger_gains(cfg: AllegroKukaEnvCfg) -> None:
    """Refuse gains for Newton on another engine, and beside gains that were given to the motors themselves.

    Raises:
        UserError: If they were changed.
    """
    if not isinstance(cfg.sim.physics, NewtonCfg):
        refuse_changed(cfg, ["newton_finger_gains"], "on this engine")
    elif not any(has_our_gains(cfg, name) for name in ROBOTS[: cfg.num_arms]):
        refuse_changed(cfg, ["newton_finger_gains"], "beside stiffness and damping of scene.robot.actuators.hand")


def has_our_gains(cfg: AllegroKukaEnvCfg, robot: str) -> bool:
    """Whether the fingers of one of the scene's robots have the gains of our table, which Newton's may replace."""
    fingers = getattr(cfg.scene, robot).actuators["hand"]
    ours = (GAINS["stiffness"], GAINS["damping"]), tuple(cfg.newton_finger_gains)
    return (fingers.stiffness, fingers.damping) in ours


def check_box(cfg: GoalBoxEnvCfg) -> None:
    """Refuse a box of goals whose lower corner is not below the upper one.

    Raises:
        UserError: Naming both.
    """
    if any(low > high for low, high in zip(cfg.goal_low, cfg.goal_high, strict=True)):
        raise UserError(f"env.goal_low must not exceed goal_high, but they are {cfg.goal_low} and {cfg.goal_high}.")


def check_scene(cfg: AllegroKukaEnvCfg) -> None:
    """Refuse settings of the cuboids and of the ground that their spawners do not read.

    Raises:
        UserError: Naming the first one.
    """
    for name, read in _SPAWNERS.items():
        spawn = getattr(cfg.scene, name).spawn
        ignored = [each.name for each in fields(spawn) if each.name not in read]
        refuse_changed(spawn, ignored, "on what this project spawns itself", f"scene.{name}.spawn.")
    shapes = cfg.scene.object.spawn.assets_cfg
    if shapes and list(shapes) != list(object_shapes(cfg.object_set, cfg.num_objects or None)):
        raise UserError("env.scene.object.spawn.assets_cfg follows from object_set and num_objects; leave it out.")


def check_robots(cfg: AllegroKukaEnvCfg) -> None:
    """Refuse an arm whose file lacks a joint or link that the task names.

    Raises:
        UserError: Naming it.
    """
    for name in ROBOTS[: cfg.num_arms]:
        check_robot(f"env.scene.{name}", getattr(cfg.scene, name), JOINT_NAMES, (PALM_LINK, *FINGERTIP_LINKS))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What drives real arms by a trained policy: sensors, how an action becomes a target, and the rules' memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.assets.allegro_hand_table import FINGERTIP_LINKS, FINGERTIP_OFFSETS
from cpo_lab.assets.cuboids import BASE_EDGE
from cpo_lab.assets.kuka_allegro_table import ARM_JOINT_NAMES, JOINT_NAMES, PALM_CENTER_OFFSET, PALM_LINK
from cpo_lab.tasks.arms.layout import KEYPOINTS
from cpo_lab.tasks.arms.validation import ROBOTS
from cpo_lab.tasks.deployment import POSE, VELOCITY, described_layout, each_of, robot_facts, sensor
from cpo_lab.tasks.layout import ObservationTerm

_TIP_NAMES = tuple(link.partition("_")[0] for link in FINGERTIP_LINKS)


def deployment(
    settings: Mapping[str, Any], layout: Sequence[ObservationTerm], state: Mapping[str, Any], num_arms: int
) -> dict[str, Any]:
    """Describe how arms are driven.

    Args:
        settings: The task's settings as plain values.
        layout: Terms of its observation.
        state: What the environment kept in the checkpoint: the curriculum's ``tolerance``.
        num_arms: 1 or 2.

    Returns:
        Entries of ``policy.json``: ``observation_layout``, ``sensors``, ``robot``, ``action``, ``rules``.

    Raises:
        UserError: If the limits of the arms' joints cannot be found.
    """
    names = ROBOTS[:num_arms]
    robot = robot_facts({name: settings["scene"][name] for name in names}, JOINT_NAMES, ())
    # as hard as training had become; a checkpoint that does not say is taken for a finished curriculum
    tolerance = float(state.get("tolerance", settings["target_tolerance"]))
    prefixes = [f"{name}/" if num_arms > 1 else "" for name in names]
    measured = {
        "joint_position": {"kind": "joint_limits", "sensor": "joint_position"},
        "joint_velocity": {"kind": "sensor", "sensor": "joint_velocity"},
    }
    sources = {term.name: measured.get(term.name, {"kind": "computed"}) for term in layout}
    entries = _entries(robot["joints"], prefixes, KEYPOINTS[settings["keypoints"]])
    return {
        "observation_layout": described_layout(layout, sources, entries, float(settings["observation_clip"])),
        "sensors": _sensors(robot["joints"], prefixes),
        "robot": robot,
        "action": _action(settings, robot),
        "rules": {**_rules(settings, num_arms), "success_tolerance": tolerance},
    }


def _sensors(joints: list[str], prefixes: list[str]) -> list[dict[str, Any]]:
    palms = [f"{prefix}{PALM_LINK}" for prefix in prefixes]
    tips = [f"{prefix}{link}" for prefix in prefixes for link in FINGERTIP_LINKS]
    frame = "in the task's frame"
    return [
        sensor("joint_position", joints, "rad", "joint angles"),
        sensor("joint_velocity", joints, "rad/s", "joint velocities"),
        sensor("palm_link_pose", each_of(palms, POSE), "m, 1", f"last arm link: pose xyzw {frame}"),
        sensor(
            "palm_link_velocity", each_of(palms, VELOCITY), "m/s, rad/s",
            "last arm link: velocity of its centre of mass (hand included) and angular velocity",
        ),
        sensor("fingertip_link_pose", each_of(tips, POSE), "m, 1", f"distal links: pose xyzw {frame}"),
        sensor("object_pose", POSE, "m, 1", f"object: pose xyzw {frame}"),
        sensor("object_velocity", VELOCITY, "m/s, rad/s", "object: velocity of its centre and angular velocity"),
        sensor("object_size", ("x", "y", "z"), "m", "object: its three edges"),
        sensor("goal_pose", POSE, "m, 1", f"goal: pose xyzw {frame}; you choose it"),
    ]  # fmt: skip


def _entries(joints: list[str], prefixes: list[str], keypoints: Sequence[Any]) -> dict[str, Sequence[str]]:
    """Names of the entries of the terms that arm tasks have."""
    points = each_of([f"keypoint_{index}" for index in range(len(keypoints))], POSE[:3])
    tips = [f"{prefix}{tip}" for prefix in prefixes for tip in _TIP_NAMES]
    return {
        **dict.fromkeys(("joint_position", "joint_velocity"), joints),
        "palm_position": [f"{prefix}{part}" for prefix in prefixes for part in POSE[:3]],
        "palm_state": [f"{prefix}{part}" for prefix in prefixes for part in POSE[3:] + VELOCITY],
        "object_state": POSE[3:] + VELOCITY,
        "fingertips": each_of(tips, POSE[:3]),
        "keypoints_to_palm": [f"{prefix}{point}" for prefix in prefixes for point in points],
        "keypoints_to_goal": points,
        "object_scale": POSE[:3],
        "closest_fingertips": tips,
    }


def _action(settings: Mapping[str, Any], robot: Mapping[str, Any]) -> dict[str, Any]:
    """How an action becomes a target, as ``AllegroKukaEnv._pre_physics_step`` does it."""
    count, arm = len(robot["joints"]), len(ARM_JOINT_NAMES)
    arm_mode = "integrated" if settings["arm_control"] == "integrated" else "absolute"
    period = float(settings["sim"]["dt"]) * int(settings["decimation"])
    return {
        "names": robot["joints"],
        "lower": robot["lower"],
        "upper": robot["upper"],
        "sign": [1.0] * count,
        "moves": [[joint] for joint in range(count)],
        "modes": [arm_mode if joint % len(JOINT_NAMES) < arm else "absolute" for joint in range(count)],
        "smoothing": 1.0,
        "speed": float(settings["arm_speed"]),
        "step": float(settings["arm_speed"]) * period,
        "formula": [
            "a = clip(action, -1, 1)",
            "absolute: target = lower + 0.5 (a + 1) (upper - lower)",
            "integrated: target = clip(target + step a, lower, upper), step = speed [rad/s] times the control period",
        ],
        "start": "target = angle of the joint, where an episode begins",
    }


def _rules(settings: Mapping[str, Any], num_arms: int) -> dict[str, Any]:
    """Numbers of the rules whose state the policy observes (:mod:`cpo_lab.tasks.arms.progress`)."""
    return {
        "family": "arms",
        "frame": "origin on the ground in the middle of the table, Z up; robot.bases places the arms in it",
        "palm_center_offset": PALM_CENTER_OFFSET,
        "fingertip_offsets": FINGERTIP_OFFSETS * num_arms,
        "base_edge": BASE_EDGE,
        "keypoints": KEYPOINTS[settings["keypoints"]],
        "keypoint_scale": settings["keypoint_scale"],
        "success_steps": settings["success_steps"],
        "start_height": settings["scene"]["object"]["init_state"]["pos"][2],
        "lifting_threshold": settings["lifting_threshold"],
        "approach_until_lifted": settings["approach_until_lifted"],
        "replace_object": settings["replace_object"],
        "reward_weights": [
            settings["approach_scale"], settings["lifting_scale"], settings["lifting_bonus"],
            settings["keypoint_scale_reward"], settings["arm_velocity_scale"], settings["hand_velocity_scale"],
            settings["near_goal_bonus"] / settings["success_steps"],
        ],
    }  # fmt: skip

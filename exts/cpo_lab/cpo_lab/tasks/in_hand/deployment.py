# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What drives a real hand by a trained policy: sensors, how an action becomes a target, when a goal is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.tasks.deployment import POSE, ROTATION, VELOCITY, WRENCH, described_layout, each_of, robot_facts, sensor
from cpo_lab.tasks.layout import ObservationTerm

_SENSORS = {
    "joint_position": ("rad", "joint angles as the robot counts them"),
    "joint_velocity": ("rad/s", "joint velocities as the robot counts them"),
    "joint_torque": ("N m", "torques that the joints' motors apply"),
    "object_pose": ("m, 1", "object: position and orientation xyzw in the task's frame"),
    "object_linear_velocity": ("m/s", "object: velocity of its centre of mass"),
    "object_angular_velocity": ("rad/s", "object: angular velocity"),
    "goal_pose": ("m, 1", "goal: position and orientation xyzw; you choose it"),
    "fingertip_state": ("m, 1, m/s, rad/s", "distal links: pose xyzw, velocity of the mass centre, angular velocity"),
    "fingertip_wrench": ("N, N m", "distal links: force and torque that the joint transmits, axes of the link"),
}
"""Unit and meaning of the sensors that our hands have."""


def deployment(settings: Mapping[str, Any], layout: Sequence[ObservationTerm]) -> dict[str, Any]:
    """Describe how a hand is driven.

    Args:
        settings: The task's settings as plain values.
        layout: Terms of its observation.

    Returns:
        Entries of ``policy.json``: ``observation_layout``, ``sensors``, ``robot``, ``action``, ``rules``.

    Raises:
        UserError: If the limits of the hand's joints cannot be found.
    """
    names = settings["names"]
    joints, motors = list(names["joints"]), list(names["motors"])
    robot = robot_facts({"robot": settings["scene"]["robot"]}, joints, names.get("mirrored") or ())
    entries = _entries(joints, motors, list(names.get("fingertips") or ()))
    sources: dict[str, dict[str, Any]] = {
        "joint_position": {"kind": "joint_limits", "sensor": "joint_position"},
        "relative_rotation": {"kind": "computed", "of": ["object_pose", "goal_pose"]},
        "last_action": {"kind": "last_action"},
        **{term: {"kind": "zeros"} for term in ("joint_torque", "fingertip_wrench") if settings.get(term) == "zeros"},
    }
    terms = described_layout(layout, sources, entries, float(settings["observation_clip"]))
    read = [term for term in terms if term["from"]["kind"] in ("sensor", "joint_limits")]
    start = [float(value) for value in settings["scene"]["object"]["init_state"]["pos"]]
    goal = [value + float(offset) for value, offset in zip(start, settings["goal_offset"], strict=True)]
    return {
        "observation_layout": terms,
        "sensors": [
            sensor(term["name"], term["entries"], *_SENSORS.get(term["name"], (term["unit"], term["description"])))
            for term in read
        ],
        "robot": robot,
        "action": _action(settings, robot, joints, motors),
        "rules": {
            "family": "in_hand",
            "success_tolerance": settings["success_tolerance"] * (2 if settings.get("object_shape") == "pen" else 1),
            "fall_distance": settings["fall_distance"],
            "goal_position": goal,
            "frame": "origin below the hand's base as robot.bases places it, Z up",
        },
    }


def _entries(joints: list[str], motors: list[str], tips: list[str]) -> dict[str, Sequence[str]]:
    """Names of the entries of the terms that hands have."""
    return {
        **dict.fromkeys(("joint_position", "joint_velocity", "joint_torque"), joints),
        **dict.fromkeys(("object_pose", "goal_pose"), POSE),
        "object_linear_velocity": VELOCITY[:3],
        "object_angular_velocity": VELOCITY[3:],
        "relative_rotation": ROTATION,
        "fingertip_state": each_of(tips, POSE + VELOCITY),
        "fingertip_wrench": each_of(tips, WRENCH),
        "last_action": motors,
    }


def _action(
    settings: Mapping[str, Any], robot: Mapping[str, Any], joints: list[str], motors: list[str]
) -> dict[str, Any]:
    """How an action becomes a target: :class:`~cpo_lab.tasks.in_hand.hand_map.HandMap` in words and numbers."""
    tendons = settings["names"].get("tendons") or {}
    shortest, longest = settings["names"].get("tendon_range") or (0.0, 0.0)
    facts: dict[str, list[Any]] = {"lower": [], "upper": [], "sign": [], "moves": []}
    for motor in motors:
        moved = [joints.index(joint) for joint in tendons.get(motor, [motor])]
        sign = 1.0 if motor in tendons else robot["sign"][moved[0]]
        ends = sorted(sign * robot[side][moved[0]] for side in ("lower", "upper"))
        low, high = (shortest, longest) if motor in tendons else ends
        for name, value in zip(facts, (low, high, sign, moved), strict=True):
            facts[name].append(value)
    smoothing = float(settings["action_smoothing"])
    return {
        "names": motors,
        **facts,
        "modes": ["absolute"] * len(motors),
        "smoothing": smoothing,
        "step": 0.0,
        "formula": [
            "a = clip(action, -1, 1)",
            "new = lower + 0.5 (a + 1) (upper - lower)",
            "target = target + smoothing (new - target)",
            "what the motor gets = sign * target [rad]; a tendon's target is the sum of its joints' angles",
        ],
        "start": "target = sum of sign * angle over the joints in moves, where an episode begins",
    }

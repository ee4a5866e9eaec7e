# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What drives a real robot on legs by a trained policy: sensors, and how an action becomes a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.tasks.deployment import ROTATION, VELOCITY, described_layout, robot_facts, sensor
from cpo_lab.tasks.layout import ObservationTerm


def deployment(settings: Mapping[str, Any], layout: Sequence[ObservationTerm], joints: Sequence[str]) -> dict[str, Any]:
    """Describe how ANYmal is driven.

    Args:
        settings: The task's settings as plain values.
        layout: Terms of its observation.
        joints: Joints in the order of observation and action.

    Returns:
        Entries of ``policy.json``: ``observation_layout``, ``sensors``, ``robot``, ``action``, ``rules``.

    Raises:
        UserError: If the limits of the joints cannot be found.
    """
    robot = robot_facts({"robot": settings["scene"]["robot"]}, joints, ())
    scale = float(settings["action_scale"])
    entries: dict[str, Sequence[str]] = {
        **dict.fromkeys(("joint_position", "joint_velocity", "last_action"), joints),
        "base_linear_velocity": VELOCITY[:3],
        "base_angular_velocity": VELOCITY[3:],
        "gravity": ("x", "y", "z"),
        "velocity_command": ("forwards", "left"),
        "yaw_command": ("turning",),
    }
    sources: dict[str, dict[str, Any]] = {
        "joint_position": {"kind": "less_default", "sensor": "joint_position"},
        "gravity": {"kind": "computed", "of": ["base_rotation"]},
        "last_action": {"kind": "last_action"},
    }
    terms = described_layout(layout, sources, entries, float(settings["observation_clip"]))
    return {
        "observation_layout": terms,
        "sensors": [
            *(
                sensor(t["name"], t["entries"], t["unit"], t["description"])
                for t in terms
                if t["from"]["kind"] == "sensor"
            ),
            sensor("joint_position", joints, "rad", "joint angles"),
            sensor("base_rotation", ROTATION, "1", "orientation of the base xyzw in a frame with Z up"),
        ],
        "robot": robot,
        "action": {
            "names": list(joints),
            "lower": [angle - scale for angle in robot["default_position"]],
            "upper": [angle + scale for angle in robot["default_position"]],
            "sign": [1.0] * len(joints),
            "moves": [[joint] for joint in range(len(joints))],
            "modes": ["absolute"] * len(joints),
            "smoothing": 1.0,
            "step": 0.0,
            "scale": scale,
            "formula": [
                "a = clip(action, -1, 1)",
                "target = default_position + scale a; lower and upper are the targets of -1 and 1, not limits",
            ],
            "start": "the default pose",
        },
        "rules": {"family": "legs", "frame": "Z up; velocities and commands in the axes of the base"},
    }  # fmt: skip

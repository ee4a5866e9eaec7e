# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a robot's driver has to know of a task, taken from the settings that a run was trained with. Starts nothing.

A task's configuration offers it as ``deployment(settings, layout, state)``; what comes out goes into an exported
policy's ``policy.json``, and ``cpo_lab/deployment/run_policy.py`` drives a robot by it. Settings are plain values as in
``params/env.yaml``, so that what counts is what was trained, not today's defaults.
"""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cpo_lab.tasks.layout import ObservationTerm, layout_slices
from cpo_rl.errors import UserError

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
ROTATION = POSE[3:]
VELOCITY = ("vx", "vy", "vz", "wx", "wy", "wz")
WRENCH = ("fx", "fy", "fz", "tx", "ty", "tz")

_MOTOR = {
    "stiffness": ("stiffness",),
    "damping": ("damping",),
    "effort_limit": ("joint_effort_limit", "actuator_effort_limit", "effort_limit_sim", "effort_limit"),
    "velocity_limit": ("actuator_velocity_limit", "joint_velocity_limit", "velocity_limit_sim", "velocity_limit"),
    "armature": ("armature",),
    "friction": ("friction",),
}
"""What is told of a motor, and the fields of Isaac Lab's actuators that hold it; the first that is set counts."""

_UNITS = {
    "lower": "rad",
    "upper": "rad",
    "default_position": "rad",
    "stiffness": "N m/rad",
    "damping": "N m s/rad",
    "effort_limit": "N m",
    "velocity_limit": "rad/s",
    "armature": "kg m^2",
    "friction": "N m",
}


def each_of(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """Names of entries that come in groups: ``ff.x, ff.y, ...``."""
    return [f"{name}.{part}" for name in names for part in parts]


def sensor(name: str, entries: Sequence[str], unit: str, description: str) -> dict[str, Any]:
    """Describe a sensor that a driver has to supply."""
    return {
        "name": name, "size": len(entries), "unit": unit, "description": description, "entries": list(entries),
    }  # fmt: skip


def described_layout(
    layout: Sequence[ObservationTerm],
    sources: Mapping[str, Mapping[str, Any]],
    entries: Mapping[str, Sequence[str]],
    clip: float,
) -> list[dict[str, Any]]:
    """Describe the terms of an observation.

    Args:
        layout: The terms.
        sources: Where a term comes from, by name; a sensor of its own name if not given.
        entries: Names of a term's entries; numbers if not given.
        clip: Largest magnitude of an entry, after scaling.
    """
    starts = layout_slices(layout)
    return [
        {
            "name": term.name,
            "offset": starts[term.name].start,
            "size": term.size,
            "description": term.description,
            "unit": term.unit,
            "scale": term.scale,
            "range": [-clip / term.scale, clip / term.scale],
            "entries": list(entries.get(term.name) or map(str, range(term.size))),
            "from": dict(sources.get(term.name) or {"kind": "sensor", "sensor": term.name}),
        }
        for term in layout
    ]


def robot_facts(robots: Mapping[str, Mapping[str, Any]], joints: Sequence[str], mirrored: Sequence[str]) -> dict:
    """Describe the joints of one robot or several equal ones, in the task's order.

    Args:
        robots: Their settings (an ``ArticulationCfg`` as plain values) by the name in the scene.
        joints: Joints of each in the task's order.
        mirrored: Those that the task counts the other way round than the robot does.

    Raises:
        UserError: If limits cannot be found.
    """
    facts: dict[str, list[Any]] = {"joints": [], **{name: [] for name in _UNITS}}
    for robot, settings in robots.items():
        prefix = f"{robot}/" if len(robots) > 1 else ""
        facts["joints"] += [prefix + joint for joint in joints]
        for side, values in zip(("lower", "upper"), zip(*_limits(settings, joints), strict=True), strict=True):
            facts[side] += values
        start = (settings.get("init_state") or {}).get("joint_pos") or {}
        facts["default_position"] += [_matching(start, joint, 0.0) for joint in joints]
        for name, fields in _MOTOR.items():
            facts[name] += [_of_motor(settings, joint, fields) for joint in joints]
    return {
        **facts,
        "sign": [-1.0 if joint in mirrored else 1.0 for joint in joints] * len(robots),
        "units": _UNITS,
        "bases": {
            name: {part: list((settings.get("init_state") or {}).get(part) or ()) for part in ("pos", "rot")}
            for name, settings in robots.items()
        },
        "model": {name: Path(_file(settings) or "generated").name for name, settings in robots.items()},
    }


def _of_motor(robot: Mapping[str, Any], joint: str, fields: Sequence[str]) -> float | None:
    """A number of the motor that moves a joint; None if there is no motor or its file decides."""
    for motor in (robot.get("actuators") or {}).values():
        if not any(re.fullmatch(pattern, joint) for pattern in motor.get("joint_names_expr") or ()):
            continue
        values = (_matching(motor.get(field), joint, None) for field in fields)
        return next((value for value in values if value is not None), None)
    return None


def _matching(values: Any, joint: str, default: float | None) -> float | None:
    """The number that is given for a joint, by itself or by pattern."""
    if isinstance(values, Mapping):
        values = next((value for pattern, value in values.items() if re.fullmatch(pattern, joint)), default)
    return float(values) if isinstance(values, int | float) else default


# -- limits ------------------------------------------------------------------------------------------------------------


def _file(robot: Mapping[str, Any]) -> str:
    return str((robot.get("spawn") or {}).get("usd_path") or "")


def _limits(robot: Mapping[str, Any], joints: Sequence[str]) -> list[tuple[float, float]]:
    """Limits of joints [rad], from our table for a robot of ours, else from its file.

    Raises:
        UserError: If the file cannot be read here or lacks one.
    """
    path = _file(robot)
    table = _table(path, joints)
    known = {joint.name: (joint.lower, joint.upper) for joint in table.joints} if table else _limits_in(robot, path)
    missing = [joint for joint in joints if joint not in known]
    if missing:
        raise UserError(f"{path} gives no limits for joint {missing[0]}; name another file.")
    return [known[joint] for joint in joints]


def _table(path: str, joints: Sequence[str]) -> Any:
    """Our table of the robot that a file was generated from; None for another file.

    Generated files are ``<name>_<16 hex digits>.usda``, on whatever machine.
    """
    from cpo_lab.assets.allegro_hand_table import allegro_hand
    from cpo_lab.assets.kuka_allegro_table import kuka_allegro
    from cpo_lab.assets.legs.anymal_table import anymal
    from cpo_lab.assets.shadow_hand_table import shadow_hand

    makers: tuple[Any, ...] = (allegro_hand, kuka_allegro, shadow_hand, anymal)
    ours = {make().name: make for make in makers}
    named = re.fullmatch(r"(\w+)_[0-9a-f]{16}", Path(path).stem)
    if named and named[1] in ours:
        return ours[named[1]]()
    if path:
        return None
    return next((t for t in (make() for make in ours.values()) if {j.name for j in t.joints} == set(joints)), None)


def _limits_in(robot: Mapping[str, Any], path: str) -> dict[str, tuple[float, float]]:
    """Limits of the turning joints of a USD file by name [rad].

    Raises:
        UserError: If it cannot be read here.
    """
    if not Path(path).is_file() or ("pxr" not in sys.modules and importlib.util.find_spec("isaacsim") is not None):
        raise UserError(f"the robot's file {path or '(unknown)'} cannot be read here, so its limits are not known.")
    from pxr import Usd, UsdPhysics

    from cpo_lab.tasks.robot_file import stage_of

    stage = stage_of(path, (robot.get("spawn") or {}).get("variants"))
    prims = Usd.PrimRange(stage.GetDefaultPrim(), Usd.TraverseInstanceProxies())
    turning = [joint for prim in prims if (joint := UsdPhysics.RevoluteJoint(prim))]
    return {
        joint.GetPrim().GetName(): (
            math.radians(joint.GetLowerLimitAttr().Get()),
            math.radians(joint.GetUpperLimitAttr().Get()),
        )
        for joint in turning
    }

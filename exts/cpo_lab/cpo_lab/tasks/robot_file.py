# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Does a robot's file hold the joints and links that a task asks for? Answered from the file, before an engine starts.

On tens of thousands of environments a scene takes minutes to build, which is too long to wait for a misspelt name.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cpo_lab.assets.availability import file_of
from cpo_rl.errors import UserError


def check_robot(setting: str, robot: Any, joints: Sequence[str], links: Sequence[str]) -> None:
    """Check a robot's configuration against its file.

    A file on a server is left to the environment, which reports missing names as well. So is every file where Isaac Sim
    is installed, because Isaac Sim has to be the first to load USD.

    Args:
        setting: Where the configuration stands, for messages, e.g. ``env.scene.robot``.
        robot: Isaac Lab's ``ArticulationCfg``.
        joints: Joints that must be there.
        links: Links that must be there.

    Raises:
        UserError: Naming the file or the setting, and the names that there are.
    """
    path = file_of(robot)
    if not path:  # ours, which is made when it is needed and has the task's joints
        _check_patterns(setting, robot, list(joints), "our own file")
    if not os.path.isfile(path):
        return
    if "pxr" not in sys.modules and importlib.util.find_spec("isaacsim") is not None:
        return
    there = dict(zip(("joint", "link"), names_in(path, robot.spawn.variants), strict=True))
    for kind, wanted in (("joint", joints), ("link", links)):
        missing = [name for name in wanted if name not in there[kind]]
        if missing:
            raise UserError(
                f"{setting}.spawn.usd_path={path} has no {kind} named {', '.join(missing)}; rename its {kind}s, which "
                f"are {', '.join(there[kind]) or 'none'}."
            )
    _check_patterns(setting, robot, there["joint"], path)


def _check_patterns(setting: str, robot: Any, joints: Sequence[str], path: str) -> None:
    """Refuse joint names in a robot's configuration that match none of the joints."""
    for where, pattern in _patterns(robot):
        try:
            found = any(re.fullmatch(pattern, name) for name in joints)
        except re.error as error:
            raise UserError(f"{setting}.{where} names joint {pattern!r}, which is no pattern ({error}).") from None
        if not found:
            raise UserError(
                f"{setting}.{where} names joint {pattern!r}, which {path} does not have; its joints are "
                f"{', '.join(joints)}."
            )


def names_in(path: str, variants: dict[str, str] | None) -> tuple[list[str], list[str]]:
    """Return the names of the moving joints and of the links in a USD file.

    Args:
        path: Local file.
        variants: Variants to select on its default prim; those that it does not have are ignored.

    Raises:
        UserError: If it is no USD file or has no default prim.
    """
    from pxr import Usd, UsdPhysics

    stage = stage_of(path, variants)
    prims = list(Usd.PrimRange(stage.GetDefaultPrim(), Usd.TraverseInstanceProxies()))
    moving = (UsdPhysics.RevoluteJoint, UsdPhysics.PrismaticJoint, UsdPhysics.SphericalJoint)
    joints = [prim.GetName() for prim in prims if any(prim.IsA(kind) for kind in moving)]
    return joints, [prim.GetName() for prim in prims if prim.HasAPI(UsdPhysics.RigidBodyAPI)]


def stage_of(path: str, variants: Mapping[str, str] | None) -> Any:
    """Open a USD file with a default prim.

    Args:
        path: Local file.
        variants: Variants to select on its default prim; those that it does not have are ignored.

    Raises:
        UserError: If it is no USD file or has no default prim.
    """
    from pxr import Tf, Usd

    try:
        stage = Usd.Stage.Open(str(path))
    except Tf.ErrorException:
        raise UserError(f"{path} cannot be read as a USD file; give the path of another one.") from None
    root = stage.GetDefaultPrim()
    if not root:
        raise UserError(f"{path} has no default prim, so nothing can be spawned from it; set one in the file.")
    stage.SetEditTarget(stage.GetSessionLayer())
    for name, choice in (variants or {}).items():
        if root.GetVariantSets().HasVariantSet(name):
            root.GetVariantSet(name).SetVariantSelection(choice)
    return stage


def _patterns(robot: Any) -> list[tuple[str, str]]:
    """Return the joint names that a robot's configuration holds, with the field that holds them."""
    start = robot.init_state
    found = [(f"init_state.{part}", name) for part in ("joint_pos", "joint_vel") for name in vars(start).get(part, ())]
    for name, actuator in robot.actuators.items():
        found += [(f"actuators.{name}.joint_names_expr", pattern) for pattern in actuator.joint_names_expr]
        for field, value in vars(actuator).items():
            found += [(f"actuators.{name}.{field}", key) for key in value] if isinstance(value, dict) else []
    return found

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The USD file that both physics engines read from a robot's tables (:mod:`cpo_lab.assets.robot_table`).

It is made with ``pxr`` alone: no mesh, no importer and no simulator is involved. Engine-specific information that
OpenUSD has no schema for is written as raw attributes, so one file serves PhysX, OvPhysX and Newton.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cpo_lab.assets.robot_table import FixedTendon, Robot, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROOT_PRIM = "/robot"
"""Default prim of every file that :func:`write_robot` makes."""

_DEG = math.pi / 180.0


def write_robot(robot: Robot, path: str | Path) -> None:
    """Write ``robot`` as a USD file.

    The root link is placed at the origin of the file (give its pose in the scene as ``init_state``); links are flat
    siblings with their world poses at zero joint angles. Every joint gets a drive without gains: stiffness, damping,
    effort limit and armature belong into the actuator configuration, which is the only place where all engines agree
    on their meaning. No ``MjcActuator`` is written, because its force range would clamp only the position part of
    Isaac Lab's actuators on Newton.

    Args:
        robot: The tables.
        path: File to write, ``.usda`` or ``.usd``; overwritten if it exists.
    """
    from pxr import UsdPhysics

    stage = new_stage(path, ROOT_PRIM)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    _write_links(stage, robot)
    # PhysX takes the middle of a free tree for its root unless a link is marked
    root = ROOT_PRIM if robot.fixed_base else _link_path(robot.links[0].name)
    _write_articulation_root(stage.GetPrimAtPath(root), robot)
    if robot.fixed_base:
        weld = UsdPhysics.FixedJoint.Define(stage, f"{ROOT_PRIM}/root_joint")
        weld.CreateBody1Rel().SetTargets([_link_path(robot.links[0].name)])
    joint_prims = _write_joints(stage, robot)
    for tendon in robot.tendons:
        _write_physx_tendon(tendon, joint_prims)
        _write_mujoco_tendon(stage, tendon, joint_prims)
    if robot.collision_pairs:
        _filter_other_pairs(stage, robot)
    stage.GetRootLayer().Save()


def new_stage(path: str | Path, root: str) -> Any:
    """Create a stage in metres with Z up, and its default prim ``root``, a transform."""
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, root).GetPrim())
    return stage


def write_shape(stage: Any, path: str, shape: Shape, contact_offset: float = 0.002) -> Any:
    """Define a collider prim for ``shape`` at ``path`` of ``stage`` and return the prim."""
    from pxr import Gf, Sdf, UsdGeom, UsdPhysics

    if shape.kind == "capsule":
        geom = UsdGeom.Capsule.Define(stage, path)
        geom.CreateAxisAttr("Z")
        geom.CreateRadiusAttr(shape.size[0])
        geom.CreateHeightAttr(2.0 * shape.size[1])
    elif shape.kind == "sphere":
        geom = UsdGeom.Sphere.Define(stage, path)
        geom.CreateRadiusAttr(shape.size[0])
    else:
        geom = UsdGeom.Cube.Define(stage, path)
        geom.CreateSizeAttr(2.0)
    geom.AddTranslateOp().Set(Gf.Vec3d(*shape.position))
    geom.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(_quat(shape.orientation, Gf.Quatd))
    if shape.kind == "box":
        geom.AddScaleOp().Set(Gf.Vec3f(*shape.size))
    prim = geom.GetPrim()
    UsdPhysics.CollisionAPI.Apply(prim)
    prim.AddAppliedSchema("PhysxCollisionAPI")
    _set(prim, "physxCollision:contactOffset", Sdf.ValueTypeNames.Float, contact_offset)
    _set(prim, "physxCollision:restOffset", Sdf.ValueTypeNames.Float, 0.0)
    return prim


def _link_path(name: str) -> str:
    return f"{ROOT_PRIM}/{name}"


def _set(prim: Any, name: str, kind: Any, value: Any, uniform: bool = False) -> None:
    """Write a raw attribute: the installed OpenUSD knows no Python class for PhysX's and MuJoCo's schemas."""
    from pxr import Sdf

    variability = Sdf.VariabilityUniform if uniform else Sdf.VariabilityVarying
    prim.CreateAttribute(name, kind, False, variability).Set(value)


def _quat(xyzw: Sequence[float], cls: Any) -> Any:
    x, y, z, w = (float(value) for value in xyzw)
    return cls(w, x, y, z)


def _write_articulation_root(prim: Any, robot: Robot) -> None:
    from pxr import Sdf, UsdPhysics

    types = Sdf.ValueTypeNames
    UsdPhysics.ArticulationRootAPI.Apply(prim)
    prim.AddAppliedSchema("PhysxArticulationAPI")
    # Newton reads PhysX's flag as well
    _set(prim, "physxArticulation:enabledSelfCollisions", types.Bool, robot.collision_pairs != ())
    _set(prim, "physxArticulation:solverPositionIterationCount", types.Int, robot.position_iterations)
    _set(prim, "physxArticulation:solverVelocityIterationCount", types.Int, robot.velocity_iterations)
    _set(prim, "physxArticulation:sleepThreshold", types.Float, 0.005)


def _write_links(stage: Any, robot: Robot) -> None:
    from pxr import Gf, Sdf, UsdGeom, UsdPhysics

    types = Sdf.ValueTypeNames
    poses: dict[str, Any] = {}
    for link in robot.links:
        pose = Gf.Matrix4d(1.0)
        if link.parent is not None:
            pose.SetRotate(Gf.Rotation(_quat(link.orientation, Gf.Quatd)))
            pose.SetTranslateOnly(Gf.Vec3d(*link.position))
            pose = pose * poses[link.parent]  # row vectors: child first
        poses[link.name] = pose
        xform = UsdGeom.Xform.Define(stage, _link_path(link.name))
        xform.AddTranslateOp().Set(pose.ExtractTranslation())
        xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble).Set(pose.ExtractRotationQuat())
        prim = xform.GetPrim()
        UsdPhysics.RigidBodyAPI.Apply(prim)
        prim.AddAppliedSchema("PhysxRigidBodyAPI")
        _set(prim, "physxRigidBody:disableGravity", types.Bool, robot.disable_gravity)
        _set(prim, "physxRigidBody:linearDamping", types.Float, robot.linear_damping)
        _set(prim, "physxRigidBody:angularDamping", types.Float, robot.angular_damping)
        _set(prim, "physxRigidBody:maxDepenetrationVelocity", types.Float, robot.max_depenetration_velocity)
        if robot.disable_gravity:  # Newton ignores PhysX's per-body flag
            _set(prim, "mjc:gravcomp", types.Double, 1.0)
        mass = UsdPhysics.MassAPI.Apply(prim)
        mass.CreateMassAttr(link.mass)
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*link.center_of_mass))
        mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*link.inertia))
        mass.CreatePrincipalAxesAttr(_quat(link.inertia_orientation, Gf.Quatf))
        for index, shape in enumerate(link.shapes):
            write_shape(stage, f"{_link_path(link.name)}/collision_{index}", shape, robot.contact_offset)


def _write_joints(stage: Any, robot: Robot) -> dict[str, Any]:
    """Write all joints; returns name -> prim.

    Every joint turns about its own X axis or slides along it; the local frames on both sides carry the rotation from X
    to the axis of the table, so oblique axes need no special case.
    """
    from pxr import Gf, Sdf, UsdPhysics

    prims = {}
    for joint in robot.joints:
        link = robot.link(joint.child)
        to_axis = Gf.Rotation(Gf.Vec3d(1, 0, 0), Gf.Vec3d(*joint.axis)).GetQuat()
        kind = UsdPhysics.PrismaticJoint if joint.slides else UsdPhysics.RevoluteJoint
        unit = 1.0 if joint.slides else _DEG
        moving = kind.Define(stage, f"{ROOT_PRIM}/joints/{joint.name}")
        moving.CreateAxisAttr("X")
        moving.CreateBody0Rel().SetTargets([_link_path(str(link.parent))])
        moving.CreateBody1Rel().SetTargets([_link_path(link.name)])
        moving.CreateLocalPos0Attr(Gf.Vec3f(*link.position))
        moving.CreateLocalRot0Attr(Gf.Quatf(_quat(link.orientation, Gf.Quatd) * to_axis))
        moving.CreateLocalPos1Attr(Gf.Vec3f(0.0))
        moving.CreateLocalRot1Attr(Gf.Quatf(to_axis))
        moving.CreateLowerLimitAttr(joint.lower / unit)
        moving.CreateUpperLimitAttr(joint.upper / unit)
        prim = moving.GetPrim()
        UsdPhysics.DriveAPI.Apply(prim, "linear" if joint.slides else "angular").CreateTypeAttr("force")
        prim.AddAppliedSchema("PhysxJointAPI")
        _set(prim, "physxJoint:armature", Sdf.ValueTypeNames.Float, joint.armature)
        prims[joint.name] = prim
    return prims


def _write_physx_tendon(tendon: FixedTendon, joints: dict[str, Any]) -> None:
    """Author PhysX's encoding: multi-apply schemas on the joints that the tendon runs over.

    PhysX measures angles in degrees here, hence the factor pi/180 in the gearing. The whole tendon is divided by the
    coefficient of the following joint, which makes its length that joint's angle in radians and its limit stiffness a
    torque per radian. The force coefficient must equal the gearing (virtual work); PhysX's default of 1 has the wrong
    sign for the other joints, and the unscaled coefficients leave the joints practically uncoupled.
    """
    from pxr import Sdf

    types = Sdf.ValueTypeNames
    unit = tendon.coefficients[-1][1]
    limits = sorted((tendon.lower / unit, tendon.upper / unit))
    root = joints[tendon.root_joint]
    root.AddAppliedSchema(f"PhysxTendonAxisRootAPI:{tendon.name}")
    prefix = f"physxTendon:{tendon.name}:"
    for key, value in (
        ("stiffness", 0.0),
        ("damping", tendon.damping),
        ("limitStiffness", tendon.limit_stiffness),
        ("lowerLimit", limits[0]),
        ("upperLimit", limits[1]),
        ("offset", 0.0),
        ("restLength", 0.0),
    ):
        _set(root, prefix + key, types.Float, value)
    _set(root, prefix + "gearing", types.FloatArray, [0.0])
    _set(root, prefix + "forceCoefficient", types.FloatArray, [0.0])
    for name, coefficient in tendon.coefficients:
        joints[name].AddAppliedSchema(f"PhysxTendonAxisAPI:{tendon.name}")
        _set(joints[name], prefix + "gearing", types.FloatArray, [coefficient / unit * _DEG])
        _set(joints[name], prefix + "forceCoefficient", types.FloatArray, [coefficient / unit])


def _write_mujoco_tendon(stage: Any, tendon: FixedTendon, joints: dict[str, Any]) -> None:
    """Author the encoding that Newton's MuJoCo solver reads: one limited ``MjcTendon`` prim, in metres and radians."""
    from pxr import Sdf

    types = Sdf.ValueTypeNames
    prim = stage.DefinePrim(f"{ROOT_PRIM}/tendons/{tendon.name}", "MjcTendon")
    _set(prim, "mjc:type", types.Token, "fixed", uniform=True)
    _set(prim, "mjc:limited", types.Token, "true", uniform=True)
    _set(prim, "mjc:range:min", types.Double, tendon.lower, uniform=True)
    _set(prim, "mjc:range:max", types.Double, tendon.upper, uniform=True)
    _set(prim, "mjc:path:coef", types.DoubleArray, [value for _, value in tendon.coefficients], uniform=True)
    _set(prim, "mjc:path:indices", types.IntArray, list(range(len(tendon.coefficients))), uniform=True)
    targets = [joints[name].GetPath() for name, _ in tendon.coefficients]
    prim.CreateRelationship("mjc:path").SetTargets(targets)


def _filter_other_pairs(stage: Any, robot: Robot) -> None:
    """Switch off contact between all pairs of links that ``robot.collision_pairs`` does not list."""
    from pxr import UsdPhysics

    keep = {frozenset(pair) for pair in robot.collision_pairs or ()}
    names = [link.name for link in robot.links if link.shapes]
    for index, first in enumerate(names):
        others = [second for second in names[index + 1 :] if frozenset((first, second)) not in keep]
        if others:
            api = UsdPhysics.FilteredPairsAPI.Apply(stage.GetPrimAtPath(_link_path(first)))
            api.CreateFilteredPairsRel().SetTargets([_link_path(name) for name in others])

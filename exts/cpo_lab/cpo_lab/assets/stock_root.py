# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A folder of assets with which NVIDIA's Shadow Hand, and some of Isaac Lab's own tasks, run without a network.

``python -m cpo_lab.assets.stock_root FOLDER`` writes it; ``ISAACSIM_ASSET_ROOT=FOLDER`` makes Isaac Lab use it. The
hand comes from a flattened stage that the installed Isaac Lab carries for its own tests, which holds NVIDIA's hand as
PhysX sees it; its tendons are written once more as MuJoCo knows them, for Newton. Cube and ground are plain shapes;
cartpole, ant and humanoid come from what packages carry (:mod:`cpo_lab.assets.stand_ins.robots`). The folder is made
from NVIDIA's files on your machine and is not meant to be handed on.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from cpo_lab.assets.authoring import new_stage
from cpo_lab.assets.stand_ins.layers import copy_layer
from cpo_lab.assets.stand_ins.robots import ANT, CARTPOLE, HUMANOID, write_robots
from cpo_rl.errors import UserError

STAGE = (
    "source/isaaclab_tasks/test/golden_stages/registered_tasks_Isaac-Reorient-Cube-Shadow-Camera-Direct/"
    "default_physics-default_renderer-stage.usda"
)
"""The stage, inside the package ``isaaclab``."""

HAND_IN_STAGE = "/World/envs/env_0/Robot"
"""Where the stage holds the hand."""

HAND = "Isaac/Robots_Multiphysics/ShadowRobot/ShadowHandMultiPhysics_v0/right_hand/right_hand.usda"
CUBE = "Isaac/Props/Blocks/DexCube/dex_cube_instanceable.usd"
GROUND = "Isaac/IsaacLab/Environments/Grid/default_ground_plane_checker_v1/default_ground_plane.usda"
"""Where Isaac Lab looks for them below the root."""

WRITTEN = (HAND, CUBE, GROUND, CARTPOLE, ANT, HUMANOID)
"""All that the folder then holds."""

TENDON_GAIN, TENDON_DAMPING = 0.5, 0.05
"""Gains of the tendon motors [N m/rad, N m s/rad], those of the stage's PhysX tendons."""

TENDON_RANGE = (0.0, 3.1415)
"""Lengths that a tendon motor can be set to [rad]."""

CUBE_EDGE, CUBE_MASS = 0.06, 0.216
"""The cube [m, kg]; its mass is the stage's."""


def stage_path() -> Path:
    """Return the stage of the installed Isaac Lab.

    Raises:
        UserError: If there is no Isaac Lab, or one that does not carry it.
    """
    spec = importlib.util.find_spec("isaaclab")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / STAGE).is_file():
            return Path(folder) / STAGE
    raise UserError("The installed isaaclab carries no stage with the Shadow Hand; version 3.0.0 from PyPI does.")


def write_root(folder: Path) -> None:
    """Write hand, cube, ground, cartpole, ant and humanoid below ``folder``; existing files are replaced."""
    for path in (HAND, CUBE, GROUND):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    _write_hand(folder / HAND)
    _write_cube(folder / CUBE)
    _write_ground(folder / GROUND)
    write_robots(folder)


def _new_stage(path: Path, root: str) -> Any:
    from pxr import UsdPhysics

    path.unlink(missing_ok=True)
    stage = new_stage(path, root)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    return stage


def _write_hand(path: Path) -> None:
    """Write a file that refers to the stage's hand, with the variants that Isaac Lab selects by name."""
    whole = path.with_name("stage.usda")
    copy_layer(stage_path()).Export(str(whole))
    stage = _new_stage(path, "/right_hand")
    root = stage.GetDefaultPrim()
    root.GetReferences().AddReference(f"./{whole.name}", HAND_IN_STAGE)
    for name, choices in (("Colliders", ("simplified",)), ("Physics", ("physx", "mujoco"))):
        variants = root.GetVariantSets().AddVariantSet(name)
        for choice in choices:
            variants.AddVariant(choice)
        variants.SetVariantSelection(choices[0])
    physics = root.GetVariantSet("Physics")
    physics.SetVariantSelection("mujoco")
    with physics.GetVariantEditContext():
        _add_mujoco(stage)
    physics.SetVariantSelection("physx")
    stage.GetRootLayer().Save()


def _add_mujoco(stage: Any) -> None:
    """Write what MuJoCo needs: weightless links, and for each finger a tendon ``J0 = J1 + J2`` with a motor."""
    from pxr import Sdf, UsdPhysics

    types = Sdf.ValueTypeNames

    def put(prim: Any, name: str, kind: Any, value: Any) -> None:
        prim.CreateAttribute(f"mjc:{name}", kind, False, Sdf.VariabilityUniform).Set(value)

    joints = {}
    for prim in list(stage.Traverse()):
        if prim.IsA(UsdPhysics.RevoluteJoint):
            joints[prim.GetName()] = prim.GetPath()
        if prim.HasAPI(UsdPhysics.RigidBodyAPI):
            prim.CreateAttribute("mjc:gravcomp", types.Float, False).Set(1.0)
    root = stage.GetDefaultPrim().GetPath()
    for finger in ("FF", "MF", "RF", "LF"):
        tendon = stage.DefinePrim(root.AppendPath(f"Physics/rh_{finger}J0"), "MjcTendon")
        tendon.CreateRelationship("mjc:path").SetTargets([joints[f"rh_{finger}J2"], joints[f"rh_{finger}J1"]])
        put(tendon, "path:coef", types.DoubleArray, [1.0, 1.0])
        put(tendon, "path:indices", types.IntArray, [0, 1])
        put(tendon, "type", types.Token, "fixed")
        motor = stage.DefinePrim(root.AppendPath(f"Physics/rh_A_{finger}J0"), "MjcActuator")
        motor.CreateRelationship("mjc:target").SetTargets([tendon.GetPath()])
        put(motor, "gainPrm", types.DoubleArray, [TENDON_GAIN] + [0.0] * 9)
        put(motor, "biasType", types.Token, "affine")
        put(motor, "biasPrm", types.DoubleArray, [0.0, -TENDON_GAIN, -TENDON_DAMPING] + [0.0] * 7)
        put(motor, "ctrlLimited", types.Token, "true")
        put(motor, "ctrlRange:min", types.Double, TENDON_RANGE[0])
        put(motor, "ctrlRange:max", types.Double, TENDON_RANGE[1])


def _write_cube(path: Path) -> None:
    from pxr import UsdGeom, UsdPhysics

    stage = _new_stage(path, "/dex_cube")
    root = stage.GetDefaultPrim()
    UsdPhysics.RigidBodyAPI.Apply(root)
    UsdPhysics.MassAPI.Apply(root).CreateMassAttr(CUBE_MASS)
    shape = UsdGeom.Cube.Define(stage, "/dex_cube/shape")
    shape.CreateSizeAttr(CUBE_EDGE)
    UsdPhysics.CollisionAPI.Apply(shape.GetPrim())
    stage.GetRootLayer().Save()


def _write_ground(path: Path) -> None:
    """Write a plane to collide with, and the picture of one that Isaac Lab scales."""
    from pxr import Gf, Sdf, UsdGeom, UsdPhysics

    stage = _new_stage(path, "/World")
    plane = UsdGeom.Plane.Define(stage, "/World/CollisionPlane")
    plane.CreateAxisAttr("Z")
    UsdPhysics.CollisionAPI.Apply(plane.GetPrim())
    picture = UsdGeom.Xform.Define(stage, "/World/Environment")
    picture.AddScaleOp(UsdGeom.XformOp.PrecisionDouble).Set(Gf.Vec3d(1.0))
    mesh = UsdGeom.Mesh.Define(stage, "/World/Environment/Geometry")
    mesh.CreatePointsAttr([(-50.0, -50.0, 0.0), (50.0, -50.0, 0.0), (50.0, 50.0, 0.0), (-50.0, 50.0, 0.0)])
    mesh.CreateFaceVertexCountsAttr([4])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
    stage.GetRootLayer().Save()


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m cpo_lab.assets.stock_root", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write; then set ISAACSIM_ASSET_ROOT to it")
    try:
        write_root(parser.parse_args().folder.absolute())
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

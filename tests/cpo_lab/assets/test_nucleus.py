# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""NVIDIA's Shadow Hand against the reference's, from the stage that the installed Isaac Lab carries. No engine."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics
from tests.cpo_lab.assets.test_shadow_hand import MOUNT

from cpo_lab.assets.shadow_hand_table import DRIVEN_JOINTS, FINGERTIPS, shadow_hand

pytest.importorskip("isaaclab_assets")
from isaaclab_assets.robots import shadow_hand as nvidia

from cpo_lab.assets import nucleus, stock_root
from cpo_lab.tasks.in_hand.shadow import NucleusShadowHandNamesCfg
from cpo_lab.tasks.robot_file import names_in


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    stock_root.write_root(folder)
    return folder


@pytest.fixture(scope="module")
def joints(root) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Position and axis of every joint of NVIDIA's hand at zero angles, where our configuration puts the hand."""
    from pxr import Gf, Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.Open(str(root / stock_root.HAND))
    robot = nucleus.nucleus_shadow_hand_cfg().init_state
    x, y, z, w = robot.rot
    placed = Gf.Matrix4d().SetTransform(Gf.Rotation(Gf.Quatd(w, x, y, z)), Gf.Vec3d(*robot.pos))
    poses, found = UsdGeom.XformCache(), {}
    top = poses.GetLocalToWorldTransform(stage.GetDefaultPrim()).GetInverse()
    for prim in Usd.PrimRange(stage.GetDefaultPrim(), Usd.TraverseInstanceProxies()):
        joint = UsdPhysics.RevoluteJoint(prim)
        if not joint:
            continue
        (link,) = joint.GetBody1Rel().GetTargets()
        pose = poses.GetLocalToWorldTransform(stage.GetPrimAtPath(link)) * top * placed
        local = {"X": (1, 0, 0), "Y": (0, 1, 0), "Z": (0, 0, 1)}[joint.GetAxisAttr().Get()]
        axis = pose.TransformDir(Gf.Rotation(joint.GetLocalRot1Attr().Get()).TransformDir(Gf.Vec3d(*local)))
        position = pose.Transform(Gf.Vec3d(joint.GetLocalPos1Attr().Get()))
        found[prim.GetName()] = (np.array(position), np.array(axis.GetNormalized()))
    return found


def test_its_joints_are_where_ours_are(joints):
    """The axis of each joint passes ours at 2 mm or less; along it two files may put the origin anywhere."""
    poses = forward_kinematics(shadow_hand(), {}, *MOUNT)
    for joint in shadow_hand().joints:
        position, axis = joints[nucleus.nucleus_joint(joint.name)]
        assert np.linalg.norm(np.cross(poses[joint.child][0] - position, axis)) < 2e-3, joint.name
    for name in ("WRJ1", "WRJ0", "FFJ0", "MFJ0", "RFJ0", "LFJ0", "THJ4", "THJ0"):
        ours = poses[shadow_hand().joint(name).child][0]
        assert np.linalg.norm(ours - joints[nucleus.nucleus_joint(name)][0]) < 2e-3, name


def test_joints_that_turn_the_other_way_are_the_mirrored_ones(joints):
    poses = forward_kinematics(shadow_hand(), {}, *MOUNT)
    for joint in shadow_hand().joints:
        ours = np.asarray(poses[joint.child][1]) @ np.asarray(joint.axis)
        name = nucleus.nucleus_joint(joint.name)
        cosine = float(ours @ joints[name][1])
        assert abs(cosine) > 0.999, name
        assert (cosine < 0.0) == (name in nucleus.MIRRORED), name


def test_names_are_those_that_isaac_lab_drives():
    names = NucleusShadowHandNamesCfg()
    assert len(names.joints) == len(set(names.joints)) == 24
    assert sorted(names.motors) == sorted(nvidia.JOINT_NAMES + nvidia.TENDON_NAMES)
    assert list(names.fingertips) == nvidia.FINGERTIP_NAMES
    assert sorted(names.tendons) == sorted(nvidia.TENDON_NAMES)
    assert names.tendons["rh_LFJ0"] == ("rh_LFJ2", "rh_LFJ1")
    assert names.tendon_range == pytest.approx((0.0, np.pi), abs=1e-3)
    # the reference's order of actions: FFJ1, which drags FFJ0 there, is the tendon here
    assert dict(zip(DRIVEN_JOINTS, names.motors, strict=True))["FFJ1"] == "rh_FFJ0"
    assert dict(zip(DRIVEN_JOINTS, names.motors, strict=True))["THJ0"] == "rh_THJ1"


def test_the_stand_in_has_the_hands_names_in_both_variants(root):
    names = NucleusShadowHandNamesCfg()
    for physics in ("physx", "mujoco"):
        there = names_in(str(root / stock_root.HAND), {"Physics": physics, "Colliders": "simplified"})
        assert sorted(there[0]) == sorted(names.joints)
        assert set(names.fingertips) <= set(there[1])
        assert len(there[1]) == len(shadow_hand().links)
    assert len(FINGERTIPS) == 5


def test_the_stand_in_asks_no_server(root):
    from pxr import Sdf

    for path in (stock_root.HAND, stock_root.CUBE, stock_root.GROUND):
        for file in (root / path).parent.iterdir():
            assert "http" not in Sdf.Layer.FindOrOpen(str(file)).ExportToString(), file


def test_each_engine_gets_its_description_of_the_hand():
    from isaaclab_newton.physics import NewtonCfg
    from isaaclab_ov.physics import OvPhysxCfg

    robot = nucleus.nucleus_shadow_hand_cfg()
    assert nucleus.fit_variant(robot, OvPhysxCfg()) == []
    assert robot.spawn.variants == {"Physics": "physx", "Colliders": "simplified"}
    assert "mujoco" in nucleus.fit_variant(robot, NewtonCfg())[0]
    assert robot.spawn.variants == {"Physics": "mujoco", "Colliders": "simplified"}
    plain = SimpleNamespace(spawn=SimpleNamespace(variants=None))
    assert nucleus.fit_variant(plain, NewtonCfg()) == []
    assert plain.spawn.variants is None

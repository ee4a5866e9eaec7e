# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics

from cpo_lab.assets.authoring import write_robot
from cpo_lab.assets.shadow_hand_table import (
    ALL_JOINTS,
    DRIVEN_JOINTS,
    FINGERTIPS,
    PASSIVE_JOINTS,
    PROPORTIONAL_GAINS,
    shadow_hand,
)

MOUNT = ((0.0, 0.0, 0.49), (0.0, -math.sqrt(0.5), math.sqrt(0.5), 0.0))


def test_joint_names_are_in_the_order_of_the_reference():
    wanted = "WRJ1 WRJ0 FFJ3 FFJ2 FFJ1 FFJ0 MFJ3 MFJ2 MFJ1 MFJ0 RFJ3 RFJ2 RFJ1 RFJ0 LFJ4 LFJ3 LFJ2 LFJ1 LFJ0 "
    wanted += "THJ4 THJ3 THJ2 THJ1 THJ0"
    assert list(ALL_JOINTS) == wanted.split()
    assert len(DRIVEN_JOINTS) == 20
    assert set(PASSIVE_JOINTS) == {"FFJ0", "MFJ0", "RFJ0", "LFJ0"}
    assert [name for name in ALL_JOINTS if name not in PASSIVE_JOINTS] == list(DRIVEN_JOINTS)
    assert FINGERTIPS == ("ffdistal", "mfdistal", "rfdistal", "lfdistal", "thdistal")


@pytest.mark.parametrize(
    ("joint", "lower", "upper", "effort", "damping", "armature"),
    [
        ("WRJ1", -0.489, 0.14, 4.785, 0.5, 0.005),
        ("WRJ0", -0.698, 0.489, 2.175, 0.5, 0.005),
        ("FFJ3", -0.349, 0.349, 0.9, 0.1, 0.001),
        ("MFJ2", 0.0, 1.571, 0.9, 0.1, 0.001),
        ("RFJ1", 0.0, 1.571, 0.7245, 0.1, 0.001),
        ("LFJ4", 0.0, 0.785, 0.9, 0.1, 0.001),
        ("LFJ0", 0.0, 1.571, 0.0, 0.1, 0.001),
        ("THJ4", -1.047, 1.047, 2.3722, 0.1, 0.001),
        ("THJ3", 0.0, 1.222, 1.45, 0.1, 0.001),
        ("THJ2", -0.209, 0.209, 0.99, 0.1, 0.001),
        ("THJ1", -0.524, 0.524, 0.99, 0.1, 0.001),
        ("THJ0", -1.571, 0.0, 0.81, 0.1, 0.001),
    ],
)
def test_limits_and_motors(joint, lower, upper, effort, damping, armature):
    entry = shadow_hand().joint(joint)
    assert (entry.lower, entry.upper, entry.effort) == (lower, upper, effort)
    assert (entry.damping, entry.armature) == (damping, armature)


def test_masses():
    robot = shadow_hand()
    assert len(robot.links) == 25
    assert robot.mass == pytest.approx(4.911, abs=1e-9)
    assert robot.link("forearm").mass == 4.0
    assert robot.link("palm").mass == 0.3
    assert robot.link("ffdistal").mass == 0.01


def test_gains():
    assert PROPORTIONAL_GAINS["WRJ1"] == PROPORTIONAL_GAINS["WRJ0"] == 5.0
    assert {PROPORTIONAL_GAINS[name] for name in DRIVEN_JOINTS[2:]} == {1.0}


def test_colliders_are_primitives_and_the_forearm_hull_is_a_box():
    kinds = [shape.kind for link in shadow_hand().links for shape in link.shapes]
    assert kinds.count("capsule") == 16
    assert kinds.count("box") == 4
    assert shadow_hand().link("forearm").shapes[0].kind == "box"


def test_forward_kinematics_straight():
    poses = forward_kinematics(shadow_hand(), {}, *MOUNT)
    np.testing.assert_allclose(poses["palm"][0], (0.0, -0.29, 0.49), atol=1e-7)
    np.testing.assert_allclose(poses["ffknuckle"][0], (-0.033, -0.385, 0.49), atol=1e-7)
    # 45 mm and 25 mm of straight finger further along -Y
    np.testing.assert_allclose(poses["ffdistal"][0], (-0.033, -0.455, 0.49), atol=1e-7)


def test_forward_kinematics_bent_finger():
    """A right angle at the base points the finger up (+Z), another one back towards the wrist (+Y)."""
    poses = forward_kinematics(shadow_hand(), {"FFJ2": math.pi / 2, "FFJ1": math.pi / 2}, *MOUNT)
    np.testing.assert_allclose(poses["ffmiddle"][0], (-0.033, -0.385, 0.49 + 0.045), atol=1e-7)
    np.testing.assert_allclose(poses["ffdistal"][0], (-0.033, -0.385 + 0.025, 0.49 + 0.045), atol=1e-7)


def test_forward_kinematics_bent_wrist():
    """WRJ0 turns the palm about its own origin, so a knuckle moves on a circle of 95 mm."""
    angle = 0.3
    poses = forward_kinematics(shadow_hand(), {"WRJ0": angle}, *MOUNT)
    np.testing.assert_allclose(poses["palm"][0], (0.0, -0.29, 0.49), atol=1e-7)
    knuckle = (-0.033, -0.29 - 0.095 * math.cos(angle), 0.49 + 0.095 * math.sin(angle))
    np.testing.assert_allclose(poses["ffknuckle"][0], knuckle, atol=1e-7)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    from pxr import Usd

    path = tmp_path_factory.mktemp("usd") / "hand.usda"
    write_robot(shadow_hand(self_collision=True), path)
    return Usd.Stage.Open(str(path))


def test_usd_has_one_drive_per_joint_without_gains_and_no_mujoco_actuator(stage):
    from pxr import UsdPhysics

    joints = [prim for prim in stage.Traverse() if prim.IsA(UsdPhysics.RevoluteJoint)]
    assert sorted(prim.GetName() for prim in joints) == sorted(ALL_JOINTS)
    for prim in joints:
        drive = UsdPhysics.DriveAPI.Get(prim, "angular")
        assert drive
        assert not drive.GetStiffnessAttr().HasAuthoredValue()
        assert not drive.GetDampingAttr().HasAuthoredValue()
    assert not [prim for prim in stage.Traverse() if prim.GetTypeName() == "MjcActuator"]


def test_usd_poses_agree_with_the_kinematics(stage):
    from pxr import UsdGeom

    cache = UsdGeom.XformCache()
    poses = forward_kinematics(shadow_hand(), {})
    for name, (position, rotation) in poses.items():
        world = cache.GetLocalToWorldTransform(stage.GetPrimAtPath(f"/robot/{name}"))
        np.testing.assert_allclose(world.ExtractTranslation(), position, atol=1e-6)
        # USD multiplies row vectors, so its matrix is the transpose
        np.testing.assert_allclose(np.array(world.ExtractRotationMatrix()).T, rotation, atol=1e-6)


def test_usd_joint_frames_meet_on_both_links(stage):
    """At zero angle both local frames of a joint are the same frame in the world, with X along the table's axis."""
    from pxr import UsdPhysics

    robot = shadow_hand()
    poses = forward_kinematics(robot, {})

    def world_frame(prim_path, position, quaternion):
        origin, rotation = poses[prim_path.name]
        q = (*quaternion.GetImaginary(), quaternion.GetReal())
        from tests.cpo_lab.assets.kinematics import matrix

        return origin + rotation @ np.array(position), rotation @ matrix(q)

    for entry in robot.joints:
        joint = UsdPhysics.RevoluteJoint(stage.GetPrimAtPath(f"/robot/joints/{entry.name}"))
        first = world_frame(
            joint.GetBody0Rel().GetTargets()[0], joint.GetLocalPos0Attr().Get(), joint.GetLocalRot0Attr().Get()
        )
        second = world_frame(
            joint.GetBody1Rel().GetTargets()[0], joint.GetLocalPos1Attr().Get(), joint.GetLocalRot1Attr().Get()
        )
        np.testing.assert_allclose(first[0], second[0], atol=1e-6)
        np.testing.assert_allclose(first[1], second[1], atol=1e-6)
        np.testing.assert_allclose(second[1][:, 0], poses[entry.child][1] @ np.array(entry.axis), atol=1e-6)
        assert joint.GetUpperLimitAttr().Get() == pytest.approx(math.degrees(entry.upper), rel=1e-6)


def test_usd_tendons_in_both_encodings(stage):
    joint = stage.GetPrimAtPath("/robot/joints/FFJ1")
    ratio = 0.00805 / 0.00705
    gearing = joint.GetAttribute("physxTendon:FFJ1c:gearing").Get()[0]
    assert gearing == pytest.approx(-ratio * math.pi / 180.0)
    assert joint.GetAttribute("physxTendon:FFJ1c:forceCoefficient").Get()[0] == pytest.approx(-ratio)
    root = stage.GetPrimAtPath("/robot/joints/FFJ2")
    assert root.GetAttribute("physxTendon:FFJ1c:upperLimit").Get() == pytest.approx(0.001 / 0.00705)
    assert root.GetAttribute("physxTendon:FFJ1c:lowerLimit").Get() == pytest.approx(-0.001 / 0.00705)
    assert root.GetAttribute("physxTendon:FFJ1c:limitStiffness").Get() == 30.0
    mujoco = stage.GetPrimAtPath("/robot/tendons/FFJ1c")
    assert mujoco.GetTypeName() == "MjcTendon"
    assert list(mujoco.GetAttribute("mjc:path:coef").Get()) == [-0.00805, 0.00705]
    assert mujoco.GetAttribute("mjc:range:max").Get() == 0.001
    targets = [path.name for path in mujoco.GetRelationship("mjc:path").GetTargets()]
    assert targets == ["FFJ1", "FFJ0"]


def test_usd_gravity_is_off_for_both_engines(stage):
    for link in shadow_hand().links:
        prim = stage.GetPrimAtPath(f"/robot/{link.name}")
        assert prim.GetAttribute("physxRigidBody:disableGravity").Get() is True
        assert prim.GetAttribute("mjc:gravcomp").Get() == 1.0


def test_usd_filters_all_pairs_but_the_listed_ones(stage):
    from pxr import UsdPhysics

    filtered = set()
    for prim in stage.Traverse():
        for target in UsdPhysics.FilteredPairsAPI(prim).GetFilteredPairsRel().GetTargets():
            filtered.add(frozenset((prim.GetName(), target.name)))
    with_shapes = [link.name for link in shadow_hand().links if link.shapes]
    pairs = {frozenset((a, b)) for i, a in enumerate(with_shapes) for b in with_shapes[i + 1 :]}
    assert len(pairs - filtered) == 18
    assert frozenset(("ffdistal", "thdistal")) not in filtered


def test_the_tables_load_no_simulator():
    code = (
        "import sys, cpo_lab.assets.shadow_hand_table, cpo_lab.assets.cache\n"
        "assert not {'pxr', 'torch', 'isaaclab', 'warp', 'ovphysx'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Golden numbers of ANYmal C: counts, limits, masses, forward kinematics.

The kinematic ones were computed with another program from the URDF itself (MuJoCo's reader), to 0.01 mm.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics

from cpo_lab.assets.authoring import write_robot
from cpo_lab.assets.legs.anymal_table import BASE, DEFAULT_POSE, FEET, FOOT_RADIUS, JOINT_NAMES, THIGHS, anymal

AT_ZERO = {
    "LF_HIP": (0.2999, 0.104, 0.0),
    "RH_HIP": (-0.2999, -0.104, 0.0),
    "LF_THIGH": (0.3598, 0.18781, 0.0),
    "RH_THIGH": (-0.3598, -0.18781, 0.0),
    "LF_SHANK": (0.3598, 0.28811, -0.285),
    "LH_SHANK": (-0.3598, 0.28811, -0.285),
    "RF_SHANK": (0.3598, -0.28811, -0.285),
    "RH_SHANK": (-0.3598, -0.28811, -0.285),
}
"""Origins of links in the base with all joints at zero [m]."""


def test_counts_limits_and_mass():
    robot = anymal()
    assert (len(robot.links), len(robot.joints)) == (13, 12)
    assert tuple(joint.name for joint in robot.joints) == JOINT_NAMES == tuple(DEFAULT_POSE)
    assert JOINT_NAMES[:4] == ("LF_HAA", "LF_HFE", "LF_KFE", "LH_HAA")
    assert sum(len(link.shapes) for link in robot.links) == 37
    assert robot.mass == pytest.approx(52.13485, abs=1e-6)
    assert (robot.link(BASE).mass, robot.link("RF_THIGH").mass) == (26.37317, 3.071)
    assert (robot.joint("LH_HAA").lower, robot.joint("LH_HAA").upper) == (-0.72, 0.49)
    assert (robot.joint("RF_HAA").lower, robot.joint("RF_HAA").upper) == (-0.49, 0.72)
    assert {joint.effort for joint in robot.joints} == {80.0}
    assert {joint.velocity_limit for joint in robot.joints} == {20.0}
    assert all(joint.lower < DEFAULT_POSE[joint.name] < joint.upper for joint in robot.joints)
    assert not robot.fixed_base and not robot.disable_gravity and robot.collision_pairs == ()


def test_links_at_zero():
    poses = forward_kinematics(anymal(), {})
    for name, place in AT_ZERO.items():
        np.testing.assert_allclose(poses[name][0], place, atol=1e-5)


def test_feet_in_the_default_pose():
    robot = anymal()
    poses = forward_kinematics(robot, DEFAULT_POSE)
    for leg in FEET:
        (foot,) = (shape for shape in robot.link(leg).shapes if shape.kind == "sphere")
        position, rotation = poses[leg]
        bottom = position + rotation @ np.asarray(foot.position) - [0.0, 0.0, FOOT_RADIUS]
        side, front = (1.0 if leg[0] == "L" else -1.0), (1.0 if leg[1] == "F" else -1.0)
        np.testing.assert_allclose(bottom, (0.453 * front, 0.317 * side, -0.543), atol=5e-4)


def test_legs_across_are_alike_and_left_and_right_mirror_each_other():
    robot = anymal()
    for part in ("HIP", "THIGH", "SHANK"):
        left, right = robot.link(f"LF_{part}"), robot.link(f"RF_{part}")
        assert robot.link(f"RH_{part}").shapes == left.shapes
        assert robot.link(f"LH_{part}").inertia == right.inertia
        for one, other in zip(left.shapes, right.shapes, strict=True):
            assert one.size == other.size
            assert np.abs(one.position) == pytest.approx(np.abs(other.position))


def test_the_thighs_are_the_knee_drives():
    robot = anymal()
    assert THIGHS == ("LF_THIGH", "LH_THIGH", "RF_THIGH", "RH_THIGH")
    assert all(max(shape.size[0] for shape in robot.link(thigh).shapes) == 0.065 for thigh in THIGHS)


def test_the_file_has_a_free_base_and_weight(tmp_path):
    from pxr import Usd, UsdPhysics

    write_robot(anymal(), tmp_path / "anymal.usda")
    stage = Usd.Stage.Open(str(tmp_path / "anymal.usda"))
    assert not stage.GetPrimAtPath("/robot/root_joint")
    assert stage.GetPrimAtPath("/robot/base").GetAttribute("physxRigidBody:disableGravity").Get() is False
    assert len([prim for prim in stage.Traverse() if prim.IsA(UsdPhysics.RevoluteJoint)]) == 12

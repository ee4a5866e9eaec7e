# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Golden numbers of Franka's arm: counts, limits, masses, forward kinematics, what the file says of its fingers."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics, matrix

from cpo_lab.assets.authoring import write_robot
from cpo_lab.assets.franka.panda_table import (
    ARM_JOINTS,
    DEFAULT_POSE,
    FINGER_JOINTS,
    FINGERS,
    GRIP_SITE,
    HAND,
    HAND_TURN,
    JOINT_NAMES,
    TIP,
    panda,
)

AT_ZERO = {
    "panda_link1": (0.0, 0.0, 0.333),
    "panda_link3": (0.0, 0.0, 0.649),
    "panda_link4": (0.0825, 0.0, 0.649),
    "panda_link5": (0.0, 0.0, 1.033),
    "panda_link7": (0.088, 0.0, 1.033),
    "panda_leftfinger": (0.088, 0.0, 0.8676),
    "panda_rightfinger": (0.088, 0.0, 0.8676),
}
"""Origins of links from the base with all joints at zero [m], as another program computed them from the URDF."""


def place(robot, pose, link, point):
    position, rotation = forward_kinematics(robot, pose)[link]
    return position + rotation @ np.asarray(point)


def test_counts_limits_and_mass():
    robot = panda()
    assert (len(robot.links), len(robot.joints)) == (10, 9)
    assert tuple(joint.name for joint in robot.joints) == JOINT_NAMES == tuple(DEFAULT_POSE)
    assert sum(len(link.shapes) for link in robot.links) == 13
    assert robot.mass == pytest.approx(19.7334817, abs=1e-6)
    assert [joint.effort for joint in robot.joints] == [87.0] * 4 + [12.0] * 3 + [200.0] * 2
    assert [joint.velocity_limit for joint in robot.joints] == [2.175] * 4 + [2.61] * 3 + [0.2] * 2
    assert (robot.joint("panda_joint4").lower, robot.joint("panda_joint4").upper) == (-3.0718, -0.0698)
    assert [joint.slides for joint in robot.joints] == [False] * 7 + [True] * 2
    assert all(joint.lower < DEFAULT_POSE[joint.name] < joint.upper for joint in robot.joints)
    assert robot.fixed_base and robot.disable_gravity


def test_links_at_zero():
    poses = forward_kinematics(panda(), {})
    for name, position in AT_ZERO.items():
        np.testing.assert_allclose(poses[name][0], position, atol=1e-6)


def test_the_gripper_in_the_default_pose():
    robot = panda()
    np.testing.assert_allclose(place(robot, DEFAULT_POSE, HAND, GRIP_SITE), (0.458, 0.0, 0.0931), atol=5e-4)
    rotation = forward_kinematics(robot, DEFAULT_POSE)[HAND][1] @ matrix(HAND_TURN)
    assert rotation[2, 2] == pytest.approx(-1.0, abs=0.03)  # it looks down
    assert abs(rotation[1, 1]) == pytest.approx(1.0, abs=0.03)  # and opens to the sides


def test_the_fingers_slide_apart_and_their_pads_meet():
    robot = panda()
    for opening in (0.0, 0.03):
        pose = dict(DEFAULT_POSE, **dict.fromkeys(FINGER_JOINTS, opening))
        left, right = (place(robot, pose, finger, tip) for finger, tip in zip(FINGERS, TIP, strict=True))
        np.testing.assert_allclose((left + right) / 2.0, place(robot, pose, HAND, GRIP_SITE), atol=1e-9)
        assert np.linalg.norm(left - right) == pytest.approx(0.003 + 2.0 * opening)


def test_the_right_finger_is_the_left_one_turned_by_half():
    left, right = (panda().link(finger) for finger in FINGERS)
    np.testing.assert_allclose(np.multiply(left.center_of_mass, (-1, -1, 1)), right.center_of_mass)
    np.testing.assert_allclose(left.inertia, right.inertia)
    turn = np.diag([-1.0, -1.0, 1.0])
    axes = [matrix(link.inertia_orientation) for link in (left, right)]
    tensors = [axis @ np.diag(link.inertia) @ axis.T for axis, link in zip(axes, (left, right), strict=True)]
    np.testing.assert_allclose(turn @ tensors[0] @ turn.T, tensors[1], atol=1e-10)


def sampled(shape, count=400):
    """Points on the surface of a primitive, in its own frame."""
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(count, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    if shape.kind == "box":
        return ball / np.abs(ball).max(axis=1, keepdims=True) * shape.size
    radius, half = shape.size
    return radius * ball + np.stack([0 * ball[:, 0], 0 * ball[:, 0], half * np.sign(ball[:, 2])], axis=1)


def inside(shape, points):
    """Whether points in a primitive's frame are inside of it."""
    if shape.kind == "box":
        return (np.abs(points) < shape.size).all(axis=1)
    radius, half = shape.size
    nearest = np.clip(points[:, 2], -half, half)
    return np.linalg.norm(points - np.stack([0 * nearest, 0 * nearest, nearest], axis=1), axis=1) < radius


def test_no_pair_that_collides_overlaps_where_episodes_begin():
    robot, rng = panda(), np.random.default_rng(1)
    for _ in range(20):
        noise = rng.uniform(-0.25, 0.25, 7)
        pose = dict(DEFAULT_POSE) | {n: DEFAULT_POSE[n] + e for n, e in zip(ARM_JOINTS, noise, strict=True)}
        poses = forward_kinematics(robot, pose)
        for first, second in robot.collision_pairs:
            for one in robot.link(first).shapes:
                world = poses[first][0] + (
                    one.position + sampled(one) @ matrix(one.orientation).T
                ) @ poses[first][1].T  # fmt: skip
                for other in robot.link(second).shapes:
                    local = ((world - poses[second][0]) @ poses[second][1] - other.position) @ matrix(other.orientation)
                    assert not inside(other, local).any(), (first, second)


def test_the_file_has_sliding_fingers(tmp_path):
    from pxr import Usd, UsdPhysics

    write_robot(panda(), tmp_path / "panda.usda")
    stage = Usd.Stage.Open(str(tmp_path / "panda.usda"))
    finger = UsdPhysics.PrismaticJoint(stage.GetPrimAtPath(f"/robot/joints/{FINGER_JOINTS[1]}"))
    assert finger.GetUpperLimitAttr().Get() == pytest.approx(0.04)
    assert finger.GetLowerLimitAttr().Get() == 0.0
    assert UsdPhysics.DriveAPI.Get(finger.GetPrim(), "linear")
    assert len([prim for prim in stage.Traverse() if prim.IsA(UsdPhysics.RevoluteJoint)]) == 7

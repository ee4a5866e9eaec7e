# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Golden numbers of the Allegro hand and of the arm that carries it: counts, limits, masses, forward kinematics.

The kinematic golden numbers were computed with another program from another source than the tables: the URDFs of the
PyPI packages ``example-robot-data`` (Wonik's right hand) and ``differentiable-robot-model`` (iiwa7), with Wonik's palm
mounted at (0.01008, -0.00603, 0.18842), yaw -135 degrees. Wonik's frames agree with the reference's within 2 mm.
"""

from __future__ import annotations

import numpy as np
import pytest

from cpo_lab.assets import allegro_hand_table, kuka_allegro_table
from cpo_lab.assets.inertials import Inertial, merge, principal, quat_from_matrix, rotation_matrix
from cpo_lab.assets.robot_table import Robot

ARM = kuka_allegro_table.DEFAULT_ARM_POSE

POSES = [
    # arm angles, hand angles, position and rotation of link 7, fingertips in link 7
    ([0.0] * 7, [0.0] * 12 + [0.279, 0.0, 0.0, 0.0], (0.0, 0.0, 1.221), (0.0, 0.0, 0.0, 1.0),
     [(0.04709, -0.05011, 0.34507), (0.00654, -0.00957, 0.34792), (-0.034, 0.03098, 0.34507),
      (0.11243, -0.15526, 0.10648)]),
    (ARM, [0.2, 0.5, 0.6, 0.7] * 3 + [0.9, 0.4, 0.5, 0.6], (-0.00011, -0.55802, 0.72351),
     (0.68767, -0.28565, 0.25592, 0.61645),
     [(-0.0147, -0.13048, 0.24974), (-0.04941, -0.09577, 0.2541), (-0.08423, -0.06095, 0.25347),
      (-0.01103, -0.13009, 0.18497)]),
    ([0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9], [-0.3, 1.0, 0.4, 0.9] * 3 + [1.2, -0.2, 1.0, 0.3],
     (-0.13342, 0.03527, 1.16104), (0.07015, -0.23369, 0.89268, 0.37892),
     [(-0.06183, -0.09251, 0.2049), (-0.09361, -0.06073, 0.20418), (-0.12521, -0.02913, 0.19886),
      (0.01614, -0.10582, 0.21122)]),
]  # fmt: skip


def forward_kinematics(robot: Robot, angles: dict[str, float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return position and rotation matrix of every link in the root's frame."""
    joint_of = {joint.child: joint for joint in robot.joints}
    poses: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for link in robot.links:
        if link.parent is None:
            poses[link.name] = (np.zeros(3), np.eye(3))
            continue
        position, rotation = poses[link.parent]
        joint = joint_of[link.name]
        half = angles.get(joint.name, 0.0) / 2.0
        turn = rotation_matrix((*(np.sin(half) * np.asarray(joint.axis)), np.cos(half)))
        poses[link.name] = (
            position + rotation @ np.asarray(link.position),
            rotation @ rotation_matrix(link.orientation) @ turn,
        )
    return poses


def test_hand_counts_limits_and_mass():
    hand = allegro_hand_table.allegro_hand()
    assert (len(hand.links), len(hand.joints)) == (17, 16)
    assert tuple(joint.name for joint in hand.joints) == allegro_hand_table.JOINT_NAMES
    assert hand.mass == pytest.approx(1.02, abs=0.01)
    assert hand.joint("index_joint_0").upper == pytest.approx(0.5585, abs=1e-4)
    assert hand.joint("ring_joint_3").lower == pytest.approx(-0.2792, abs=1e-4)
    assert (hand.joint("thumb_joint_0").lower, hand.joint("thumb_joint_3").upper) == pytest.approx(
        (0.2792, 1.7627), abs=1e-4
    )
    assert {(joint.effort, joint.armature) for joint in hand.joints} == {(0.5, 0.001)}


def test_arm_counts_limits_and_mass():
    robot = kuka_allegro_table.kuka_allegro()
    assert (len(robot.links), len(robot.joints)) == (24, 23)
    assert tuple(joint.name for joint in robot.joints) == kuka_allegro_table.JOINT_NAMES
    assert robot.mass == pytest.approx(28.9, abs=0.05)
    assert [robot.joint(f"iiwa7_joint_{i}").upper for i in range(1, 8)] == pytest.approx(
        [2.9671, 2.0944, 2.9671, 2.0944, 2.9671, 2.0944, 3.0543], abs=1e-4
    )
    assert {joint.effort for joint in robot.joints[:7]} == {300.0} and {joint.effort for joint in robot.joints[7:]} == {
        0.35
    }
    assert [robot.link(f"index_link_{i}").mass for i in range(4)] == pytest.approx(
        [0.005, 0.125, 0.132, 0.021], abs=5e-4
    )


@pytest.mark.parametrize(("arm", "hand", "position", "quat", "tips"), POSES)
def test_forward_kinematics_against_other_urdfs(arm, hand, position, quat, tips):
    robot = kuka_allegro_table.kuka_allegro()
    poses = forward_kinematics(robot, dict(zip(kuka_allegro_table.JOINT_NAMES, [*arm, *hand], strict=True)))
    link_position, link_rotation = poses[kuka_allegro_table.PALM_LINK]
    np.testing.assert_allclose(link_position, position, atol=2e-5)
    np.testing.assert_allclose(link_rotation, rotation_matrix(quat), atol=5e-5)
    for link, offset, expected in zip(
        allegro_hand_table.FINGERTIP_LINKS, allegro_hand_table.FINGERTIP_OFFSETS, tips, strict=True
    ):
        tip = poses[link][0] + poses[link][1] @ np.asarray(offset)
        distance = np.linalg.norm(link_rotation.T @ (tip - link_position) - np.asarray(expected))
        assert distance < (0.0022 if "thumb" in link else 0.0008)


def reach(robot: Robot, link: str) -> float:
    """How far the colliders of a link reach along its X axis [m]."""
    return max(shape.position[0] + shape.size[0] for shape in robot.link(link).shapes)


def test_fingertips_of_the_hand_alone_are_as_long_as_the_references():
    """62.2 mm beyond joint 3, the thumb 77.1; the arm's are Wonik's."""
    hand, arm = allegro_hand_table.allegro_hand(), kuka_allegro_table.kuka_allegro()
    for link in allegro_hand_table.FINGERTIP_LINKS:
        thumb = link.startswith("thumb")
        assert reach(hand, link) == pytest.approx(0.0771 if thumb else 0.0622)
        assert reach(arm, link) == pytest.approx(0.0543 if thumb else 0.0387)


def test_hand_in_the_scene_reaches_down_the_table():
    """With the root pose of the task the palm sits at (-0.009, -0.082, 0.513) and the fingertips near y = -0.27."""
    turn, root = rotation_matrix((0.28304, 0.68333, -0.62178, 0.25755)), np.array([0.0, 0.0, 0.5])
    palm = root + turn @ np.asarray(allegro_hand_table.PALM_IN_MOUNT[0])
    np.testing.assert_allclose(palm, (-0.009, -0.082, 0.513), atol=1e-3)
    poses = forward_kinematics(allegro_hand_table.allegro_hand(), {})
    for link, offset in list(
        zip(allegro_hand_table.FINGERTIP_LINKS, allegro_hand_table.FINGERTIP_OFFSETS, strict=True)
    )[:3]:
        tip = root + turn @ (poses[link][0] + poses[link][1] @ np.asarray(offset))
        assert tip[1] == pytest.approx(-0.27, abs=0.01)


def test_merge_of_two_point_like_bodies():
    """Two 1 kg bodies 2 m apart on X: I about the middle gains m d^2 = 1 each in yy and zz."""
    body = Inertial(1.0, (0.0, 0.0, 0.0), (0.1, 0.0, 0.0, 0.1, 0.0, 0.1))
    whole = merge([(body, (-1.0, 0.0, 0.0), (0, 0, 0, 1)), (body, (1.0, 0.0, 0.0), (0, 0, 0, 1))])
    assert (whole.mass, whole.center) == (2.0, (0.0, 0.0, 0.0))
    assert whole.tensor == pytest.approx((0.2, 0.0, 0.0, 2.2, 0.0, 2.2))


def test_principal_axes_rebuild_the_tensor():
    inertial = Inertial(1.0, (0, 0, 0), (0.02076, 0.0, -0.003626, 0.02179, 0.0, 0.00779))
    moments, axes = principal(inertial)
    rotation = rotation_matrix(axes)
    np.testing.assert_allclose(rotation @ np.diag(moments) @ rotation.T, inertial.matrix(), atol=1e-9)


def test_impossible_tensor_falls_back_to_its_diagonal():
    moments, axes = principal(Inertial(1.0, (0, 0, 0), (7e-5, -9.6e-5, 0.0, 4e-5, 0.0, 6.6e-5)))
    assert moments == (7e-5, 4e-5, 6.6e-5) and axes == (0.0, 0.0, 0.0, 1.0)


def test_quaternion_of_a_matrix_round_trips():
    quat = np.array([0.5, -0.5, 0.1, 0.7])
    quat /= np.linalg.norm(quat)
    np.testing.assert_allclose(quat_from_matrix(rotation_matrix(tuple(quat))), quat, atol=1e-8)


def boxes(robot: Robot, angles: dict[str, float]) -> dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Return centre, axes and half edges of boxes around all colliders, by link."""
    found = {}
    for link in robot.links:
        position, rotation = forward_kinematics(robot, angles)[link.name]
        found[link.name] = [
            (
                position + rotation @ np.asarray(shape.position),
                rotation @ rotation_matrix(shape.orientation),
                np.asarray(shape.size if shape.kind == "box" else (shape.size[0], shape.size[0], sum(shape.size))),
            )
            for shape in link.shapes
        ]
    return found


def overlap(first, second) -> float:
    """Depth of two boxes in each other [m] by separating axes; negative if they are apart."""
    (c1, r1, e1), (c2, r2, e2) = first, second
    crossed = [np.cross(r1[:, i], r2[:, j]) for i in range(3) for j in range(3)]
    axes = [axis / np.linalg.norm(axis) for axis in [*r1.T, *r2.T, *crossed] if np.linalg.norm(axis) > 1e-6]
    return min(e1 @ abs(r1.T @ axis) + e2 @ abs(r2.T @ axis) - abs((c2 - c1) @ axis) for axis in axes)


@pytest.mark.parametrize("robot", [allegro_hand_table.allegro_hand(), kuka_allegro_table.kuka_allegro()])
def test_links_that_touch_each_other_are_apart_at_rest_and_after_a_reset(robot):
    """A pair that starts in one another would be pushed apart at every reset; the palm and the thumb's base are one."""
    limits = {joint.name: (joint.lower, joint.upper) for joint in robot.joints}
    names, generator = allegro_hand_table.JOINT_NAMES, np.random.default_rng(0)
    share = 0.2 if robot.name == "allegro_hand" else 0.1  # of the joints' range, as the tasks draw their starts
    draws = [np.zeros(16), *(share * generator.random((8, 16)))]
    for draw in draws:
        angles = {
            name: float(
                np.clip(part * limits[name][1] + (share - part) * limits[name][0] * (part > 0.0), *limits[name])
            )
            for name, part in zip(names, draw, strict=True)
        }
        found = boxes(robot, angles)
        for first, second in robot.collision_pairs:
            assert max(overlap(a, b) for a in found[first] for b in found[second]) < 0.0, (first, second)
    palm = robot.collision_pairs[-1][0]
    assert max(overlap(a, b) for a in found[palm] for b in found["thumb_link_1"]) > 0.007
    assert len(robot.collision_pairs) == len(set(robot.collision_pairs)) == 2 * 9 + 12 + 6 + 4


def test_no_links_touch_without_self_collision():
    assert allegro_hand_table.allegro_hand(False).collision_pairs == ()
    assert kuka_allegro_table.kuka_allegro(False).collision_pairs == ()

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Golden numbers of the humanoid: counts, limits, masses, forward kinematics.

The kinematic ones were computed with MuJoCo from the reference's MJCF file.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import forward_kinematics

from cpo_lab.assets.legs.humanoid_bodies import BODIES, HINGES
from cpo_lab.assets.legs.humanoid_table import (
    EFFORTS,
    FEET,
    FRAME_MASS,
    JOINT_NAMES,
    START_HEIGHT,
    TORSO,
    anchor_of,
    humanoid,
)

AT_ZERO = {
    "lower_waist": (-0.01, 0.0, 1.08),
    "pelvis": (-0.00934, 0.0, 0.915),
    "right_thigh": (-0.00902, -0.1, 0.875),
    "right_shin": (-0.0058, -0.09, 0.47202),
    "left_foot": (-0.00268, 0.09, 0.08203),
    "left_upper_arm": (0.0, 0.17, 1.4),
    "right_lower_arm": (0.18, -0.35, 1.22),
}
"""Origins of the file's bodies with all joints at zero, in the world [m]."""

START = (0.0, 0.0, START_HEIGHT)


def origin(poses, body: str) -> np.ndarray:
    """Where the file's frame of a body lies; ours lies in its anchor."""
    position, rotation = poses[body]
    return position - rotation @ np.asarray(anchor_of(body))


def test_counts_limits_and_mass():
    robot = humanoid()
    assert (len(BODIES), len(HINGES), len(robot.joints)) == (16, 21, 21)
    frames = [link for link in robot.links if link.name.endswith("_frame")]
    assert (len(robot.links), len(frames)) == (22, 9)
    assert sum(len(link.shapes) for link in robot.links) == 19
    assert robot.mass - FRAME_MASS * len(frames) == pytest.approx(40.8440212, abs=1e-6)
    assert JOINT_NAMES[:4] == ("abdomen_z", "abdomen_y", "abdomen_x", "right_hip_x")
    assert tuple(joint.name for joint in robot.joints) == JOINT_NAMES
    assert EFFORTS[:5] == (67.5, 67.5, 67.5, 45.0, 45.0) and max(EFFORTS) == 135.0
    knee = robot.joint("left_knee")
    assert (knee.lower, knee.upper) == (pytest.approx(math.radians(-160.0)), pytest.approx(math.radians(2.0)))
    assert all(joint.lower < 0.0 < joint.upper for joint in robot.joints)
    assert not robot.fixed_base and not robot.disable_gravity


def test_bodies_at_zero():
    poses = forward_kinematics(humanoid(), {}, START)
    for body, place in AT_ZERO.items():
        np.testing.assert_allclose(origin(poses, body), place, atol=2e-5)


def test_hinges_of_one_body_turn_one_after_the_other():
    """The last hinge of the hip turns about an axis that the two before have turned."""
    angles = {"right_hip_x": 0.2, "right_hip_z": -0.3, "right_hip_y": 0.5}
    robot = humanoid()
    poses, rest = forward_kinematics(robot, angles, START), forward_kinematics(robot, {}, START)

    def turn(axis: int, angle: float) -> np.ndarray:
        a, b = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[a, a] = matrix[b, b] = math.cos(angle)
        matrix[a, b], matrix[b, a] = -math.sin(angle), math.sin(angle)
        return matrix

    wanted = rest["right_thigh"][1] @ turn(0, 0.2) @ turn(2, -0.3) @ turn(1, 0.5)
    np.testing.assert_allclose(poses["right_thigh"][1], wanted, atol=1e-9)
    np.testing.assert_allclose(poses["right_thigh"][0], rest["right_thigh"][0], atol=1e-9)


def test_the_knee_turns_about_its_anchor():
    bent = forward_kinematics(humanoid(), {"right_knee": -1.0}, START)
    rest = forward_kinematics(humanoid(), {}, START)
    np.testing.assert_allclose(bent["right_shin"][0], rest["right_shin"][0], atol=1e-12)
    assert np.linalg.norm(origin(bent, "right_shin") - origin(rest, "right_shin")) == pytest.approx(
        2.0 * 0.02 * math.sin(0.5), abs=1e-6
    )


def ends(poses, link, shape) -> tuple[np.ndarray, np.ndarray, float]:
    """Both ends of a capsule's axis in the world, and its radius; a sphere is one without length."""
    from tests.cpo_lab.assets.kinematics import matrix

    position, rotation = poses[link.name]
    middle = position + rotation @ np.asarray(shape.position)
    half = shape.size[1] if shape.kind == "capsule" else 0.0
    axis = rotation @ matrix(shape.orientation) @ np.array([0.0, 0.0, half])
    return middle - axis, middle + axis, shape.size[0]


def gap(first, second) -> float:
    """Distance between two capsules, by sampling their axes."""
    share = np.linspace(0.0, 1.0, 41)[:, None]
    one, other = (begin + share * (end - begin) for begin, end, _ in (first, second))
    return float(np.linalg.norm(one[:, None] - other[None], axis=-1).min()) - first[2] - second[2]


def test_links_that_touch_each_other_do_not_at_the_start():
    robot = humanoid()
    poses = forward_kinematics(robot, {}, START)
    assert len(robot.collision_pairs) == 13 * 12 // 2 - 12
    assert not {(TORSO, "lower_waist"), ("pelvis", "right_thigh")} & set(robot.collision_pairs)
    assert ("right_thigh", "left_thigh") in robot.collision_pairs
    for pair in robot.collision_pairs:
        one, other = (robot.link(name) for name in pair)
        gaps = [gap(ends(poses, one, a), ends(poses, other, b)) for a, b in itertools.product(one.shapes, other.shapes)]
        assert min(gaps) > 0.0, pair


def test_feet_start_above_the_ground():
    robot = humanoid()
    poses = forward_kinematics(robot, {}, START)
    for foot in FEET:
        link = robot.link(foot)
        lowest = min(min(a[2], b[2]) - radius for a, b, radius in (ends(poses, link, shape) for shape in link.shapes))
        assert lowest == pytest.approx(0.055, abs=1e-3)

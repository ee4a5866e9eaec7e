# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpo_lab.tasks.in_hand.rules import (
    ReorientRules,
    flat_pen_rotation,
    random_goal_rotation,
    random_joint_positions,
    relative_rotation,
    reorient_reward,
    rotation_angle,
)

number = st.floats(-1.0, 1.0, width=32)


def about(axis: int, angle: float) -> torch.Tensor:
    quaternion = torch.zeros(1, 4, dtype=torch.float64)
    quaternion[0, axis], quaternion[0, 3] = math.sin(angle / 2), math.cos(angle / 2)
    return quaternion


def test_relative_rotation_by_hand():
    # a quarter turn about Z against a goal of an eighth turn about Z leaves an eighth turn about Z
    relative = relative_rotation(about(2, math.pi / 2), about(2, math.pi / 4))
    torch.testing.assert_close(relative, about(2, math.pi / 4))


def test_relative_rotation_is_the_hamilton_product():
    """About X by a, times the inverse of about Y by b: (sin a/2 cos b/2, -cos a/2 sin b/2, -sin a/2 sin b/2, ...)."""
    a, b = 0.4, 1.1
    sa, ca, sb, cb = math.sin(a / 2), math.cos(a / 2), math.sin(b / 2), math.cos(b / 2)
    wanted = torch.tensor([[sa * cb, -ca * sb, -sa * sb, ca * cb]], dtype=torch.float64)
    torch.testing.assert_close(relative_rotation(about(0, a), about(1, b)), wanted)


@given(st.tuples(number, number), st.tuples(number, number))
def test_angle_is_symmetric_and_zero_for_equal(first, second):
    a = random_goal_rotation(torch.tensor([first], dtype=torch.float64))
    b = random_goal_rotation(torch.tensor([second], dtype=torch.float64))
    forth, back = rotation_angle(relative_rotation(a, b)), rotation_angle(relative_rotation(b, a))
    torch.testing.assert_close(forth, back, atol=1e-6, rtol=0.0)
    # q and -q are one rotation
    torch.testing.assert_close(rotation_angle(relative_rotation(-a, b)), forth, atol=1e-6, rtol=0.0)
    assert rotation_angle(relative_rotation(a, a)).item() < 1e-6


@pytest.mark.parametrize("angle", [0.0, 0.05, 1.0, math.pi])
def test_angle_by_hand(angle):
    assert rotation_angle(about(1, angle)).item() == pytest.approx(angle, abs=1e-6)


def test_angle_survives_rounding_above_one():
    assert rotation_angle(torch.tensor([[1.0, 1e-3, 0.0, 0.0]])).item() == pytest.approx(math.pi)


def test_goal_rotation_by_hand():
    uniform = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.5, 0.5]])
    half = math.sqrt(0.5)
    wanted = torch.tensor([[0, 0, 0, 1.0], [1, 0, 0, 0], [0, -1, 0, 0], [0.5, 0.5, 0.5, 0.5]])
    torch.testing.assert_close(random_goal_rotation(uniform), wanted)
    # half a turn about X, then half a turn about the turned Y
    both = random_goal_rotation(torch.tensor([[0.5, 0.0]]))
    torch.testing.assert_close(both, torch.tensor([[half, 0.0, 0.0, half]]))


@given(st.tuples(number, number))
def test_goal_rotation_is_a_unit_quaternion(uniform):
    assert random_goal_rotation(torch.tensor([uniform])).norm().item() == pytest.approx(1.0, abs=1e-5)


def test_start_positions_by_hand():
    lower, upper, default = torch.tensor([0.0, -1.0]), torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5])
    uniform = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]])
    wanted = torch.tensor([[0.0, 0.2], [0.2, 1.0], [0.1, 0.4]])
    torch.testing.assert_close(random_joint_positions(uniform, default, lower, upper, 0.2), wanted)


def test_reward_by_hand():
    distance = torch.tensor([0.05, 0.0, 0.3])
    angle = torch.tensor([0.9, 0.05, 0.1])
    actions = torch.tensor([[0.5] * 20, [0.0] * 20, [1.0] * 20])
    reward, success = reorient_reward(distance, angle, actions, ReorientRules())
    # -10 * 0.05 + 1 / 1.0 - 0.0002 * 5; 1 / 0.15 + 250; -3 + 1 / 0.2 - 0.004 + 250
    wanted = torch.tensor([-0.5 + 1.0 - 0.001, 1 / 0.15 + 250.0, -3.0 + 5.0 - 0.004 + 250.0])
    torch.testing.assert_close(reward, wanted)
    assert success.tolist() == [False, True, True]


def test_success_tolerance_is_inclusive_and_ignores_the_position():
    angle = torch.tensor([0.1, 0.1000002])
    _, success = reorient_reward(torch.ones(2), angle, torch.zeros(2, 20), ReorientRules())
    assert success.tolist() == [True, False]


def test_fall_penalty():
    rules = ReorientRules(fall_penalty=-50.0)
    far, near = torch.tensor([0.24, 0.2399]), torch.full((2,), 1.0)
    reward, _ = reorient_reward(far, near, torch.zeros(2, 20), rules)
    without, _ = reorient_reward(far, near, torch.zeros(2, 20), ReorientRules())
    torch.testing.assert_close(reward - without, torch.tensor([-50.0, 0.0]))


def test_a_pen_lies_along_the_fingers():
    """Without noise a quarter turn about X; else 0.3 rad more, then half a turn about the pen's own axis."""
    rotations = flat_pen_rotation(torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(rotations[:1], about(0, math.pi / 2))
    half = math.pi / 4 + 0.15  # (sin, 0, 0, cos) times (0, 0, 1, 0)
    wanted = torch.tensor([[0.0, -math.sin(half), math.cos(half), 0.0]], dtype=torch.float64)
    torch.testing.assert_close(rotations[1:], wanted, atol=1e-12, rtol=0.0)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Rewards, ends, starts and control of Franka's tasks against cases computed by hand. Starts no engine."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")
import torch

from cpo_lab.tasks.franka.control import ControlRules, arm_torques
from cpo_lab.tasks.franka.push_rules import PushRules, push_outcome
from cpo_lab.tasks.franka.stack_rules import StackRules, stack_outcome
from cpo_lab.tasks.franka.starts import CANDIDATES, places, turned

PUSH, STACK = PushRules(), StackRules()


def push(distance, height=0.025, progress=10):
    def one(value):
        return torch.tensor([value])

    outcome = push_outcome(one(distance), one(height), one(progress), 300, PUSH)
    return outcome.reward.item(), outcome.success.item(), outcome.lifted.item()


def test_a_pushed_cube_earns_more_the_nearer_it_is():
    # 2 (1 - tanh(1)) and 2 (1 - tanh(0.1)); tanh(1) = 0.7615942, tanh(0.1) = 0.0996680
    assert push(0.1) == (pytest.approx(0.4768117), False, False)
    assert push(0.01) == (pytest.approx(1.8006640), False, False)


def test_reaching_the_goal_earns_four_for_each_step_that_is_left():
    assert push(0.0049, progress=10) == (1160.0, True, False)
    assert push(0.0051, progress=10)[1] is False
    assert push(0.0, height=0.2, progress=299) == (4.0, True, False)  # the goal counts first


def test_a_lifted_cube_and_the_last_step_cost():
    assert push(0.1, height=0.0901) == (pytest.approx(-3.8079708), False, True)
    assert push(0.1, height=0.0899)[2] is False
    assert push(0.1, progress=299) == (pytest.approx(-3.8079708), False, False)
    assert push(0.1, progress=298)[0] > 0.0


def stack(reach=1.0, offset=(0.2, 0.0, 0.01), released=1.0, height=0.025):
    outcome = stack_outcome(
        torch.tensor([reach]), torch.tensor([offset]), torch.tensor([released]), torch.tensor([height]),
        (0.05, 0.07), STACK,
    )  # fmt: skip
    return outcome.reward.item(), outcome.success.item(), outcome.lifted.item()


def test_reaching_lifting_and_aligning_are_paid():
    assert stack(reach=0.1) == (pytest.approx(0.1 * 0.2384058), False, False)
    # held 0.1 m over its place: 0.1 max(1 - tanh(0.2), 1 - tanh(1)) + 1.5 + 2 (1 - tanh(1)), tanh(0.2) = 0.1973753
    reward, success, lifted = stack(reach=0.02, offset=(0.0, 0.0, -0.16), released=0.0, height=0.195)
    assert reward == pytest.approx(0.1 * 0.8026247 + 1.5 + 2.0 * 0.2384058)
    assert (success, lifted) == (False, True)


def test_holding_the_cube_in_its_place_earns_the_most_but_a_success():
    assert stack(0.0, (0.0, 0.0, -0.06), 0.0, 0.095) == (pytest.approx(3.6), False, True)
    # not lifted, so a cube beside the other one is not aligned however near
    assert stack(0.0, (0.0, 0.0, -0.06), 0.0, 0.09)[0] == pytest.approx(0.1)


def test_a_stacked_cube_that_was_let_go_is_a_success():
    assert stack(0.05, (0.019, 0.0, -0.06), 0.041, 0.095) == (16.0, True, True)
    assert stack(0.05, (0.021, 0.0, -0.06), 0.041, 0.095)[1] is False
    assert stack(0.05, (0.015, 0.015, -0.06), 0.041, 0.095)[1] is False
    assert stack(0.05, (0.0, 0.0, -0.06), 0.039, 0.095)[1] is False
    assert stack(0.05, (0.0, 0.0, -0.06), 0.041, 0.116)[1] is False
    assert stack(0.05, (0.0, 0.0, -0.06), 0.041, 0.076)[1] is True


def test_cubes_start_apart_in_their_square():
    uniform = torch.rand(20000, 2 + 2 * CANDIDATES, generator=torch.Generator().manual_seed(0))
    cube, goal = places(uniform, 0.25, 0.1697)
    assert (cube - goal).norm(dim=-1).min() >= 0.1697 - 1e-6
    for points in (cube, goal):
        assert points.abs().max() <= 0.25
        assert points.min() < -0.24 and points.max() > 0.24
    first = 0.25 * (2.0 * uniform[:, 2:4] - 1.0)
    kept = (first - goal).norm(dim=-1) >= 0.1697
    assert torch.equal(cube[kept], first[kept])


def test_a_cube_without_a_free_place_lies_beside_the_goal():
    uniform = torch.full((2, 2 + 2 * CANDIDATES), 0.5)
    uniform[1] = 0.4  # the goal, and every candidate, at -0.05
    cube, goal = places(uniform, 0.25, 0.15)
    assert torch.allclose(goal, torch.tensor([[0.0, 0.0], [-0.05, -0.05]]))
    assert torch.allclose(cube, torch.tensor([[-0.15, 0.0], [0.10, -0.05]]))


def test_turns_about_the_vertical():
    quarter = math.pi / 4.0
    rotations = turned(torch.tensor([0.0, 0.5, 1.0]), quarter)
    half = quarter / 2.0
    wanted = [[0.0, 0.0, -math.sin(half), math.cos(half)], [0, 0, 0, 1], [0.0, 0.0, math.sin(half), math.cos(half)]]
    assert torch.allclose(rotations, torch.tensor(wanted))


def law(mass, step=0.0, velocity=0.0, error=0.0, joint_velocity=0.0, rules=None):
    """An arm whose first six joints move the gripper along and about the axes, and whose seventh does not."""
    jacobian = torch.eye(7)[:6].unsqueeze(0)

    def row(value, size):
        return torch.full((1, size), float(value))

    return arm_torques(
        jacobian, mass.unsqueeze(0), row(step, 6), row(velocity, 6), row(error, 7), row(joint_velocity, 7),
        rules or ControlRules(),
    )[0]  # fmt: skip


def test_a_step_is_accelerated_by_the_inertia_that_is_felt():
    mass = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))
    # 150 x 0.1 - 2 sqrt(150) x 0.2 = 10.1010205
    torques = law(mass, step=0.1, velocity=0.2)
    assert torques.tolist() == pytest.approx([10.1010205 * m for m in range(1, 7)] + [0.0], rel=1e-5, abs=1e-5)


def test_the_posture_moves_only_what_the_gripper_does_not_feel():
    mass = torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]))
    # 7 (10 x 0.3 - 2 sqrt(10) x 0.4) = 3.2912279
    assert law(mass, error=0.3, joint_velocity=0.4).tolist() == pytest.approx([0.0] * 6 + [3.2912279], abs=1e-4)
    # nearly a whole turn away is a little the other way
    assert law(mass, error=2.0 * math.pi - 0.3)[6].item() == pytest.approx(-21.0, abs=1e-3)


def test_coupled_joints_leave_the_gripper_alone_in_acceleration():
    generator = torch.Generator().manual_seed(2)
    root = torch.rand(5, 7, 7, generator=generator, dtype=torch.float64)
    mass = root @ root.transpose(1, 2) + 0.5 * torch.eye(7, dtype=torch.float64)
    jacobian = torch.rand(5, 6, 7, generator=generator, dtype=torch.float64)
    zero, error = torch.zeros(5, 6, dtype=torch.float64), torch.rand(5, 7, generator=generator, dtype=torch.float64)
    torques = arm_torques(jacobian, mass, zero, zero, error, 0.5 * error, ControlRules())
    acceleration = (jacobian @ torch.linalg.solve(mass, torques.unsqueeze(-1))).squeeze(-1)
    assert acceleration.abs().max() < 1e-9
    step = torch.rand(5, 6, generator=generator, dtype=torch.float64)
    torques = arm_torques(jacobian, mass, step, zero, error, error, ControlRules())
    acceleration = (jacobian @ torch.linalg.solve(mass, torques.unsqueeze(-1))).squeeze(-1)
    assert torch.allclose(acceleration, 150.0 * step)


def test_an_arm_that_cannot_be_inverted_gets_no_torque():
    broken = torch.full((7, 7), float("nan"))
    assert law(broken, step=0.1).tolist() == [0.0] * 7

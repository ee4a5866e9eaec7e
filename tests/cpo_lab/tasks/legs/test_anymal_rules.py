# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpo_lab.tasks.legs.anymal_rules import (
    WalkRules,
    draw_command,
    has_fallen,
    observed_gravity,
    start_positions,
    tracking_errors,
    walk_reward,
)
from cpo_lab.tasks.rotations import rotate, rotate_back

RULES = WalkRules()
number = st.floats(-3.0, 3.0, width=32)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_reward_by_hand():
    """Wanted (1, -0.5, 0.2), moving at (0.8, -0.3) and turning at 0.5, with torques of 10, -20 and 30 N m.

    Squared errors 0.04 + 0.04 = 0.08 and 0.09; 0.02 exp(-0.32) + 0.01 exp(-0.36) - 5e-7 * 1400.
    """
    walking, turning = tracking_errors(row(1.0, -0.5, 0.2), row(0.8, -0.3, 7.0), row(8.0, 9.0, 0.5))
    assert walking.item() == pytest.approx(0.08)
    assert turning.item() == pytest.approx(0.09)
    reward = walk_reward(walking, turning, row(10.0, -20.0, 30.0), RULES)
    assert reward.item() == pytest.approx(0.014522981 + 0.006976763 - 0.0007, abs=1e-9)


def test_doing_as_commanded_without_effort_is_worth_75_an_episode():
    walking, turning = tracking_errors(row(2.0, -1.0, 1.0), row(2.0, -1.0, 0.0), row(0.0, 0.0, 1.0))
    reward = walk_reward(walking, turning, torch.zeros(1, 12, dtype=torch.float64), RULES)
    assert 2500 * reward.item() == pytest.approx(75.0)


@given(number, number, st.floats(0.0, 80.0, width=32))
def test_reward_is_never_negative_and_at_most_3_hundredths(error, turn, torque):
    torques = torch.full((1, 12), torque, dtype=torch.float64)
    reward = walk_reward(row(error * error)[0], row(turn * turn)[0], torques, RULES).item()
    assert 0.0 <= reward <= 0.03
    # 80 N m in all joints cost 0.0384, more than there is to earn
    assert torque < 80.0 or reward == 0.0


def test_heights_of_a_velocity_and_tilts_do_not_count():
    command, moving = row(1.0, 0.0, 0.0), row(1.0, 0.0, 5.0)
    assert [error.item() for error in tracking_errors(command, moving, row(3.0, -4.0, 0.0))] == [0.0, 0.0]


def test_a_fall_is_more_than_one_newton_on_any_of_the_links():
    forces = torch.zeros(4, 5, 3)
    forces[1, 0, 2] = 1.0  # just allowed
    forces[2, 4] = torch.tensor([0.6, 0.6, 0.6])  # 1.04 N
    forces[3, 0, 1] = -200.0
    assert has_fallen(forces, RULES).tolist() == [False, False, True, True]


def test_gravity_entry_is_the_downward_axis_in_world_axes():
    tilt = 0.3
    pitched = row(0.0, math.sin(tilt / 2), 0.0, math.cos(tilt / 2))
    # nose down: the base's downward axis points backwards in the world, where projected gravity would point forwards
    expected = row(-math.sin(tilt), 0.0, -math.cos(tilt))
    torch.testing.assert_close(observed_gravity(pitched), expected)
    down = row(0.0, 0.0, -1.0)
    torch.testing.assert_close(observed_gravity(pitched), rotate(pitched, down))
    torch.testing.assert_close(rotate_back(pitched, down), expected * row(-1.0, 1.0, 1.0))
    # it turns with yaw: the same tilt towards +Y after a quarter turn
    half = math.sqrt(0.5)
    x, y, z, w = pitched[0]
    turned = torch.stack((half * (x - y), half * (y + x), half * (w + z), half * (w - z))).unsqueeze(0)
    torch.testing.assert_close(observed_gravity(turned), row(0.0, -math.sin(tilt), -math.cos(tilt)))


def test_commands_lie_between_the_corners():
    low, high = torch.tensor([-2.0, -1.0, -1.0]), torch.tensor([2.0, 1.0, 1.0])
    uniform = torch.tensor([[0.0, 0.5, 1.0], [0.75, 0.25, 0.5]])
    wanted = torch.tensor([[-2.0, 0.0, 1.0], [1.0, -0.5, 0.0]])
    torch.testing.assert_close(draw_command(uniform, low, high), wanted)


def test_start_positions_scale_the_default():
    default = torch.tensor([0.03, 0.4, -0.8])
    uniform = torch.tensor([[0.0, 0.5, 1.0]])
    torch.testing.assert_close(start_positions(uniform, default, 0.5, 1.5), torch.tensor([[0.015, 0.4, -1.2]]))

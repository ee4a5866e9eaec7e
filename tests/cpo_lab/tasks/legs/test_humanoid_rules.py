# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpo_lab.tasks.legs.humanoid_rules import (
    RunRules,
    observed_angles,
    potential,
    projections,
    run_reward,
    wrapped,
)
from cpo_lab.tasks.rotations import rotate

RULES = RunRules()
TARGET = torch.tensor([1000.0, 0.0, 0.0], dtype=torch.float64)
number = st.floats(-3.0, 3.0, width=32)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def about(axis: int, angle: float) -> torch.Tensor:
    quaternion = torch.zeros(1, 4, dtype=torch.float64)
    quaternion[0, axis], quaternion[0, 3] = math.sin(angle / 2), math.cos(angle / 2)
    return quaternion


def reward(**changes: torch.Tensor) -> float:
    """Reward of standing still, upright, facing the target, of a robot of two joints, with changes."""
    usual = {
        "approach": row(0.0)[0], "upward": row(1.0)[0], "heading": row(1.0)[0], "height": row(1.3)[0],
        "actions": row(0.0, 0.0), "positions": row(0.0, 0.0), "velocities": row(0.0, 0.0),
    }  # fmt: skip
    strength = torch.tensor([1.0, 0.5], dtype=torch.float64)
    return run_reward(**{**usual, **changes}, strength=strength, rules=RULES).item()


def test_reward_by_hand():
    """2.5 m/s, alive 2, upright 0.1, facing 0.4 of 0.8: 0.25; actions 1 and -0.5: 0.0125; energy 0.05 (0.3 + 0.1 / 2).

    The first joint is half way from 0.98 to its limit: 0.125.
    """
    found = reward(
        approach=row(2.5)[0], upward=row(0.94)[0], heading=row(0.4)[0], actions=row(1.0, -0.5),
        velocities=row(-0.3, 0.2), positions=row(-0.99, 0.98),
    )  # fmt: skip
    assert found == pytest.approx(2.5 + 2.0 + 0.1 + 0.25 - 0.0125 - 0.0175 - 0.125)


def test_terms_one_by_one():
    assert reward() == pytest.approx(2.6)
    assert reward(upward=row(0.93)[0]) == pytest.approx(2.5)  # more than 0.93 it must be
    assert reward(heading=row(0.8)[0]) == pytest.approx(2.6)
    assert reward(heading=row(-1.0)[0]) == pytest.approx(2.1 - 0.625)  # facing away costs more than facing ahead pays
    assert reward(positions=row(0.0, 1.02)) == pytest.approx(2.6 - 0.25 * 2.0 * 0.5)
    assert reward(approach=row(-3.0)[0]) == pytest.approx(-0.4)


def test_a_fall_is_the_whole_reward():
    assert reward(height=row(0.79)[0], approach=row(9.0)[0]) == -1.0
    assert reward(height=row(0.8)[0]) == pytest.approx(2.6)


def test_the_potential_grows_by_the_speed_of_approach():
    dt, before, after = 0.0166, row(0.0, 3.0, 1.3), row(0.05, 3.0, 1.1)
    speed = (potential(after, TARGET, dt) - potential(before, TARGET, dt)).item()
    assert speed == pytest.approx(0.05 / dt * 1000.0 / math.hypot(1000.0, 3.0), rel=1e-6)
    assert potential(row(0.0, 0.0, 1.34), TARGET, dt).item() == pytest.approx(-1000.0 / 0.0166)


def test_projections_by_hand():
    leaning, turned = about(1, 0.4), about(2, 0.7)
    for rotation, upward, heading in ((leaning, math.cos(0.4), math.cos(0.4)), (turned, 1.0, math.cos(0.7))):
        found = projections(row(0.0, 0.0, 1.0), rotation, TARGET)
        assert [value.item() for value in found] == pytest.approx([upward, heading])
    # beside the way, the direction to the target is oblique
    _, heading = projections(row(0.0, 1000.0, 1.0), about(2, -math.pi / 4), TARGET)
    assert heading.item() == pytest.approx(1.0)


@given(number, number, number, number)
def test_projections_are_axes_of_the_torso(x, y, z, w):
    rotation = row(x, y, z, w + 4.0)
    rotation /= rotation.norm()
    upward, heading = projections(row(0.0, 0.0, 1.0), rotation, TARGET)
    assert upward.item() == pytest.approx(rotate(rotation, row(0.0, 0.0, 1.0))[0, 2].item(), abs=1e-9)
    assert heading.item() == pytest.approx(rotate(rotation, row(1.0, 0.0, 0.0))[0, 0].item(), abs=1e-9)


def test_angles_by_hand():
    yaw, roll, aim = observed_angles(row(0.0, 0.0, 1.34), about(2, 0.6), TARGET)[0].tolist()
    assert (yaw, roll) == (pytest.approx(0.6), pytest.approx(0.0))
    assert aim == pytest.approx(math.atan2(-1.34, 1000.0) - 0.6)
    assert observed_angles(row(0.0, 0.0, 1.34), about(0, -0.3), TARGET)[0, 1].item() == pytest.approx(-0.3)
    assert observed_angles(row(0.0, 5.0, 1.34), about(2, 0.0), TARGET)[0, 2].item() == pytest.approx(-0.00134, abs=1e-6)


def test_angles_are_within_half_a_turn():
    turns = torch.tensor([3.0 * math.pi + 0.1, -math.pi - 0.1, 0.5], dtype=torch.float64)
    wanted = torch.tensor([-math.pi + 0.1, math.pi - 0.1, 0.5], dtype=torch.float64)
    torch.testing.assert_close(wrapped(turns), wanted)

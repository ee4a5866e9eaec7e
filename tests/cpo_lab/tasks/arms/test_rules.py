# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Hand-computed cases of every rule of the Allegro-Kuka tasks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpo_lab.tasks.arms import rules

CORNERS = torch.tensor([[1.0, 1, 1], [1, 1, -1], [-1, -1, 1], [-1, -1, -1]])


def test_fingertip_approach_pays_only_new_minima():
    best = torch.tensor([[rules.UNTOUCHED, 0.30], [0.20, 0.30]])
    distance = torch.tensor([[0.50, 0.25], [0.25, 0.10]])
    result = rules.fingertip_approach(distance, best, torch.tensor([False, False]), until_lifted=True)
    # env 0: finger 0 has no reference yet, finger 1 gained 0.05; env 1: finger 0 moved away, finger 1 gained 0.20
    torch.testing.assert_close(result.reward, torch.tensor([0.05, 0.20]))
    torch.testing.assert_close(result.best, torch.tensor([[0.50, 0.25], [0.20, 0.10]]))


def test_fingertip_approach_stops_when_lifted_for_one_arm_but_not_for_two():
    args = (torch.tensor([[0.1]]), torch.tensor([[0.3]]), torch.tensor([True]))
    one, two = rules.fingertip_approach(*args, until_lifted=True), rules.fingertip_approach(*args, until_lifted=False)
    assert one.reward.item() == 0.0 and one.best.item() == pytest.approx(0.1)
    assert two.reward.item() == pytest.approx(0.2)


def test_lifting_height_reward_bonus_and_latch():
    z = torch.tensor([0.55, 0.63, 0.72, 0.74, 0.60])
    lifted = torch.tensor([False, False, False, False, True])
    result = rules.lifting(z, 0.63, lifted)
    torch.testing.assert_close(result.height_reward, torch.tensor([0.0, 0.05, 0.14, 0.0, 0.0]))
    assert result.bonus.tolist() == [0, 0, 0, 1, 0]
    assert result.lifted.tolist() == [False, False, False, True, True]


def test_keypoint_offsets_scale_with_the_object():
    offsets = rules.keypoint_offsets(torch.tensor([[1.0, 2.0, 0.5]]), CORNERS)
    # 0.05 * 1.5 / 2 = 0.0375 per unit of scale
    torch.testing.assert_close(offsets[0, 1], torch.tensor([0.0375, 0.075, -0.01875]))
    assert offsets.shape == (1, 4, 3)


def test_keypoint_distance_is_the_largest():
    a = torch.zeros(1, 4, 3)
    b = torch.zeros(1, 4, 3)
    b[0, 2] = torch.tensor([0.03, 0.04, 0.0])
    b[0, 3] = torch.tensor([0.0, 0.01, 0.0])
    assert rules.keypoint_distance(a, b).item() == pytest.approx(0.05)


def test_keypoint_progress_needs_lifting_but_tracks_always():
    distance = torch.tensor([0.2, 0.2, 0.5, 0.2])
    best = torch.tensor([0.3, 0.3, 0.3, rules.UNTOUCHED])
    result = rules.keypoint_progress(distance, best, torch.tensor([True, False, True, True]))
    torch.testing.assert_close(result.reward, torch.tensor([0.1, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(result.best, torch.tensor([0.2, 0.2, 0.3, 0.2]))


def test_near_goal_counts_cumulatively():
    steps = torch.tensor([28, 29, 29])
    distance = torch.tensor([0.11, 0.11, 0.12])  # the region is 0.075 * 1.5 = 0.1125 m
    result = rules.near_goal(distance, steps, torch.tensor(0.075), 1.5, success_steps=30)
    assert result.near.tolist() == [True, True, False]
    assert result.steps.tolist() == [29, 30, 29]
    assert result.success.tolist() == [False, True, False]


def test_curriculum_waits_for_interval_and_threshold():
    tol, yes, no = torch.tensor(0.075), torch.tensor(True), torch.tensor(False)
    assert rules.curriculum_tolerance(tol, torch.tensor(3.0), yes, 0.01)[0].item() == pytest.approx(0.0675)
    assert rules.curriculum_tolerance(tol, torch.tensor(2.9), yes, 0.01)[0].item() == pytest.approx(0.075)
    assert rules.curriculum_tolerance(tol, torch.tensor(9.0), no, 0.01)[0].item() == pytest.approx(0.075)
    assert rules.curriculum_tolerance(torch.tensor(0.0105), torch.tensor(9.0), yes, 0.01)[0].item() == pytest.approx(
        0.01
    )


def test_curriculum_needs_twenty_reductions():
    tol, count = torch.tensor(0.075), 0
    while tol.item() > 0.01:
        tol, _ = rules.curriculum_tolerance(tol, torch.tensor(3.0), torch.tensor(True), 0.01)
        count += 1
    assert count == 20


def test_objective_before_and_after_the_target():
    s = torch.tensor([10.0])
    # halfway: g = (0.075 - 0.0425) / 0.065 = 0.5
    assert rules.success_objective(s, torch.tensor(0.0425), 0.075, 0.01).item() == pytest.approx(0.6)
    assert rules.success_objective(s, torch.tensor(0.01), 0.075, 0.01).item() == pytest.approx(11.0)
    assert rules.success_objective(s, torch.tensor(0.075), 0.075, 0.075).item() == pytest.approx(11.0)


def test_velocity_penalties_split_arm_and_hand():
    arm, hand = rules.velocity_penalties(torch.tensor([[1.0, -2.0] + [0.0] * 5 + [0.5, -0.5] + [0.0] * 14]))
    assert arm.item() == -3.0 and hand.item() == -1.0


def test_dones_cover_every_rule():
    z = torch.tensor([0.09, 0.5, 0.5, 0.5, 0.5])
    successes = torch.tensor([0, 50, 49, 0, 0])
    progress = torch.tensor([599, 5, 599, 598, 5])
    far = torch.tensor([0.1, 0.1, 0.1, 0.1, 1.6])
    result = rules.dones(z, successes, progress, 600, 50, furthest_fingertip=far)
    assert result.terminated.tolist() == [True, True, False, False, True]
    assert result.time_out.tolist() == [False, False, True, False, False]
    assert rules.dones(z, successes, progress, 600, 50).terminated.tolist() == [True, True, False, False, False]


def test_arm_targets_integrate_and_clamp():
    low, high = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])
    out = rules.arm_targets(torch.tensor([[0.0, 0.9]]), torch.tensor([[1.0, 1.0]]), low, high, 10.0, 1 / 60)
    torch.testing.assert_close(out, torch.tensor([[10 / 60, 1.0]]))


def test_force_decay_half_life():
    decay = rules.force_decay(1 / 60)
    assert decay == pytest.approx(0.9979, abs=1e-4)
    assert math.log(0.5) / math.log(decay) == pytest.approx(331, abs=1)


def test_random_forces_replace_or_decay():
    out = rules.random_forces(
        torch.ones(2, 3),
        torch.tensor([0.1, 0.1]),
        torch.tensor([0.05, 0.5]),
        torch.full((2, 3), 3.0),
        torch.tensor(0.05),
        2.0,
        0.9,
    )
    torch.testing.assert_close(out, torch.tensor([[0.3] * 3, [0.9] * 3]))


def test_log_uniform_ends_and_middle():
    torch.testing.assert_close(
        rules.log_uniform(0.001, 0.1, torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.001, 0.01, 0.1])
    )


def test_bucket_position_corners():
    out = rules.bucket_position(torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.9]]))
    torch.testing.assert_close(out, torch.tensor([[-0.5, -1.0, 0.0], [0.9, 0.7, 1.0]]))


def test_start_offset_with_and_without_a_side():
    noise = torch.tensor([0.1, 0.1, 0.02])
    torch.testing.assert_close(
        rules.start_offset(torch.tensor([[1.0, 0.5, 0.0]]), noise), torch.tensor([[0.1, 0.0, -0.02]])
    )
    out = rules.start_offset(torch.tensor([[0.5, 0.5, 0.5]]), noise, torch.tensor([-1.0]))
    torch.testing.assert_close(out, torch.tensor([[-0.35, 0.0, 0.0]]))


def test_reset_joint_positions_range():
    default, low, high = torch.tensor([0.5]), torch.tensor([-1.0]), torch.tensor([1.0])
    out = rules.reset_joint_positions(default, low, high, torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(out, torch.tensor([[0.35], [0.55]]))


@given(st.lists(st.floats(0.0, 2.0, width=32), min_size=1, max_size=20))
def test_total_approach_reward_telescopes_to_start_minus_minimum(path):
    """However the finger wanders, the sum of the rewards is the start distance minus the smallest one."""
    best, total = torch.tensor([[rules.UNTOUCHED]]), 0.0
    for value in path:
        result = rules.fingertip_approach(torch.tensor([[value]]), best, torch.tensor([False]), until_lifted=True)
        best, total = result.best, total + result.reward.item()
    assert total == pytest.approx(path[0] - min(path), abs=1e-5)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Motion is cut off at its limits by hand-computed amounts, only where it exceeds them. Starts no engine."""

from __future__ import annotations

import math
from types import SimpleNamespace
from unittest.mock import patch

import pytest

pytest.importorskip("isaaclab")
import torch
import warp as wp

from cpo_lab.assets.allegro_hand_table import allegro_hand
from cpo_lab.assets.kuka_allegro_table import kuka_allegro
from cpo_lab.assets.shadow_hand_table import shadow_hand
from cpo_lab.tasks import motion_limits
from cpo_lab.tasks.motion_limits import MotionLimiter, joint_velocity_limits

wp.init()


class Written:
    """A body whose masked writes are carried out on its data."""

    def __init__(self, **data: torch.Tensor) -> None:
        if "joint_vel" in data:
            joints = data["joint_vel"].shape
            data.setdefault("joint_pos", torch.zeros(joints))
            data["joint_pos_limits"] = torch.tensor([-1.0, 1.0]).repeat(*joints, 1)
        self.data = SimpleNamespace(**{name: SimpleNamespace(torch=value) for name, value in data.items()})
        self.actuators: dict = {}
        self.writes = 0

    def _write(self, name: str, value: torch.Tensor, mask) -> None:
        self.writes += 1
        where = torch.from_numpy(mask.numpy())
        getattr(self.data, name).torch[where] = value[where]

    def write_joint_position_to_sim_mask(self, position, env_mask) -> None:
        self._write("joint_pos", position, env_mask)

    def write_joint_velocity_to_sim_mask(self, velocity, env_mask) -> None:
        self._write("joint_vel", velocity, env_mask)

    def write_root_velocity_to_sim_mask(self, root_velocity, env_mask) -> None:
        self._write("root_com_vel_w", root_velocity, env_mask)


def limiter(robot: Written | None = None, body: Written | None = None) -> MotionLimiter:
    scene = SimpleNamespace(
        device="cpu", articulations={"robot": robot} if robot else {}, rigid_objects={"object": body} if body else {}
    )
    with patch.object(motion_limits, "moves_freely", lambda body: True):
        return MotionLimiter(scene, 20.0, 64.0)


def test_joints_are_cut_off_where_they_exceed_their_limits():
    velocity = torch.tensor([[5.0, -7.0], [-12.0, 7.0], [-10.0, 6.0]])
    robot = Written(joint_vel=velocity.clone(), joint_vel_limits=torch.tensor([[10.0, 6.283]]).repeat(3, 1))
    limits = limiter(robot)
    limits.apply()
    expected = torch.tensor([[5.0, -6.283], [-10.0, 6.283], [-10.0, 6.0]])
    assert torch.equal(robot.data.joint_vel.torch, expected)
    limits.apply()
    assert robot.writes == 1, "nothing is written while nothing is too fast"


def test_joints_past_their_limits_move_inwards_only():
    velocity = torch.tensor([[5.0, -5.0], [5.0, -5.0], [5.0, -5.0]])
    position = torch.tensor([[1.05, -1.05], [1.15, 1.15], [-1.15, -1.15]])
    robot = Written(joint_vel=velocity.clone(), joint_pos=position, joint_vel_limits=torch.full((3, 2), 10.0))
    limiter(robot).apply()
    # within 0.1 rad of the limits nothing changes; beyond, what leads outwards is stopped
    assert torch.equal(robot.data.joint_vel.torch, torch.tensor([[5.0, -5.0], [0.0, -5.0], [5.0, 0.0]]))


def test_a_joint_that_was_pushed_far_past_a_limit_is_put_back():
    position = torch.tensor([[1.19, -1.19], [1.35, 0.5], [-0.5, -1.9], [math.nan, 0.0], [2.1, 1.3]])
    robot = Written(joint_vel=torch.zeros(5, 2), joint_pos=position.clone(), joint_vel_limits=torch.full((5, 2), 10.0))
    limits = limiter(robot)
    limits.apply()
    expected = torch.tensor(
        [[1.19, -1.19], [1.2, 0.5], [-0.5, -1.2], [math.nan, 0.0], [2.1, 1.3]]
    )  # the last two are broken
    torch.testing.assert_close(robot.data.joint_pos.torch, expected, equal_nan=True)
    limits.apply()
    assert robot.writes == 1, "nothing is written while every joint is near enough"


def test_large_numbers_of_an_engine_are_no_limits():
    robot = Written(joint_vel=torch.full((1, 3), 1e4), joint_vel_limits=torch.tensor([[1e9, 0.0, math.nan]]))
    assert torch.isinf(joint_velocity_limits(robot)).all()
    limiter(robot).apply()
    assert robot.writes == 0


def test_objects_keep_their_directions():
    velocity = torch.tensor([[3.0, 4.0, 0.0, 0.0, 0.0, 128.0], [30.0, 0.0, 40.0, 1.0, 2.0, 3.0], [0.0] * 6])
    body = Written(root_com_vel_w=velocity.clone())
    limiter(body=body).apply()
    expected = torch.tensor([[3.0, 4.0, 0.0, 0.0, 0.0, 64.0], [12.0, 0.0, 16.0, 1.0, 2.0, 3.0], [0.0] * 6])
    torch.testing.assert_close(body.data.root_com_vel_w.torch, expected)


def test_tables_state_the_references_limits():
    assert {joint.velocity_limit for joint in allegro_hand().joints} == {6.283}
    arm = kuka_allegro()
    assert {joint.velocity_limit for joint in arm.joints[:7]} == {10.0}
    assert {joint.velocity_limit for joint in arm.joints[7:]} == {6.283}
    assert {joint.armature for joint in arm.joints[7:]} == {0.001}
    # gain / damping * range: 1 / 0.1 * 1.571, 5 / 0.5 * 0.629, and J0 follows J1 1.142 times as fast
    hand = shadow_hand()
    assert hand.joint("FFJ1").velocity_limit == pytest.approx(15.71)
    assert hand.joint("WRJ1").velocity_limit == pytest.approx(6.29)
    assert hand.joint("FFJ0").velocity_limit == pytest.approx(17.938, abs=1e-3)

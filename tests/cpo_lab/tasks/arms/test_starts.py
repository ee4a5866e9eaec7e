# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Starts of the arm tasks are clear of the table, by geometry that is computed by hand here. Starts no engine."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("isaaclab")
import torch
from tests.cpo_lab.assets.kinematics import forward_kinematics

from cpo_lab.assets.kuka_allegro_table import JOINT_NAMES, kuka_allegro
from cpo_lab.assets.robot_table import Joint, Link, Robot, sphere
from cpo_lab.tasks.arms import rules
from cpo_lab.tasks.arms.scenes import KukaSceneCfg, TwoArmsSceneCfg
from cpo_lab.tasks.arms.starts import CANDIDATES, MARGIN, StartPoses, lift_clear

ARMS = [
    (KukaSceneCfg(), "robot", (0.015, 0.045)),
    (TwoArmsSceneCfg(), "robot", (0.002, 0.02)),
    (TwoArmsSceneCfg(), "robot_2", (0.002, 0.02)),
]
"""Scenes, their arms, and the share of starts of the reference that are inside the table."""


def table_of(robot: Robot) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([j.lower for j in robot.joints]), torch.tensor([j.upper for j in robot.joints])


def default_of(cfg) -> torch.Tensor:
    return torch.tensor([cfg.init_state.joint_pos[name] for name in JOINT_NAMES])


def test_depth_of_a_pendulum():
    """A ball of 5 cm hangs 20 cm below a joint at 0.6 m; the table's top is at 0.53 m."""
    inertia = (1e-3,) * 3
    robot = Robot(
        "pendulum",
        links=(
            Link("base", None, mass=1.0, inertia=inertia),
            Link("arm", "base", mass=1.0, inertia=inertia, shapes=(sphere(0.05, (0.0, 0.0, -0.2)),)),
        ),
        joints=(Joint("turn", "arm", (1.0, 0.0, 0.0), -3.0, 3.0),),
    )
    scene = KukaSceneCfg()
    scene.robot.init_state.pos, scene.robot.init_state.rot = (0.0, 0.0, 0.6), (0.0, 0.0, 0.0, 1.0)
    poses = StartPoses(robot, scene.robot, scene.table, "cpu")
    depth = poses.depth(torch.tensor([[0.0], [math.pi / 2], [math.pi]]))
    # hanging, its centre at 0.4 m is 0.18 m too low for a ball; level it is 0.02 m above the top, upright 0.22 m
    torch.testing.assert_close(depth, torch.tensor([0.18, -0.02, -0.22]), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(("scene", "name", "share"), ARMS)
def test_defaults_are_clear_and_drawn_starts_become_so(scene, name, share):
    robot, cfg = kuka_allegro(), getattr(scene, name)
    poses = StartPoses(robot, cfg, scene.table, "cpu")
    (lower, upper), default = table_of(robot), default_of(cfg)
    assert poses.depth(default.unsqueeze(0)).item() < -0.05
    uniform = torch.rand(4000, CANDIDATES, 23, generator=torch.Generator().manual_seed(0))
    drawn = rules.reset_joint_positions(default, lower, upper, uniform, 0.1).clamp(lower, upper)
    inside = (poses.depth(drawn[:, 0]) > 0.0).float().mean().item()
    assert share[0] < inside < share[1]
    chosen = poses.choose(drawn, default)
    assert (poses.depth(chosen) < -MARGIN).all()
    clear = poses.depth(drawn[:, 0]) < -MARGIN
    assert torch.equal(chosen[clear], drawn[clear, 0]), "a start that is clear stays as it was drawn"


def test_the_default_is_taken_where_no_candidate_is_clear():
    scene = KukaSceneCfg()
    robot, default = kuka_allegro(), default_of(scene.robot)
    poses = StartPoses(robot, scene.robot, scene.table, "cpu")
    pressed = default.clone()
    pressed[1] += 0.4  # bends the arm down into the table
    candidates = pressed.repeat(2, CANDIDATES, 1)
    assert (poses.depth(candidates[:, 0]) > 0.0).all()
    assert torch.equal(poses.choose(candidates, default), default.repeat(2, 1))


def test_links_stand_where_the_kinematics_of_the_tables_put_them():
    scene, robot = KukaSceneCfg(), kuka_allegro()
    poses = StartPoses(robot, scene.robot, scene.table, "cpu")
    angles = torch.linspace(-0.3, 0.4, 23)
    seen = poses._links(angles.unsqueeze(0))[0, :, :3, 3]
    state = scene.robot.init_state
    wanted = forward_kinematics(robot, dict(zip(JOINT_NAMES, angles.tolist(), strict=True)), state.pos, state.rot)
    for place in (torch.tensor(place, dtype=torch.float32) for place, _ in wanted.values()):
        assert (seen - place).norm(dim=1).min() < 1e-4


def test_cuboids_are_lifted_just_clear_of_the_table():
    """A rod of 0.3 m stands upright: its middle must be 0.15 m above the top; lying it stays where it was drawn."""
    place = torch.tensor([[0.1, 0.0, 0.63], [0.1, 0.0, 0.63], [0.0, 0.1, 0.63]])
    edges = torch.tensor([[0.3, 0.05, 0.05]]).repeat(3, 1)
    upright = [0.0, math.sin(math.pi / 4), 0.0, math.cos(math.pi / 4)]
    slanted = [0.0, math.sin(math.pi / 12), 0.0, math.cos(math.pi / 12)]
    rotation = torch.tensor([upright, [0.0, 0.0, 0.0, 1.0], slanted])
    lifted = lift_clear(place, rotation, edges, 0.53)
    # slanted by 30 degrees it reaches 0.15 * sin 30 + 0.025 * cos 30 = 0.09665 below its middle
    torch.testing.assert_close(lifted[:, 2], torch.tensor([0.53 + 0.15 + MARGIN, 0.63, 0.63]), atol=1e-5, rtol=0.0)
    assert torch.equal(lifted[:, :2], place[:, :2])

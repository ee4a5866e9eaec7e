# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Order, sense of rotation and motors of a hand, with a made-up hand whose every number is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import warp as wp

pytest.importorskip("isaaclab")
from cpo_lab.tasks.in_hand.env_cfg import HandNamesCfg
from cpo_lab.tasks.in_hand.hand_map import HandMap
from cpo_rl.errors import UserError

wp.init()  # as an environment does
LIMITS = {"thumb": (-0.2, 1.5), "tip": (0.0, 1.0), "middle": (0.0, 2.0), "base": (-1.0, 3.0)}


class Hand:
    """An articulation that remembers what it was told; its engine enumerates thumb, tip, middle, base."""

    joint_names = tuple(LIMITS)
    body_names = ("palm", "end")
    fixed_tendon_names = ("other", "pull")
    num_fixed_tendons = 2

    def __init__(self) -> None:
        limits = torch.tensor([list(LIMITS.values())])
        self.data = SimpleNamespace(
            joint_limits=SimpleNamespace(torch=limits),
            default_joint_pos=SimpleNamespace(torch=torch.tensor([[0.1, 0.2, 0.3, 0.4]])),
        )
        self.told: dict[str, list] = {}
        command = SimpleNamespace(set_position_index=self.remember("targets", "value", "joint_ids"))
        self.actuators = SimpleNamespace(target_command=command)
        self.write_joint_position_to_sim_index = self.remember("position", "position", "joint_ids")
        self.write_joint_velocity_to_sim_index = self.remember("velocity", "velocity", "joint_ids")
        self.set_fixed_tendon_position_target_index = self.remember("tendon", "target", "fixed_tendon_ids")

    def remember(self, what, value, ids):
        return lambda **given: self.told.update({what: [given[value].tolist(), given[ids].numpy().tolist()]})


def names(**changes) -> HandNamesCfg:
    cfg = HandNamesCfg()
    cfg.joints = ("base", "middle", "tip", "thumb")
    cfg.motors, cfg.mirrored = ("base", "pull", "thumb"), ("thumb",)
    cfg.tendons, cfg.tendon_range = {"pull": ("middle", "tip")}, (0.0, 3.0)
    for name, value in changes.items():
        setattr(cfg, name, value)
    return cfg


def test_limits_and_defaults_in_the_tasks_order_and_sense():
    hand = HandMap(Hand(), names(), "cpu")
    torch.testing.assert_close(hand.lower, torch.tensor([-1.0, 0.0, 0.0, -1.5]))
    torch.testing.assert_close(hand.upper, torch.tensor([3.0, 2.0, 1.0, 0.2]))
    torch.testing.assert_close(hand.default, torch.tensor([0.4, 0.3, 0.2, -0.1]))
    read = hand.read(SimpleNamespace(torch=torch.tensor([[1.0, 2.0, 3.0, 4.0]])))
    assert read.tolist() == [[4.0, 3.0, 2.0, -1.0]]
    assert hand.links(("end",)).tolist() == [1]


def test_actions_reach_joints_and_tendons():
    engine = Hand()
    hand = HandMap(engine, names(), "cpu")
    motors = hand.scale(torch.tensor([[-1.0, 0.0, 1.0]]))
    torch.testing.assert_close(motors, torch.tensor([[-1.0, 1.5, 0.2]]))
    targets = torch.tensor([[9.0, 0.5, 0.25, 9.0]])
    hand.command(motors, targets)
    assert engine.told["targets"][1] == [3, 2, 1, 0]
    assert engine.told["targets"][0] == [pytest.approx([-1.0, 0.5, 0.25, -0.2])]
    assert engine.told["tendon"] == [[[1.5]], [1]]


def test_a_reset_sets_what_every_motor_holds():
    engine = Hand()
    hand = HandMap(engine, names(), "cpu")
    positions = torch.tensor([[0.5, 1.0, 0.5, -0.25]])
    torch.testing.assert_close(hand.motor_targets(positions), torch.tensor([[0.5, 1.5, -0.25]]))
    hand.write(positions, torch.tensor([0]))
    assert engine.told["position"] == engine.told["targets"] == [[[0.5, 1.0, 0.5, 0.25]], [3, 2, 1, 0]]
    assert engine.told["velocity"][0] == [[0.0] * 4]
    assert engine.told["tendon"] == [[[1.5]], [1]]


def test_a_hand_without_tendon_motors_gets_no_tendon_command():
    engine = Hand()
    hand = HandMap(engine, names(motors=("base", "middle"), tendons={}, mirrored=()), "cpu")
    hand.command(hand.scale(torch.tensor([[1.0, -1.0]])), torch.zeros(1, 4))
    assert engine.told["targets"][0] == [[3.0, 0.0, 0.0, 0.0]]
    assert "tendon" not in engine.told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"joints": ("base", "wrist")}, "no joint named wrist"),
        ({"motors": ("base", "wire"), "tendons": {"wire": ("middle", "tip")}}, "no tendon named wire"),
        ({"motors": ("base", "wrist")}, "no joint named wrist"),
    ],
)
def test_names_that_the_hand_lacks(changes, told):
    with pytest.raises(UserError, match=told):
        HandMap(Hand(), names(**changes), "cpu")


def test_links_that_the_hand_lacks():
    with pytest.raises(UserError, match="no link named nail"):
        HandMap(Hand(), names(), "cpu").links(("nail",))

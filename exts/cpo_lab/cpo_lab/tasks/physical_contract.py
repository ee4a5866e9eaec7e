# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an environment says about its robots and objects, so that its physics can be checked without knowing its task.

:class:`~cpo_lab.tasks.base_env.TaskEnv` has these methods and says nothing; a family of tasks overrides them. Objects
are those that the scene calls ``object``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import warp as wp


@dataclass(frozen=True)
class JointGroup:
    """Joints of one robot of a task, in the order of the task's tables; J of them, in N environments."""

    robot: Any
    """The articulation."""
    index: torch.Tensor
    """Where they stand in the engine's order, shape [J]."""
    lower: torch.Tensor
    """Lower limits [rad], shape [J]."""
    upper: torch.Tensor
    """Upper limits [rad], shape [J]."""
    default: torch.Tensor
    """Default positions within the limits [rad], shape [J]."""
    finger: int
    """Which of them bends a finger from its base; its step response is measured."""
    pull: Callable[[torch.Tensor], None] | None = None
    """Commands tendon motors, if there are any, so that they hold joint positions [rad], shape [N, J]."""
    moved: str = "finger"
    """What the joint :attr:`finger` moves, in words."""
    step: float = 0.4
    """How far it is moved [:attr:`unit`]."""
    unit: str = "rad"
    """Unit of its position."""

    @property
    def ids(self) -> Any:
        """The index as the int32 array that Isaac Lab's calls take."""
        return wp.from_torch(self.index.int().contiguous(), dtype=wp.int32)

    def position(self) -> torch.Tensor:
        """Joint positions now [rad], shape [N, J]."""
        return self.robot.data.joint_pos.torch[:, self.index].clone()

    def command(self, targets: torch.Tensor) -> None:
        """Set targets [rad], shape [N, J]."""
        self.robot.actuators.target_command.set_position_index(value=targets.contiguous(), joint_ids=self.ids)
        if self.pull is not None:
            self.pull(targets)

    def place(self, positions: torch.Tensor) -> None:
        """Set positions [rad], shape [N, J], at rest, and make them the targets."""
        positions = positions.contiguous()
        self.robot.write_joint_position_to_sim_index(position=positions, joint_ids=self.ids)
        self.robot.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(positions), joint_ids=self.ids)
        self.command(positions)


@dataclass(frozen=True)
class OnSurface:
    """Objects that are put onto something level must lie still on it."""

    surface: str
    """What they are put onto, in words."""
    start: torch.Tensor
    """Where they are put [m], environment frame, shape [N, 3]."""
    height: torch.Tensor
    """How high they must lie [m], shape [N]."""


@dataclass(frozen=True)
class InHand:
    """Objects that are put into a hand must stay in it."""

    thing: str
    """What they are, in words."""
    start: torch.Tensor
    """Where they are put [m], environment frame, shape [N, 3]."""
    goal: torch.Tensor
    """Where they should be [m], environment frame, shape [N, 3]."""
    limit: float
    """How far from there they may be [m]."""


@dataclass(frozen=True)
class Settling:
    """Robots with a free base that are put down and left alone must come to a height."""

    manner: str
    """How they come to it, in words."""
    start: Callable[[], None]
    """Puts them where they start, with the motors as they stay."""
    seconds: float
    """How long they are left alone [s]."""
    low: float
    """Least height of the base's frame then [m]."""
    high: float
    """Largest height [m]."""


@dataclass(frozen=True)
class Coupling:
    """A joint that a tendon makes follow another one, of the first group: ``slope * angle + offset`` [rad]."""

    name: str
    """The two joints, in words."""
    leader: int
    """The joint that is driven."""
    follower: int
    """The joint that follows."""
    slope: float
    """Radians of the follower per radian of the leader."""
    offset: float
    """Offset at the end of the tendon's slack [rad]."""


class CheckedEnvironment(Protocol):
    """An environment whose physics can be checked."""

    def joint_groups(self) -> list[JointGroup]:
        """Joints of every robot."""

    def resting_places(self) -> list[OnSurface | InHand]:
        """Where an object must stay, the robots being in their default pose."""

    def couplings(self) -> list[Coupling]:
        """Tendons between joints of the first group."""

    def settlings(self) -> list[Settling]:
        """How high robots with a free base stand or lie when left alone."""

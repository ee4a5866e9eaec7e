# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Starts that are not inside the table.

The reference draws start poses without looking: in 2.4 % of them a part of the arm is inside the table, and larger
cuboids are in 5 %, from where the engine throws them out. Here poses are drawn several at a time and the first that is
clear of the table is taken; cuboids are lifted. All of it is geometry of our own number tables, on the device.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch

from cpo_lab.assets.robot_table import Link, Quat, Robot, Shape, Vec3
from cpo_lab.tasks.rotations import rotate

if TYPE_CHECKING:
    from isaaclab.assets import ArticulationCfg, AssetBaseCfg

CANDIDATES = 4
"""Poses drawn for each start; that all are inside the table happens once in three million starts, and then the default
pose is taken."""

MARGIN = 0.002
"""Gap that a start leaves to the table [m], the gap at which PhysX begins to see contacts."""


def _rotation_matrix(quat: torch.Tensor) -> torch.Tensor:
    """Return the matrices [..., 3, 3] of quaternions xyzw [..., 4]."""
    axes = torch.eye(3, dtype=quat.dtype, device=quat.device).expand(*quat.shape[:-1], 3, 3)
    return rotate(quat.unsqueeze(-2), axes).transpose(-1, -2)


def _samples(shape: Shape) -> list[tuple[tuple[float, ...], float]]:
    """Return balls (centre in the shape's frame, radius) that stand for a shape: corners of a box, a capsule's axis."""
    if shape.kind == "box":
        return [(corner, 0.0) for corner in itertools.product(*((-half, half) for half in shape.size))]
    if shape.kind == "sphere":
        return [((0.0, 0.0, 0.0), shape.size[0])]
    radius, half = shape.size
    return [((0.0, 0.0, half * share), radius) for share in (-1.0, -0.5, 0.0, 0.5, 1.0)]


def _poses(positions: list[Vec3], orientations: list[Quat], device: str) -> torch.Tensor:
    """Return poses as matrices [n, 4, 4]."""
    poses = torch.eye(4, device=device).repeat(len(positions), 1, 1)
    poses[:, :3, :3] = _rotation_matrix(torch.tensor(orientations, device=device))
    poses[:, :3, 3] = torch.tensor(positions, device=device)
    return poses


def _by_depth(robot: Robot) -> list[list[tuple[Link, int]]]:
    """Return the links below the root by their distance from it, each with its parent's place in the level before."""
    levels: list[list[tuple[Link, int]]] = []
    before = [robot.links[0].name]
    while True:
        level = [(link, before.index(link.parent)) for link in robot.links if link.parent in before]
        if not level:
            return levels
        levels.append(level)
        before = [link.name for link, _ in level]


class StartPoses:
    """Chooses among joint positions of one arm those that are clear of its table."""

    def __init__(self, robot: Robot, arm: ArticulationCfg, table: AssetBaseCfg, device: str) -> None:
        """Put the geometry onto the device.

        Args:
            robot: The arm's number table, joints in the order of the task.
            arm: Where it stands.
            table: The table, a box.
            device: Device of the simulation.
        """

        def tensor(values: object, kind: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.tensor(values, dtype=kind, device=device)

        levels = _by_depth(robot)
        order = [link for level in levels for link, _ in level]
        joint_of = {joint.child: j for j, joint in enumerate(robot.joints)}
        self._parents = [tensor([parent for _, parent in level], torch.long) for level in levels]
        """Per level of the tree, where each link's parent stands in the level before."""
        self._sizes = [len(level) for level in levels]
        self._joints = tensor([joint_of[link.name] for link in order], torch.long)
        """The joint that carries each link, level by level."""
        self._fixed = _poses([link.position for link in order], [link.orientation for link in order], device)
        turn = torch.zeros(len(order), 4, 4, device=device)
        x, y, z = tensor([robot.joints[j].axis for j in self._joints.tolist()]).unbind(dim=1)
        turn[:, 0, 1], turn[:, 0, 2], turn[:, 1, 2] = -z, y, -x
        turn[:, 1, 0], turn[:, 2, 0], turn[:, 2, 1] = z, -y, x
        self._turn, self._turn_twice = turn, turn @ turn  # of Rodrigues' formula
        self._base = _poses([arm.init_state.pos], [arm.init_state.rot], device)
        number = {link.name: i for i, link in enumerate((robot.links[0], *order))}
        balls = [
            (number[link.name], rotate(tensor(shape.orientation), tensor(center)) + tensor(shape.position), radius)
            for link in robot.links
            for shape in link.shapes
            for center, radius in _samples(shape)
        ]
        self._link_of_ball = tensor([i for i, _, _ in balls], torch.long)
        self._center = torch.stack([torch.cat((center, tensor([1.0]))) for _, center, _ in balls]).unsqueeze(-1)
        self._table_center = tensor(table.init_state.pos)
        self._reach = tensor(table.spawn.size) / 2.0 + tensor([radius for *_, radius in balls]).unsqueeze(-1)

    def depth(self, positions: torch.Tensor) -> torch.Tensor:
        """Return how deep an arm is inside the table [m], shape [n]; negative is the gap that it leaves at least.

        Args:
            positions: Joint positions [rad], shape [n, J].
        """
        centers = (self._links(positions)[:, self._link_of_ball] @ self._center)[..., :3, 0]
        inside = self._reach - (centers - self._table_center).abs()
        return inside.amin(dim=-1).amax(dim=-1)

    def _links(self, positions: torch.Tensor) -> torch.Tensor:
        """Return the poses of all links in the environment's frame, level by level, shape [n, L, 4, 4]."""
        angle = positions[:, self._joints, None, None]
        local = self._fixed + self._fixed @ (angle.sin() * self._turn + (1.0 - angle.cos()) * self._turn_twice)
        level = self._base.expand(len(positions), 1, 4, 4)
        poses = [level]
        for parents, part in zip(self._parents, local.split(self._sizes, dim=1), strict=True):
            level = level[:, parents] @ part
            poses.append(level)
        return torch.cat(poses, dim=1)

    def choose(self, candidates: torch.Tensor, default: torch.Tensor) -> torch.Tensor:
        """Return for every start the first candidate that is clear of the table.

        Args:
            candidates: Joint positions [rad], shape [n, K, J].
            default: What is taken where there is none [rad], shape [J].

        Returns:
            Joint positions [rad], shape [n, J].
        """
        count, many, joints = candidates.shape
        clear = (self.depth(candidates.reshape(-1, joints)) < -MARGIN).view(count, many)
        first = clear.byte().argmax(dim=1)
        chosen = candidates.gather(1, first.view(-1, 1, 1).expand(-1, 1, joints)).squeeze(1)
        return torch.where(clear.any(dim=1, keepdim=True), chosen, default)


def lift_clear(place: torch.Tensor, rotation: torch.Tensor, edges: torch.Tensor, height: float) -> torch.Tensor:
    """Return places of cuboids, lifted where a corner would be below a height.

    Args:
        place: Middles [m], shape [N, 3].
        rotation: Orientations xyzw, shape [N, 4].
        edges: Edges of the cuboids [m], shape [N, 3].
        height: Height of the table [m].
    """
    reach = 0.5 * (_rotation_matrix(rotation)[:, 2].abs() * edges).sum(dim=-1)
    lifted = torch.maximum(place[:, 2], reach + (height + MARGIN))
    return torch.cat((place[:, :2], lifted.unsqueeze(-1)), dim=-1)

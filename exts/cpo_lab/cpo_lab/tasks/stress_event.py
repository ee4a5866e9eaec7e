# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An absurd state in words: which part of which environment, when, and what was near it."""

from __future__ import annotations

from typing import Any

import torch

Place = tuple[str, torch.Tensor]
"""Something in an environment and its place in the world [m], shape [3]."""


def describe_event(env: Any, what: str, index: int, name: str, joint: int | None, since: int) -> str:
    """Return one sentence.

    Args:
        env: Isaac Lab's environment, unwrapped.
        what: The criterion that was met, in words.
        index: The environment.
        name: Name of the articulation or object in the scene, or of an observation or the reward.
        joint: The joint in the articulation's order, or None.
        since: Policy steps since the environment's last reset.
    """
    scene = env.scene
    if name in scene.articulations and joint is not None:
        robot = scene.articulations[name]
        angle, speed = robot.data.joint_pos.torch[index, joint], robot.data.joint_vel.torch[index, joint]
        part = f"{name} {robot.joint_names[joint]} at {angle:.4g} rad and {speed:.4g} rad/s"
        where = _fastest_link(robot, index)
    elif name in scene.rigid_objects:
        velocity = scene.rigid_objects[name].data.root_com_vel_w.torch[index]
        part = f"{name} at {velocity[:3].norm():.4g} m/s and {velocity[3:].norm():.4g} rad/s"
        where = (name, scene.rigid_objects[name].data.root_link_pose_w.torch[index, :3])
    else:
        part, where = name, None
    near = _nearest(env, index, name, where) if where is not None else ""
    return f"environment {index}, {since} steps after a reset: {what} ({part}){near}"


def _fastest_link(robot: Any, index: int) -> Place:
    """Return the link of one environment's articulation that moves fastest."""
    speed = robot.data.body_com_vel_w.torch[index].norm(dim=1).nan_to_num(nan=1e30, posinf=1e30)
    link = int(speed.argmax())
    return robot.body_names[link], robot.data.body_link_pose_w.torch[index, link, :3]


def _nearest(env: Any, index: int, name: str, where: Place) -> str:
    """Say what else of the scene is nearest; distances are between origins, or to the surface of a fixed box."""
    link, place = where
    if not torch.isfinite(place).all():
        return f"; {link} is nowhere"
    others: list[tuple[float, str]] = []
    for each, body in env.scene.rigid_objects.items():
        if each != name:
            others.append((_distance(place, body.data.root_link_pose_w.torch[index, :3]), each))
    for each, robot in env.scene.articulations.items():
        if each != name:
            distances = (robot.data.body_link_pose_w.torch[index, :, :3] - place).norm(dim=1).nan_to_num(nan=1e30)
            others.append((float(distances.min()), f"{each} {robot.body_names[int(distances.argmin())]}"))
    others += _fixed_boxes(env, place - env.scene.env_origins[index])
    shown = f"; fastest link {link}" if link != name else ""
    if not others:
        return shown
    distance, nearest = min(others)
    return f"{shown}; nearest is {nearest}, {1000.0 * distance:.0f} mm away"


def _distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm().nan_to_num(nan=1e30))


def _fixed_boxes(env: Any, place: torch.Tensor) -> list[tuple[float, str]]:
    """Return distances to the upright fixed boxes of the scene, such as a table.

    Args:
        env: Isaac Lab's environment.
        place: Where from, in the environment's frame [m], shape [3].
    """
    from isaaclab.assets import AssetBaseCfg
    from isaaclab.sim import CuboidCfg

    found = []
    for name, asset in vars(env.cfg.scene).items():
        if type(asset) is AssetBaseCfg and isinstance(asset.spawn, CuboidCfg):
            half = torch.tensor(asset.spawn.size, device=place.device) / 2.0
            center = torch.tensor(asset.init_state.pos, device=place.device)
            outside = ((place - center).abs() - half).clamp(min=0.0)
            found.append((float(outside.norm()), name))
    return found

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Builds and steps our environments without an engine and writes down everything that they do.

Bodies are where a seeded generator puts them, spread around the thresholds of the rules, so that goals are reached,
objects lifted and dropped, and episodes ended within a few steps. What an environment reads, it gets from there; what
it would tell an engine, a viewer or a learner is kept in order. Two settings that leave the same trace do the same.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

NUM_ENVS = 48
STEPS = 6


class Trace:
    """A hash over everything that was told, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def tell(self, *things: Any) -> None:
        for thing in things:
            if isinstance(thing, dict):
                self.tell(*(part for key in sorted(thing) for part in (key, thing[key])))
            elif isinstance(thing, list | tuple):
                self.tell(*thing)
            elif isinstance(thing, torch.Tensor):
                self._hash.update(str(tuple(thing.shape)).encode() + thing.contiguous().numpy().tobytes())
            elif hasattr(thing, "numpy"):  # a Warp array
                self._hash.update(thing.numpy().tobytes())
            else:
                self._hash.update(repr(thing).encode())

    def digest(self) -> str:
        return self._hash.hexdigest()


class Quantity:
    """A quantity of Isaac Lab's data: its value is in ``torch``."""

    def __init__(self, value: torch.Tensor) -> None:
        self.torch = value


class Recorder:
    """Whatever is called on it is told to the trace."""

    def __init__(self, trace: Trace, name: str) -> None:
        self._trace, self._name = trace, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._trace.tell(self._name, name, args, kwargs)


class Body(Recorder):
    """A rigid object or an articulation; ``robot`` is the table of the latter."""

    def __init__(self, trace: Trace, name: str, cfg: Any, count: int, robot: Any = None) -> None:
        super().__init__(trace, name)
        self.cfg, self.device, self.num_instances, self.data = cfg, "cpu", count, SimpleNamespace()
        self.permanent_wrench_composer = Recorder(trace, f"{name}.wrench")
        self.actuators = SimpleNamespace(target_command=Recorder(trace, f"{name}.target"), values=tuple)
        pose = torch.tensor([[*cfg.init_state.pos, 0.0, 0.0, 0.0, 1.0]]).repeat(count, 1)
        self.data.default_root_pose = Quantity(pose)
        self.links, self.is_fixed_base = 1, robot is None or robot.fixed_base
        if robot is not None:
            # an engine enumerates in an order of its own
            self.joint_names = [joint.name for joint in reversed(robot.joints)]
            self.body_names = [link.name for link in reversed(robot.links)]
            self.fixed_tendon_names, self.num_fixed_tendons = [], 0
            self.links = len(robot.links)
            limits = torch.tensor([[joint.lower, joint.upper] for joint in reversed(robot.joints)])
            self.data.joint_limits = Quantity(limits.repeat(count, 1, 1))
            self.data.joint_pos_limits = Quantity(limits.repeat(count, 1, 1))
            self.data.joint_vel_limits = Quantity(torch.full((count, len(robot.joints)), 9.0))
            self.data.default_joint_pos = Quantity(limits.mean(dim=-1).repeat(count, 1))

    def move(self, draw: Any) -> None:
        """Draw a new state: places within half a metre of the robots, any orientation, and fast."""
        count = self.num_instances
        pose = torch.cat((draw(count, self.links, 3) - 0.5, unit(draw(count, self.links, 4))), dim=-1)
        pose[..., 2] = 1.2 * pose[..., 2].abs()
        velocity = 40.0 * draw(count, self.links, 6) - 20.0
        velocity[..., 3:] *= 4.0
        self.data.body_link_pose_w, self.data.body_com_vel_w = Quantity(pose), Quantity(velocity)
        self.data.body_link_vel_w = Quantity(0.01 * velocity)
        self.data.root_link_pose_w = Quantity(pose[:, 0].clone())
        self.data.root_com_vel_w = Quantity(velocity[:, 0].clone())
        if self.links > 1:
            joints = len(self.joint_names)
            self.data.joint_pos = Quantity(2.0 * draw(count, joints) - 1.0)
            self.data.joint_vel = Quantity(20.0 * draw(count, joints) - 10.0)
            self.data.applied_torque = Quantity(draw(count, joints))
            self.data.body_link_jacobian_w = Quantity(draw(count, self.links - 1, 6, joints) - 0.5)
            self.data.mass_matrix = Quantity(torch.eye(joints) + 0.1 * draw(count, 1, 1))


def unit(values: torch.Tensor) -> torch.Tensor:
    """Uniform numbers as quaternions."""
    values = 2.0 * values - 1.0
    return values / values.norm(dim=-1, keepdim=True)


class Scene:
    """What a scene offers: its bodies by name, its environments' origins, and a wrench sensor if there is one."""

    def __init__(self, trace: Trace, cfg: Any, robots: dict[str, Any]) -> None:
        self.num_envs, self.device, self.limiter = cfg.num_envs, "cpu", None
        self.env_origins = torch.zeros(cfg.num_envs, 3)
        self.env_origins[:, 0] = cfg.env_spacing * torch.arange(cfg.num_envs)
        self.env_prim_paths = ["/World/envs/env_0"]
        names = [name for name in ("robot", "robot_2", "object", "lower_cube", "bucket") if name in vars(cfg)]
        self.bodies = {
            name: Body(trace, name, getattr(cfg, name), cfg.num_envs, robots.get(name.partition("_")[0]))
            for name in names
        }
        self.articulations = {name: body for name, body in self.bodies.items() if body.links > 1}
        self.rigid_objects = {name: body for name, body in self.bodies.items() if body.links == 1}
        self.sensors: dict[str, Any] = {}
        if vars(cfg).get("joint_wrench") is not None:
            links = self.bodies["robot"].body_names
            self.sensors["joint_wrench"] = SimpleNamespace(body_names=links, data=SimpleNamespace())
        if "contact" in vars(cfg):
            links = self.bodies["robot"].body_names
            self.sensors["contact"] = SimpleNamespace(body_names=links, data=SimpleNamespace())

    def __getitem__(self, name: str) -> Body:
        return self.bodies[name]

    def reset(self, env_ids: torch.Tensor) -> None:
        """Isaac Lab's reset of actuators and sensors, of which there are none."""

    def move(self, draw: Any) -> None:
        for body in self.bodies.values():
            body.move(draw)
            body.data.root_link_pose_w.torch[:, :3] += self.env_origins
            body.data.body_link_pose_w.torch[..., :3] += self.env_origins.unsqueeze(1)
        for sensor in self.sensors.values():
            count = (self.num_envs, len(sensor.body_names), 3)
            sensor.data.force, sensor.data.torque = Quantity(draw(*count)), Quantity(draw(*count))
            if sensor is self.sensors.get("contact"):  # about half of the robots lie on the ground
                sensor.data.net_forces_w = Quantity(0.9 * draw(*count))


@contextmanager
def no_engine(trace: Trace, robots: dict[str, Any]):
    """Make environments without an engine; viewers are there and tell what they are given."""
    from isaaclab.envs import DirectRLEnv

    from cpo_lab.tasks import motion_limits
    from cpo_lab.tasks.arms import goals
    from cpo_lab.tasks.franka import push
    from cpo_lab.tasks.in_hand import goal_marker, shadow
    from cpo_lab.tasks.legs import humanoid

    def start(self: Any, cfg: Any, render_mode: str | None = None, **kwargs: Any) -> None:
        self.cfg, self.extras, self.common_step_counter = cfg, {}, 0
        self.sim = SimpleNamespace(device="cpu", visualizers=["one"])
        self.scene = Scene(trace, cfg.scene, robots)
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long)
        self.reset_terminated = torch.zeros(self.num_envs, dtype=torch.bool)
        self._is_closed = True

    def markers(cfg: Any) -> Recorder:
        trace.tell("marker", sorted(cfg.markers), [tuple(marker.size) for marker in cfg.markers.values()])
        return Recorder(trace, "marker")

    with ExitStack() as stack:
        for owner, name, value in (
            (DirectRLEnv, "__init__", start),
            (DirectRLEnv, "set_debug_vis", lambda self, on: self._set_debug_vis_impl(on)),
            (motion_limits, "moves_freely", lambda body: True),
            (goals, "VisualizationMarkers", markers),
            (goal_marker, "VisualizationMarkers", markers),
            (push, "VisualizationMarkers", markers),
            (humanoid, "joint_frames", lambda root, links: torch.eye(3).repeat(len(links), 1, 1)),
            (shadow, "joint_frames", lambda root, links, otherwise: torch.eye(3).repeat(len(links), 1, 1)),
        ):
            stack.enter_context(patch.object(owner, name, value))
        yield


def step(env: Any, actions: torch.Tensor, prepare: Any) -> tuple[Any, ...]:
    """One step in Isaac Lab's order; ``prepare`` moves the bodies in place of an engine."""
    env._pre_physics_step(actions)
    prepare()
    env.scene.limiter.apply()
    env.episode_length_buf += 1
    env.common_step_counter += 1
    env.reset_terminated, time_outs = env._get_dones()
    reward = env._get_rewards()
    ended = (env.reset_terminated | time_outs).nonzero().flatten()
    if len(ended):
        env._reset_idx(ended)
    seen = env._get_observations()["policy"], reward, env.reset_terminated, time_outs, env.fell(), env.extras
    if "_debug_vis_callback" in dir(env):
        env._debug_vis_callback(None)
    return seen


def bring_near_goals(env: Any, draw: Any) -> None:
    """Move everything, and put two thirds of the objects so near to their goals that some reach them."""
    env.scene.move(draw)
    if "object" not in env.scene.bodies:
        return move_as_wanted(env, draw)
    if "control" in vars(env):
        return move_on_the_bench(env, draw)
    pose = env.object.data.root_link_pose_w.torch
    near = torch.arange(env.num_envs) % 3 > 0
    if "curriculum" in vars(env):
        place, rotation = env.goals.position, env.goals.rotation
    else:
        place, rotation = env.goal_position, env.goal_rotation
    reach = 0.25 * draw(env.num_envs)
    direction = torch.tensor([0.6, 0.0, 0.8])
    turn = torch.zeros(env.num_envs, 4)
    turn[:, 0], turn[:, 3] = (0.15 * draw(env.num_envs)).sin(), 1.0
    turn /= turn.norm(dim=-1, keepdim=True)
    pose[near, :3] = (place + env.scene.env_origins + reach.unsqueeze(-1) * direction)[near]
    pose[near, 3:] = product(turn, rotation)[near]
    env.object.data.root_com_vel_w.torch[near, 3:] *= 0.1


def move_as_wanted(env: Any, draw: Any) -> None:
    """Put robots on legs upright and let them move slowly, so that errors are of the size of what is rewarded."""
    data = env.robot.data
    data.root_link_pose_w.torch[:, 2] += 0.5
    data.root_link_pose_w.torch[:, 3:6] *= 0.1
    data.root_link_pose_w.torch[:, 3:] /= data.root_link_pose_w.torch[:, 3:].norm(dim=-1, keepdim=True)
    data.root_com_vel_w.torch[:] *= 0.03
    data.applied_torque.torch[:] *= 30.0


def move_on_the_bench(env: Any, draw: Any) -> None:
    """Put cubes onto the table, half of them where they are to be brought, some of them lifted, and the hand near."""
    ladder, pose = torch.arange(env.num_envs), env.cube.data.root_link_pose_w.torch
    place = 0.3 * (draw(env.num_envs, 3) - 0.5)
    place[:, 2] = 1.05 + 0.12 * draw(env.num_envs) * (ladder % 4 == 1)
    pose[:, :3] = place + env.scene.env_origins
    if "lower_cube" in env.scene.bodies:
        other = env.lower_cube.data.root_link_pose_w.torch
        other[:, :3] = pose[:, :3] + 0.2 * (draw(env.num_envs, 3) - 0.5)
        other[:, 2] = 1.06
        on_it = ladder % 2 == 0
        pose[on_it, :3] = other[on_it, :3] + 0.05 * (draw(int(on_it.sum()), 3) - 0.5)
        pose[on_it, 2] = 1.1 + 0.04 * draw(int(on_it.sum()))
    else:
        near = ladder % 2 == 0
        pose[near, :3] = (env.goal + env.scene.env_origins)[near]
        pose[near, 0] += 0.012 * draw(int(near.sum()))
    pose[ladder % 16 == 5, 1] += 8.0  # pushed off the table, and far
    hand = env.robot.data.body_link_pose_w.torch
    hand[..., :3] = pose[:, None, :3] + 0.1 * (draw(env.num_envs, hand.shape[1], 3) - 0.5)
    hand[:, env._hand, 2] += 0.21  # looking down, the grip site is so far below
    hand[:, env._hand, 3:] = torch.tensor([1.0, 0.0, 0.0, 0.0])


def product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Product of quaternions xyzw."""
    (a, s), (b, t) = (first[:, :3], first[:, 3:]), (second[:, :3], second[:, 3:])
    return torch.cat((s * b + t * a + torch.linalg.cross(a, b), s * t - (a * b).sum(-1, keepdim=True)), dim=-1)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Does a task's physics behave, on this engine and device? ``cpo-lab doctor --task ...`` prints the answers.

The checks drive joints and objects past the rules of the task: they write states and targets, step the engine alone and
compare what it did with what must happen on every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp

FAR_AWAY = 40.0
"""How far above its start an object is put while the robot is checked [m]; it does not fall that far meanwhile."""


@dataclass(frozen=True)
class PhysicalCheck:
    """One measurement and what it should be."""

    name: str
    """What was measured."""
    value: float
    """Result."""
    unit: str
    """Its unit."""
    requirement: str
    """What it should be, in words."""
    passed: bool
    """Whether it is."""


@dataclass(frozen=True)
class Joints:
    """Joints of one robot of a task, in the order of the task's tables."""

    robot: Any
    """The articulation."""
    names: list[str]
    """Joint names, J of them."""
    index: torch.Tensor
    """Where they stand in the engine's order, shape [J]."""
    lower: torch.Tensor
    """Lower limits [rad], shape [J]."""
    upper: torch.Tensor
    """Upper limits [rad], shape [J]."""
    default: torch.Tensor
    """Default positions within the limits [rad], shape [J]."""
    pull: Callable[[torch.Tensor], None] | None = None
    """Commands tendon motors, if there are any, so that they hold joint positions [rad], shape [N, J]."""

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


def task_joints(env: Any) -> list[Joints]:
    """Return the joints of every robot of one of our environments."""
    if hasattr(env, "arms"):
        return [
            Joints(arm.robot, list(arm.robot.joint_names), arm.joints, arm.lower, arm.upper,
                   arm.default.clamp(arm.lower, arm.upper))
            for arm in env.arms
        ]  # fmt: skip
    index = env.map.joints
    lower, upper = env.hand.data.joint_limits.torch[0, index].unbind(dim=-1)  # in the sense of the hand's own file
    default = env.map.to_task(env._default_positions).clamp(lower, upper)

    def pull(targets: torch.Tensor) -> None:
        env.map.pull(env.map.motor_targets(env.map.to_task(targets)))

    return [Joints(env.hand, list(env.hand.joint_names), index, lower, upper, default, pull)]


def step_physics(env: Any, seconds: float) -> Iterator[float]:
    """Step the engine alone; yields the time since the start [s] after every physics step."""
    for step in range(round(seconds / env.physics_dt)):
        env.scene.write_data_to_sim()
        env.sim.step(render=False)
        env.scene.update(env.physics_dt)
        yield (step + 1) * env.physics_dt


def run_physics(env: Any, seconds: float) -> None:
    """Step the engine alone for a time [s]."""
    for _ in step_physics(env, seconds):
        pass


def place_object(env: Any, position: torch.Tensor, rotation: torch.Tensor | None = None) -> None:
    """Put every object at rest at ``position`` [N, 3] (environment frame, m) and ``rotation`` [N, 4] (xyzw)."""
    if rotation is None:
        rotation = torch.tensor([0.0, 0.0, 0.0, 1.0], device=env.device).repeat(env.num_envs, 1)
    pose = torch.cat((position + env.scene.env_origins, rotation), dim=-1)
    env.object.write_root_pose_to_sim_index(root_pose=pose)
    env.object.write_root_velocity_to_sim_index(root_velocity=torch.zeros(env.num_envs, 6, device=env.device))


def object_position(env: Any) -> torch.Tensor:
    """Return where the objects are [m], environment frame, shape [N, 3]."""
    return env.object.data.root_link_pose_w.torch[:, :3] - env.scene.env_origins


def _start(env: Any, height: float = 0.0) -> torch.Tensor:
    start = torch.tensor(env.cfg.scene.object.init_state.pos, device=env.device).repeat(env.num_envs, 1)
    start[:, 2] += height
    return start


def check_pose_is_held(env: Any) -> list[PhysicalCheck]:
    """Robots stay at their default pose for 2 s: gravity is compensated and the motors hold."""
    place_object(env, _start(env, FAR_AWAY))
    joints = task_joints(env)
    for robot in joints:
        robot.place(robot.default.repeat(env.num_envs, 1))
    run_physics(env, 2.0)
    error = max(float((robot.position() - robot.default).abs().max()) for robot in joints)
    return [PhysicalCheck("pose held for 2 s, joint error", error, "rad", "below 0.02", error < 0.02)]


def finger_response(env: Any, step: float = 0.4) -> tuple[float, float]:
    """Return time constant [s] (to 63 % of a step command) and remaining error [rad] after 1 s of one finger joint."""
    place_object(env, _start(env, FAR_AWAY))
    joints = task_joints(env)[0]
    name = next(name for name in ("index_joint_1", "FFJ2", "rh_FFJ3") if name in joints.names)
    index = int((joints.index == joints.names.index(name)).nonzero()[0, 0])
    start = joints.default.repeat(env.num_envs, 1)
    joints.place(start)
    run_physics(env, 0.2)
    begin = joints.position()[0, index].item()
    targets = start.clone()
    targets[:, index] += step
    joints.command(targets)
    constant, goal = float("inf"), targets[0, index].item()
    for time in step_physics(env, 1.0):
        now = joints.position()[0, index].item()
        if now - begin >= 0.632 * (goal - begin):
            constant = min(constant, time)
    return constant, abs(goal - joints.position()[0, index].item())


def check_fingers_follow(env: Any) -> list[PhysicalCheck]:
    """A finger joint follows a step command; its time constant is the number to compare between engines."""
    constant, error = finger_response(env)
    return [
        PhysicalCheck("finger step response, time constant", 1e3 * constant, "ms", "below 300", constant < 0.3),
        PhysicalCheck("finger step response, error after 1 s", error, "rad", "below 0.05", error < 0.05),
    ]


def check_object_rests(env: Any) -> list[PhysicalCheck]:
    """An object on the table stays where it is (arm tasks), neither sliding nor sinking."""
    from cpo_lab.assets.cuboids import BASE_EDGE
    from cpo_lab.assets.furniture import NARROW_TABLE, TABLE_CENTER

    top = TABLE_CENTER[2] + NARROW_TABLE[2] / 2.0
    for robot in task_joints(env):
        robot.place(robot.default.repeat(env.num_envs, 1))
    half = 0.5 * BASE_EDGE * env.object_scale[:, 2]
    place = torch.zeros(env.num_envs, 3, device=env.device)
    place[:, 2] = top + half + 0.001
    place_object(env, place)
    run_physics(env, 0.5)
    before = object_position(env)
    run_physics(env, 2.0)
    drift = float((object_position(env) - before).norm(dim=-1).max())
    gap = float((object_position(env)[:, 2] - half - top).abs().max())
    return [
        PhysicalCheck("object at rest on the table, drift in 2 s", 1e3 * drift, "mm", "below 2", drift < 2e-3),
        PhysicalCheck("object at rest on the table, gap or overlap", 1e3 * gap, "mm", "below 2", gap < 2e-3),
    ]


def check_cube_rests_in_hand(env: Any) -> list[PhysicalCheck]:
    """The cube stays on the straight fingers for 2 s (hand tasks)."""
    robot = task_joints(env)[0]
    robot.place(robot.default.repeat(env.num_envs, 1))
    place_object(env, _start(env, -0.02))
    run_physics(env, 2.0)
    distance = float((object_position(env) - env.goal_position).norm(dim=-1).max())
    limit = env.cfg.fall_distance
    return [
        PhysicalCheck(
            "cube in the hand after 2 s, distance from goal", distance, "m", f"below {limit:g}", distance < limit
        )
    ]


def check_tendons_couple(env: Any) -> list[PhysicalCheck]:
    """A distal joint of the Shadow Hand follows the one before it: J0 = 1.142 J1 - 0.142 at the end of the slack."""
    place_object(env, _start(env, FAR_AWAY))
    joints = task_joints(env)[0]
    names = list(env.cfg.names.joints)
    joints.place(joints.default.repeat(env.num_envs, 1))
    targets = joints.default.repeat(env.num_envs, 1)
    targets[:, names.index("FFJ1")] = 1.0
    joints.command(targets)
    run_physics(env, 2.0)
    position = joints.position()[0]
    error = abs(position[names.index("FFJ0")].item() - (1.1418 * position[names.index("FFJ1")].item() - 0.1418))
    return [PhysicalCheck("tendon coupling, FFJ0 against FFJ1", error, "rad", "below 0.1", error < 0.1)]


def physical_checks(env: Any) -> list[PhysicalCheck]:
    """Run every check that applies to one of our environments.

    The environment must be reset afterwards.

    Args:
        env: The unwrapped environment.

    Returns:
        Measurements in the order in which they were made.
    """
    checks: list[Callable[[Any], list[PhysicalCheck]]] = [check_pose_is_held, check_fingers_follow]
    if hasattr(env, "arms"):
        checks.append(check_object_rests)
    else:
        if env.cfg.object_shape == "block":  # an egg rolls off straight fingers on any engine
            checks.append(check_cube_rests_in_hand)
        if "FFJ0" in env.cfg.names.joints:
            checks.append(check_tendons_couple)
    env.reset()
    return [result for check in checks for result in check(env)]

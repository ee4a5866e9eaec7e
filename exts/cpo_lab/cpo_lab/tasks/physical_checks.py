# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Does a task's physics behave, on this engine and device? ``cpo-lab doctor --task ...`` prints the answers.

The checks drive joints and objects past the rules of the task: they write states and targets, step the engine alone and
compare what it did with what must happen on every engine. What there is to check, the environment says
(:mod:`cpo_lab.tasks.physical_contract`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from cpo_lab.tasks.base_env import TaskEnv
from cpo_lab.tasks.physical_contract import Coupling, InHand, OnSurface, Settling
from cpo_rl.errors import UserError

FAR_AWAY = 40.0
"""How far above its start an object, or a robot with a free base, is put while joints are checked [m]; it does not fall
that far meanwhile."""


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
    env.scene["object"].write_root_pose_to_sim_index(root_pose=pose)
    still = torch.zeros(env.num_envs, 6, device=env.device)
    env.scene["object"].write_root_velocity_to_sim_index(root_velocity=still)


def object_position(env: Any) -> torch.Tensor:
    """Return where the objects are [m], environment frame, shape [N, 3]."""
    return env.scene["object"].data.root_link_pose_w.torch[:, :3] - env.scene.env_origins


def _take_object_away(env: Any) -> None:
    """Put objects, and robots with a free base, where nothing touches them."""
    for robot in env.scene.articulations.values():
        if not robot.is_fixed_base:
            _lift(env, robot)
    if "object" not in env.scene.rigid_objects:
        return
    start = torch.tensor(env.cfg.scene.object.init_state.pos, device=env.device).repeat(env.num_envs, 1)
    start[:, 2] += FAR_AWAY
    place_object(env, start)


def _lift(env: Any, robot: Any) -> None:
    pose = robot.data.default_root_pose.torch.clone()
    pose[:, :3] += env.scene.env_origins
    pose[:, 2] += FAR_AWAY
    robot.write_root_pose_to_sim_index(root_pose=pose)
    robot.write_root_velocity_to_sim_index(root_velocity=torch.zeros_like(pose[:, :6]))


def _take_default_pose(env: Any) -> None:
    for group in env.joint_groups():
        group.place(group.default.repeat(env.num_envs, 1))


def check_pose_is_held(env: Any) -> list[PhysicalCheck]:
    """Robots stay at their default pose for 2 s: gravity is compensated and the motors hold."""
    _take_object_away(env)
    _take_default_pose(env)
    run_physics(env, 2.0)
    error = max(float((group.position() - group.default).abs().max()) for group in env.joint_groups())
    return [PhysicalCheck("pose held for 2 s, joint error", error, "rad", "below 0.02", error < 0.02)]


def finger_response(env: Any, step: float | None = None) -> tuple[float, float]:
    """Return time constant [s] (to 63 % of a step command) and remaining error after 1 s of one finger joint.

    Args:
        env: The environment.
        step: How far it is moved; as far as the group says if None.
    """
    _take_object_away(env)
    group = env.joint_groups()[0]
    step = group.step if step is None else step
    start = group.default.repeat(env.num_envs, 1)
    group.place(start)
    run_physics(env, 0.2)
    begin = group.position()[0, group.finger].item()
    targets = start.clone()
    targets[:, group.finger] += step
    group.command(targets)
    constant, goal = float("inf"), targets[0, group.finger].item()
    for time in step_physics(env, 1.0):
        now = group.position()[0, group.finger].item()
        if now - begin >= 0.632 * (goal - begin):
            constant = min(constant, time)
    return constant, abs(goal - group.position()[0, group.finger].item())


def check_fingers_follow(env: Any) -> list[PhysicalCheck]:
    """A finger joint follows a step command; its time constant is the number to compare between engines."""
    constant, error = finger_response(env)
    group = env.joint_groups()[0]
    name, most = f"{group.moved} step response", group.step / 8.0
    return [
        PhysicalCheck(f"{name}, time constant", 1e3 * constant, "ms", "below 300", constant < 0.3),
        PhysicalCheck(f"{name}, error after 1 s", error, group.unit, f"below {most:g}", error < most),
    ]


def check_object_rests(env: Any, place: OnSurface) -> list[PhysicalCheck]:
    """An object stays where it lies, neither sliding nor sinking."""
    _take_default_pose(env)
    place_object(env, place.start)
    run_physics(env, 0.5)
    before = object_position(env)
    run_physics(env, 2.0)
    drift = float((object_position(env) - before).norm(dim=-1).max())
    gap = float((object_position(env)[:, 2] - place.height).abs().max())
    where = f"object at rest on the {place.surface}"
    return [
        PhysicalCheck(f"{where}, drift in 2 s", 1e3 * drift, "mm", "below 2", drift < 2e-3),
        PhysicalCheck(f"{where}, gap or overlap", 1e3 * gap, "mm", "below 2", gap < 2e-3),
    ]


def check_object_slides(env: Any, place: OnSurface) -> list[PhysicalCheck]:
    """An object that is pulled along is braked by the friction that the settings state.

    The pull is 1.3 times what friction can hold, so that the object slides; how far it gets says what friction took.
    """
    material, body = env.cfg.sim.physics_material, env.scene["object"]
    if material is None or material.dynamic_friction == 0.0:
        return []
    _take_default_pose(env)
    place_object(env, place.start)
    run_physics(env, 0.5)
    gravity, wanted = abs(env.cfg.sim.gravity[2]), material.dynamic_friction
    force = torch.zeros(env.num_envs, 1, 3, device=env.device)
    force[:, 0, 0] = 1.3 * wanted * gravity * body.data.body_mass.torch[:, 0]
    body.permanent_wrench_composer.set_forces_and_torques_index(forces=force)
    flattest = int(place.height.argmin())  # a tall one would topple
    before = float(object_position(env)[flattest, 0])
    run_physics(env, seconds := 0.25)
    gained = 2.0 * (float(object_position(env)[flattest, 0]) - before) / seconds**2
    body.permanent_wrench_composer.set_forces_and_torques_index(forces=torch.zeros_like(force))
    friction = 1.3 * wanted - gained / gravity
    low, high = 0.8 * wanted, 1.25 * wanted  # even a cube is about to topple, which is counted as friction
    name, passed = f"friction of the object on the {place.surface}", low < friction < high
    return [PhysicalCheck(name, friction, "", f"{low:g} to {high:g}", passed)]


def check_object_stays_in_hand(env: Any, place: InHand) -> list[PhysicalCheck]:
    """An object stays on the straight fingers for 2 s."""
    _take_default_pose(env)
    place_object(env, place.start)
    run_physics(env, 2.0)
    distance = float((object_position(env) - place.goal).norm(dim=-1).max())
    name = f"{place.thing} in the hand after 2 s, distance from goal"
    return [PhysicalCheck(name, distance, "m", f"below {place.limit:g}", distance < place.limit)]


def check_tendon_couples(env: Any, coupling: Coupling) -> list[PhysicalCheck]:
    """A joint follows the one before it to the end of the tendon's slack."""
    _take_object_away(env)
    group = env.joint_groups()[0]
    targets = group.default.repeat(env.num_envs, 1)
    group.place(targets)
    targets[:, coupling.leader] = 1.0
    group.command(targets)
    run_physics(env, 2.0)
    position = group.position()[0]
    wanted = coupling.slope * position[coupling.leader].item() + coupling.offset
    error = abs(position[coupling.follower].item() - wanted)
    return [PhysicalCheck(f"tendon coupling, {coupling.name}", error, "rad", "below 0.1", error < 0.1)]


def check_settles(env: Any, settling: Settling) -> list[PhysicalCheck]:
    """Robots that are put down come to the height at which they stand or lie."""
    settling.start()
    run_physics(env, settling.seconds)
    results = []
    for robot in env.scene.articulations.values():
        height = robot.data.root_link_pose_w.torch[:, 2] - env.scene.env_origins[:, 2]
        low, high = float(height.min()), float(height.max())
        worst = low if low - settling.low < settling.high - high else high
        name = f"{settling.manner}, height of the base after {settling.seconds:g} s"
        allowed = f"{settling.low:g} to {settling.high:g}"
        passed = settling.low <= low and high <= settling.high  # false for what is no number
        results.append(PhysicalCheck(name, worst, "m", allowed, passed))
    return results


def physical_checks(env: Any) -> list[PhysicalCheck]:
    """Run every check that an environment's :mod:`contract <cpo_lab.tasks.physical_contract>` allows.

    The environment must be reset afterwards.

    Args:
        env: The unwrapped environment, a :class:`~cpo_lab.tasks.base_env.TaskEnv`.

    Returns:
        Measurements in the order in which they were made.

    Raises:
        UserError: If the environment does not say which joints its robots have.
    """
    if not isinstance(env, TaskEnv) or not (env.joint_groups() or env.settlings()):
        name = type(env).__name__
        raise UserError(
            f"{name} does not say which joints to check; docs/add_a_task.md shows its joint_groups(), and "
            "--stress tries any task."
        )
    env.reset()
    results = [*check_pose_is_held(env), *check_fingers_follow(env)] if env.joint_groups() else []
    for place in env.resting_places():
        if isinstance(place, OnSurface):
            results += [*check_object_rests(env, place), *check_object_slides(env, place)]
        else:
            results += check_object_stays_in_hand(env, place)
    for coupling in env.couplings():
        results += check_tendon_couples(env, coupling)
    for settling in env.settlings():
        results += check_settles(env, settling)
    return results

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Solve an arm task by hand in a real engine and write what was seen as JSON (run by test_allegro_kuka_sim.py).

python checks.py TASK ENGINE OUTPUT.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from cpo_lab.tasks.layout import layout_slices
from cpo_lab.tasks.physical_checks import (
    object_position,
    physical_checks,
    place_object,
    run_physics,
)

ENVS = 6


def make_env(task: str, engine: str):
    import gymnasium
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    objects = "env.object_set=cube" if "Throw" in task else "env.num_objects=4"
    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}", objects])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    return cfg, lambda: gymnasium.make(task, cfg=cfg).unwrapped


def idle(env) -> torch.Tensor:
    """Actions that keep every target where it is."""
    actions = []
    for arm in env.arms:
        absolute = 2.0 * (arm.targets - arm.lower) / (arm.upper - arm.lower) - 1.0
        if env.cfg.arm_control == "integrated":
            absolute[:, :7] = 0.0
        actions.append(absolute)
    return torch.cat(actions, dim=-1)


def check_steps(env) -> dict:
    """Random actions with forced time-outs among them."""
    env.reset()
    generator = torch.Generator().manual_seed(1)
    digest, finite, largest, ended = hashlib.sha256(), True, 0.0, 0
    for step in range(40):
        if step == 20:
            env.episode_length_buf[:3] = env.cfg.episode_length - 2
        actions = 3.0 * torch.rand(ENVS, env.cfg.action_space, generator=generator) - 1.5
        observation, reward, terminated, timed_out, _ = env.step(actions)
        digest.update(observation["policy"].numpy().tobytes() + reward.numpy().tobytes())
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        largest = max(largest, float(observation["policy"].abs().max()))
        ended += int((terminated | timed_out).sum())
    return {
        "shape": list(observation["policy"].shape),
        "finite": finite,
        "largest": largest,
        "ended": ended,
        "digest": digest.hexdigest(),
        "masses": env.object.data.body_mass.torch.flatten().tolist(),
        "shapes": [env.shapes[i] for i in env.object_of_env.tolist()],
    }


def check_solution(env) -> dict:
    """Carry the object to its goal until goals are reached; environment 0 is watched."""
    env.reset()
    env.step(idle(env))
    place = torch.tensor([0.0, 0.1, 0.9]).repeat(ENVS, 1)
    env.goals.position = place.clone()
    env.progress.closest_keypoint = torch.full((ENVS,), 0.5)
    env.progress.closest_fingertip = torch.zeros_like(
        env.progress.closest_fingertip
    )  # no approach reward, which two arms go on to get
    slices, seen = layout_slices(env.layout), []
    for _ in range(env.cfg.success_steps + 2):
        goal = env.goals.position.clone()
        place_object(env, place, env.goals.rotation)
        observation, reward, terminated, *_ = env.step(idle(env))
        row = observation["policy"][0]
        seen.append(
            {
                "reward": reward[0].item(),
                "lifted": bool(env.progress.lifted[0]),
                "near_goal_steps": int(env.progress.near_goal_steps[0]),
                "successes": env.successes[0].item(),
                "reached": bool(env.progress.goal_reached[0]),
                "goal_kept": bool(torch.equal(goal[0], env.goals.position[0])),
                "clock": int(env.episode_length_buf[0] - env.progress.clock_start[0]),
                "terminated": bool(terminated.any()),
                "closest_fingertips": env.progress.closest_fingertip[0].tolist(),
                "fingertip_distances": env.fingertip_distance[0].tolist(),
                "shown_lifted": row[slices["lifted"]].item(),
                "shown_closest": row[slices["closest_keypoint"]].item(),
                "shown_reward": row[slices["reward"]].item(),
                "shown_to_goal": row[slices["keypoints_to_goal"]].norm().item(),
            }
        )
    after = object_position(env)[0].tolist()
    env.step(idle(env))
    return {"steps": seen, "object_after": after, "terms": env.progress.term_sums[0].tolist()}


def check_curriculum(env) -> dict:
    env.reset()
    env.curriculum.policy_steps = env.cfg.tolerance_interval - 2
    values = []
    for mean in (3.0, 3.0, 3.0):
        env.episode_successes.fill_(mean)
        env.step(idle(env))
        values.append(env.curriculum.tolerance.item())
    env.curriculum.policy_steps += env.cfg.tolerance_interval
    env.episode_successes.fill_(2.9)
    env.step(idle(env))
    values.append(env.curriculum.tolerance.item())
    state = env.state_for_checkpoint()
    env.curriculum.tolerance.fill_(0.5)
    env.restore_from_checkpoint(state)
    return {"tolerances": values, "restored": env.curriculum.tolerance.item()}


def check_ends(env) -> dict:
    """Environment 1 drops its object, 2 reaches its 50th goal, 3 runs out of time, 4 loses its object."""
    env.curriculum.tolerance = torch.tensor(env.cfg.initial_tolerance)
    env.reset()
    env.step(idle(env))
    place = object_position(env).clone()
    place[1] = torch.tensor([0.9, 0.9, 0.05])
    place[2] = torch.tensor([0.0, 0.1, 0.9])
    place[4] = torch.tensor([0.0, -2.5, 1.0])
    env.goals.position = torch.where(torch.arange(ENVS)[:, None] == 2, place, env.goals.position)
    env.successes[2] = 49.0
    env.progress.near_goal_steps[2] = env.cfg.success_steps - 1
    env.episode_length_buf[3] = env.cfg.episode_length - 2
    env.successes[3] = 4.0
    rotation = env.object_rotation.clone()
    rotation[2] = env.goals.rotation[2]
    place_object(env, place, rotation)
    observation, _, terminated, timed_out, extras = env.step(idle(env))
    slices = layout_slices(env.layout)
    fresh = observation["policy"][1]
    return {
        "terminated": terminated.tolist(),
        "fell": env.fell().tolist(),
        "timed_out": timed_out.tolist(),
        "episode_successes": extras["episode_metrics"]["successes"].tolist(),
        "episode_lifted": extras["episode_metrics"]["lifted"].tolist(),
        "fresh_height": object_position(env)[1, 2].item(),
        "fresh_lifted": fresh[slices["lifted"]].item(),
        "fresh_progress": fresh[slices["log_progress"]].item(),
        "fresh_reward": fresh[slices["reward"]].item(),
        "log": {key: float(value) for key, value in extras["log"].items()},
    }


def check_forces(env) -> dict:
    """A force on a free object accelerates it by force / mass, besides gravity."""
    env.reset()
    place_object(env, torch.tensor([0.0, -3.0, 5.0]).repeat(ENVS, 1))
    if env.cfg.force_scale > 0.0:
        env.forces.probability.fill_(1.0)
    env._pre_physics_step(idle(env))
    run_physics(env, 1.0 / 60.0)
    velocity = env.object.data.root_com_vel_w.torch[:, :3]
    mass = env.object.data.body_mass.torch.view(-1, 1)
    gravity = torch.tensor([0.0, 0.0, -9.81])
    return {
        "velocity": velocity.tolist(),
        "expected": ((env.forces.forces / mass + gravity) / 60.0).tolist(),
        "push": (env.forces.forces / mass).norm(dim=-1).max().item(),
    }


def check_bucket(env) -> dict:
    """An object dropped over the bucket is caught by it and counts as thrown in."""
    env.reset()
    place = env.goals.position.clone()
    heights = place[:, 2].tolist()
    place[:, 2] += 0.25
    place_object(env, place)
    for _ in range(60):
        env.step(idle(env))
        if bool((env.successes > 0).any()):
            break
    pose = env.goals.bucket.data.root_link_pose_w.torch[:, :3] - env.scene.env_origins
    return {
        "successes": env.successes.tolist(),
        "offset": (env.object_position - pose).tolist(),
        "goal_offset": (env.goals.position - pose).tolist(),
        "goal_heights": heights,
    }


def check_fast_catches(env) -> list[list[float]]:
    """Cubes fly into the bucket at 6 m/s, straight down and slanted; returns where they end, bucket's frame."""
    ends = []
    for slant in (0.0, 0.1, 0.2, 0.3):
        env.reset()
        bucket = env.goals.bucket.data.root_link_pose_w.torch[:, :3] - env.scene.env_origins
        direction = torch.arange(ENVS) * 2.0 * torch.pi / ENVS
        down = torch.full((ENVS,), 1.0)
        heading = torch.stack((slant * direction.cos(), slant * direction.sin(), -down), dim=-1)
        heading /= heading.norm(dim=-1, keepdim=True)
        start = bucket - 0.25 / heading[:, 2:].abs() * heading + torch.tensor([0.0, 0.0, 0.05])
        place_object(env, start)
        velocity = torch.cat((6.0 * heading, torch.zeros(ENVS, 3)), dim=-1)
        env.object.write_root_velocity_to_sim_index(root_velocity=velocity)
        run_physics(env, 0.5)
        ends += (object_position(env) - bucket).tolist()
    return ends


def main() -> None:
    task, engine, output = sys.argv[1:]
    from isaaclab.app import launch_simulation

    cfg, make = make_env(task, engine)
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = make()
        seen = {"steps": check_steps(env), "solution": check_solution(env), "ends": check_ends(env)}
        seen["forces"] = check_forces(env)
        seen["curriculum"] = check_curriculum(env)
        if cfg.use_bucket:
            seen["bucket"] = check_bucket(env)
            seen["fast_catches"] = check_fast_catches(env)
        seen["arms"] = [len(group.index) for group in env.joint_groups()]
        seen["physics"] = {check.name: check.value for check in physical_checks(env)}
        seen["failed"] = [check.name for check in physical_checks(env) if not check.passed]
        env.reset()
        env.close()
    Path(output).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

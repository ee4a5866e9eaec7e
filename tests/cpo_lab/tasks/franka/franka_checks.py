# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive a task of Franka's arm through a real engine and write what was seen as JSON (run by test_franka_sim.py).

python -m tests.cpo_lab.tasks.franka.franka_checks ENGINE OUTPUT.json, with the task in CPO_LAB_FRANKA, Push or Stack
"""

from __future__ import annotations

import os

import torch
from tests.cpo_lab.tasks.franka.script import Pusher, Stacker, play
from tests.in_engine import drive

from cpo_lab.assets.franka.bench import CUBE_EDGE, LOWER_CUBE_EDGE, TABLE_TOP
from cpo_lab.tasks.layout import layout_slices

ENVS = 12
NAME = os.environ["CPO_LAB_FRANKA"]
STACKS = NAME == "Stack"
UPRIGHT = torch.tensor([[0.0, 0.0, 0.0, 1.0]])


def put(env, cube, edge, x, y, lift=0.0, ids=None) -> None:
    """Put cubes of some environments, or of all, at rest at (x, y), ``lift`` above the table [m]."""
    ids = torch.arange(ENVS) if ids is None else torch.tensor(ids)
    place = torch.tensor([[x, y]]).repeat(len(ids), 1)
    env.place(cube, edge, place, UPRIGHT.repeat(len(ids), 1), ids)
    if lift:
        pose = cube.data.root_link_pose_w.torch[ids].clone()
        pose[:, 2] = TABLE_TOP + edge / 2.0 + lift
        cube.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)


def check_steps(env) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    finite, worst, fingers = True, 0.0, 0.0
    for _ in range(60):
        observation, reward, *_ = env.step(3.0 * torch.rand(ENVS, 7, generator=generator) - 1.5)
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        positions = env.robot.data.joint_pos.torch[:, env.joints]
        past = torch.maximum(env.lower - positions, positions - env.upper)
        worst, fingers = max(worst, float(past[:, :7].max())), max(fingers, float(past[:, 7:].max()))
    return {
        "shape": list(observation["policy"].shape),
        "finite": finite,
        "past_limit": worst,
        "fingers_past_limit": fingers,
        "mass": float(env.robot.data.body_mass.torch[0].sum()),
        "cube_mass": float(env.cube.data.body_mass.torch[0].sum()),
        "fixed": bool(env.robot.is_fixed_base),
        "policy_hz": 1.0 / env.step_dt,
        "episode_steps": env.max_episode_length,
    }


def check_resets(env) -> dict:
    env.reset()
    env.measure()
    noise = env.robot.data.joint_pos.torch[:, env.joints] - env.default
    return {
        "noise": [float(noise[:, :7].min()), float(noise[:, :7].max()), float(noise[:, 7:].abs().max())],
        "cube_height": env.cube_height.tolist(),
        "target_height": (env.target()[:, 2] - TABLE_TOP).tolist(),
        "apart": float((env.target() - env.cube_position)[:, :2].norm(dim=-1).min()),
        "reach": float(torch.cat((env.target(), env.cube_position))[:, :2].abs().max()),
        "turn": float(2.0 * env.cube_rotation[:, 2].asin().abs().max()),
    }


def check_observation(env) -> dict:
    """The arm in its default pose and a cube where it is put by hand; what is observed is computed by hand as well."""
    env.reset()
    env.place_arm(env.default.repeat(ENVS, 1), torch.arange(ENVS))
    put(env, env.cube, CUBE_EDGE, 0.1, -0.2)
    env.measure()
    seen = env._get_observations()["policy"][0]
    where = layout_slices(env.layout)
    wanted = {
        "cube_rotation": UPRIGHT[0],
        "cube_position": torch.tensor([0.1, -0.2, 1.05]),
        "cube_to_target": env.target()[0] - torch.tensor([0.1, -0.2, 1.05]),
        "grip_position": torch.tensor([0.008, 0.0, 1.218]),  # as another program has it from the URDF
        "finger_position": torch.tensor([0.035, 0.035]),
    }
    rotation = seen[where["grip_rotation"]]
    return {
        **{name: float((seen[where[name]] - value).abs().max()) for name, value in wanted.items()},
        "looks_down": 1.0 - float(rotation[0].abs()),  # half a turn about X
    }


def check_control(env) -> dict:
    """A full action upwards, from the default pose, and one that closes the fingers on nothing."""
    env.reset()
    env.place_arm(env.default.repeat(ENVS, 1), torch.arange(ENVS))
    action = torch.zeros(ENVS, 7)
    action[:, 2], action[:, 6] = 1.0, -1.0
    speeds = []
    for _ in range(14):
        env.step(action)
        speeds.append(env._grip_velocity()[0].tolist())
    return {"first": speeds[0], "last": speeds[-1], "fingers": env.finger_positions[0].tolist()}


def check_ends(env) -> dict:
    """Environment 0 succeeds, 1 has lifted the cube, 2 runs out of time, and nothing happens in 3."""
    env.reset()
    far = env.default.repeat(ENVS, 1)
    env.place_arm(far, torch.arange(ENVS))
    env.episode_length_buf[:] = 9
    put(env, env.cube, CUBE_EDGE, -0.1, 0.3)
    if STACKS:
        put(env, env.lower_cube, LOWER_CUBE_EDGE, 0.1, 0.3)
        put(env, env.cube, CUBE_EDGE, 0.1, 0.305, lift=LOWER_CUBE_EDGE, ids=[0])
    else:
        env.goal[:, :2] = torch.tensor([0.1, 0.3])
        put(env, env.cube, CUBE_EDGE, 0.103, 0.3, ids=[0])
    put(env, env.cube, CUBE_EDGE, -0.1, 0.3, lift=0.15, ids=[1])
    env.episode_length_buf[2] = env.max_episode_length - 2
    _, reward, terminated, timed_out, extras = env.step(torch.zeros(ENVS, 7))
    metrics = extras["episode_metrics"]
    return {
        "reward": reward.tolist(),
        "terminated": terminated.tolist(),
        "timed_out": timed_out.tolist(),
        "fell": env.fell().tolist(),
        "metrics": {name: values.tolist() for name, values in metrics.items()},
        "steps": env.episode_length_buf.tolist(),
    }


def check_script(env) -> dict:
    """The task is done, by hand-written actions."""
    env.reset()
    env.measure()
    return play(env, (Stacker if STACKS else Pusher)(env), 299)


if __name__ == "__main__":
    checks = {
        "steps": check_steps,
        "resets": check_resets,
        "observation": check_observation,
        "control": check_control,
        "ends": check_ends,
        "script": check_script,
    }
    drive(f"CpoLab-{NAME}-Franka-Direct", ENVS, checks)

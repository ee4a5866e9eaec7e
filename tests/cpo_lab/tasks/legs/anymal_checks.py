# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive ANYmal's task through a real engine and write what was seen as JSON (run by test_anymal_sim.py).

python -m tests.cpo_lab.tasks.legs.anymal_checks ENGINE OUTPUT.json
"""

from __future__ import annotations

import torch
from tests.in_engine import drive

from cpo_lab.tasks.layout import layout_slices
from cpo_lab.tasks.rotations import rotate

ENVS = 6
TASK = "CpoLab-Anymal-Direct"


def check_steps(env) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    finite, largest = True, 0.0
    for _ in range(40):
        actions = 3.0 * torch.rand(ENVS, 12, generator=generator) - 1.5
        observation, reward, *_ = env.step(actions)
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        finite &= bool((reward >= 0.0).all() and (reward <= 0.03).all())
        largest = max(largest, float(observation["policy"].abs().max()))
    return {
        "shape": list(observation["policy"].shape),
        "finite": finite,
        "largest": largest,
        "mass": float(env.robot.data.body_mass.torch[0].sum()),
        "fixed": bool(env.robot.is_fixed_base),
        "policy_hz": 1.0 / env.step_dt,
        "episode_steps": env.max_episode_length,
    }


def check_resets(env) -> dict:
    env.reset()
    start = env.read(env.robot.data.joint_pos) / env.default
    observation = env._get_observations()["policy"]
    return {
        "height": env.height.tolist(),
        "factors": [float(start.min()), float(start.max())],
        "commands_differ": len({tuple(row) for row in env.commands.tolist()}) == ENVS,
        "last_action": float(observation[:, 36:].abs().max()),
        "velocity_entries": float(observation[:, :6].abs().max()),
    }


def check_observation(env) -> dict:
    """The base is tilted, turned and moved by hand; what is observed is computed by hand as well."""
    env.reset()
    rotation = torch.tensor([0.1, -0.2, 0.3, 0.9]).repeat(ENVS, 1)
    rotation /= rotation.norm(dim=-1, keepdim=True)
    pose = env.robot.data.default_root_pose.torch.clone()
    pose[:, :3] += env.scene.env_origins
    pose[:, 2] += 5.0
    pose[:, 3:] = rotation
    velocity = torch.tensor([0.5, -0.3, 0.2, 1.0, -2.0, 0.7]).repeat(ENVS, 1)
    env.robot.write_root_pose_to_sim_index(root_pose=pose)
    env.robot.write_root_velocity_to_sim_index(root_velocity=velocity)
    env.commands[:] = torch.tensor([1.5, -0.5, 0.25])
    where = layout_slices(env.layout)
    seen = env._get_observations()["policy"][0]
    conjugate = rotation[0] * torch.tensor([-1.0, -1.0, -1.0, 1.0])
    wanted = {
        "base_linear_velocity": 2.0 * rotate(conjugate, velocity[0, :3]),
        "base_angular_velocity": 0.25 * rotate(conjugate, velocity[0, 3:]),
        "gravity": rotate(rotation[0], torch.tensor([0.0, 0.0, -1.0])),
        "velocity_command": torch.tensor([3.0, -1.0]),
        "yaw_command": torch.tensor([0.0625]),
        "joint_position": env.read(env.robot.data.joint_pos)[0] - env.default,
        "joint_velocity": 0.05 * env.read(env.robot.data.joint_vel)[0],
        "last_action": torch.zeros(12),
    }
    return {name: float((seen[where[name]] - value).abs().max()) for name, value in wanted.items()}


def check_ends(env) -> dict:
    """Environment 0 moves as it is commanded, 1 lies on its back, 2 runs out of time; all but 1 hover far above."""
    env.reset()
    everyone, hold = torch.arange(ENVS), torch.zeros(ENVS, 12)
    env.stand()
    env.place(everyone, lift=5.0)
    env.commands[:] = torch.tensor([1.2, -0.4, 0.6])
    velocity = torch.tensor([[1.2, -0.4, 0.0, 0.0, 0.0, 0.6]])
    env.robot.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=everyone[:1])
    pose = env.robot.data.default_root_pose.torch[1:2].clone()
    pose[:, :3] += env.scene.env_origins[1:2]
    pose[:, 2] = 0.25
    pose[:, 3:] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    env.robot.write_root_pose_to_sim_index(root_pose=pose, env_ids=everyone[1:2])
    env.episode_length_buf[2] = env.max_episode_length - 2
    env._steps[2], env._error_sums[2] = 9.0, torch.tensor([1.8, 2.7])
    _, reward, terminated, timed_out, extras = env.step(hold)
    seen = {
        "reward": reward.tolist(),
        "timed_out": timed_out.tolist(),
        "errors": env.errors.tolist(),
        "velocity_error": extras["episode_metrics"]["velocity_error"].tolist(),
        "yaw_error": extras["episode_metrics"]["yaw_error"].tolist(),
        "new_height": env.height[2].item(),
    }
    falls = terminated.int()
    for _ in range(10):
        falls += env.step(hold)[2]
    return {**seen, "falls": falls.tolist()}


if __name__ == "__main__":
    checks = {
        "steps": check_steps,
        "resets": check_resets,
        "observation": check_observation,
        "ends": check_ends,
    }
    drive(TASK, ENVS, checks)

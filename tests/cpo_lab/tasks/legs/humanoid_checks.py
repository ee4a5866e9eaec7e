# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive the humanoid's task through a real engine and write what was seen as JSON (run by test_humanoid_sim.py).

python -m tests.cpo_lab.tasks.legs.humanoid_checks ENGINE OUTPUT.json
"""

from __future__ import annotations

import torch
from tests.in_engine import drive

from cpo_lab.tasks.layout import layout_slices
from cpo_lab.tasks.physical_checks import run_physics
from cpo_lab.tasks.rotations import rotate

ENVS = 6
TASK = "CpoLab-Humanoid-Direct"


def check_steps(env) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    finite, worst = True, 0.0
    for _ in range(60):
        actions = 3.0 * torch.rand(ENVS, 21, generator=generator) - 1.5
        observation, reward, *_ = env.step(actions)
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        past = torch.maximum(
            env.lower - env.read(env.robot.data.joint_pos), env.read(env.robot.data.joint_pos) - env.upper
        )
        worst = max(worst, float(past.max()))
    return {
        "shape": list(observation["policy"].shape),
        "finite": finite,
        "past_limit": worst,
        "last_action": float(observation["policy"][:, 87:].abs().max()),
        "mass": float(env.robot.data.body_mass.torch[0].sum()),
        "fixed": bool(env.robot.is_fixed_base),
        "policy_hz": 1.0 / env.step_dt,
        "episode_steps": env.max_episode_length,
    }


def check_resets(env) -> dict:
    env.reset()
    positions = env.read(env.robot.data.joint_pos)
    return {
        "height": env.height.tolist(),
        "largest": float(positions.abs().max()),
        "past_limit": float(torch.maximum(env.lower - positions, positions - env.upper).max()),
        "potential": (env.potentials * env.step_dt).tolist(),
    }


def check_observation(env) -> dict:
    """The torso is tilted, turned and moved by hand; what is observed is computed by hand as well."""
    env.reset()
    rotation = torch.tensor([0.1, -0.2, 0.3, 0.9]).repeat(ENVS, 1)
    rotation /= rotation.norm(dim=-1, keepdim=True)
    pose = env.robot.data.default_root_pose.torch.clone()
    pose[:, :3] += env.scene.env_origins + torch.tensor([2.0, 3.0, 5.0])
    pose[:, 3:] = rotation
    velocity = torch.tensor([0.5, -0.3, 0.2, 1.0, -2.0, 0.7]).repeat(ENVS, 1)
    env.robot.write_root_pose_to_sim_index(root_pose=pose)
    env.robot.write_root_velocity_to_sim_index(root_velocity=velocity)
    where = layout_slices(env.layout)
    seen = env._get_observations()["policy"][0]
    quat = rotation[0]
    conjugate = quat * torch.tensor([-1.0, -1.0, -1.0, 1.0])
    forward, upward = rotate(quat, torch.tensor([1.0, 0.0, 0.0])), rotate(quat, torch.tensor([0.0, 0.0, 1.0]))
    way = torch.tensor([998.0, -3.0])
    yaw = torch.atan2(forward[1], forward[0])
    right = rotate(quat, torch.tensor([0.0, 1.0, 0.0]))
    roll = torch.atan2(right[2], upward[2])
    positions = env.read(env.robot.data.joint_pos)[0]
    wanted = {
        "height": torch.tensor([6.34]),
        "linear_velocity": rotate(conjugate, velocity[0, :3]),
        "angular_velocity": 0.25 * rotate(conjugate, velocity[0, 3:]),
        "angles": torch.stack((yaw, roll, torch.atan2(torch.tensor(-6.34), torch.tensor(998.0)) - yaw)),
        "upward": upward[2:],
        "heading": (forward[:2] @ way / way.norm()).unsqueeze(0),
        "joint_position": 2.0 * (positions - env.lower) / (env.upper - env.lower) - 1.0,
        "joint_velocity": 0.1 * env.read(env.robot.data.joint_vel)[0],
        "last_action": torch.zeros(21),
    }
    return {name: float((seen[where[name]] - value).abs().max()) for name, value in wanted.items()}


def check_torques(env) -> dict:
    """Hovering without weight of the legs' own, a full action of one knee is its effort; springs pull the rest back."""
    env.reset()
    env.drop()
    env.place(torch.arange(ENVS), lift=20.0)
    actions = torch.zeros(ENVS, 21)
    knee = env.cfg.joints().index("right_knee")
    actions[:, knee] = -0.1
    env.step(actions)
    torques = env.read(env.robot.data.applied_torque)[0]
    velocity = env.read(env.robot.data.joint_vel)[0, knee]
    env.drop()
    env.place(torch.arange(ENVS), lift=20.0)
    bent = torch.zeros(ENVS, 21)
    abdomen = env.cfg.joints().index("abdomen_y")
    bent[:, abdomen] = -0.5
    env.robot.write_joint_position_to_sim_index(position=bent, joint_ids=env.joint_ids)
    run_physics(env, 0.6)
    return {
        "knee_torque": float(torques[knee]),
        "knee_velocity": float(velocity),
        "others": float(torques[torch.arange(21) != knee].abs().max()),
        "abdomen_after": float(env.read(env.robot.data.joint_pos)[0, abdomen]),
    }


def check_ends(env) -> dict:
    """Environment 0 flies towards the target, 1 lies too low, 2 runs out of time; all but 1 hover far above."""
    env.reset()
    env.drop()
    everyone = torch.arange(ENVS)
    env.place(everyone, lift=20.0)
    env.potentials[:] = -1000.0 / env.step_dt
    velocity = torch.tensor([[3.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    env.robot.write_root_velocity_to_sim_index(root_velocity=velocity, env_ids=everyone[:1])
    lying = env.robot.data.default_root_pose.torch[1:2].clone()
    lying[:, :3] += env.scene.env_origins[1:2]
    lying[:, 2], lying[:, 3:] = 0.6, torch.tensor([0.0, 0.5**0.5, 0.0, 0.5**0.5])
    env.robot.write_root_pose_to_sim_index(root_pose=lying, env_ids=everyone[1:2])
    pose = env.robot.data.default_root_pose.torch[2:3].clone()
    pose[:, :3] += env.scene.env_origins[2:3] + torch.tensor([7.0, 0.0, 20.0])
    env.robot.write_root_pose_to_sim_index(root_pose=pose, env_ids=everyone[2:3])
    env.episode_length_buf[2] = env.max_episode_length - 2
    observation, reward, terminated, timed_out, extras = env.step(torch.zeros(ENVS, 21))
    return {
        "torques": observation["policy"][:, layout_slices(env.layout)["joint_torque"]].abs().sum(dim=-1).tolist(),
        "reward": reward.tolist(),
        "approach": env.approach.tolist(),
        "terminated": terminated.tolist(),
        "timed_out": timed_out.tolist(),
        "distance": extras["episode_metrics"]["distance"].tolist(),
    }


def check_feet(env) -> dict:
    """A stiff robot that stands for a moment: what both ankles carry, in axes of the feet."""
    env.reset()
    env.drop()
    env.place(torch.arange(ENVS), lift=-0.05)
    most = torch.zeros(ENVS, 2, 6)
    for _ in range(12):
        env.step(torch.zeros(ENVS, 21))
        wrench = env.foot_wrench()
        most = torch.where(wrench.abs() > most.abs(), wrench, most)
    return {"vertical": most[:, :, 2].abs().mean(0).tolist(), "sideways": most[:, :, 1].abs().mean(0).tolist()}


if __name__ == "__main__":
    checks = {
        "steps": check_steps,
        "resets": check_resets,
        "observation": check_observation,
        "torques": check_torques,
        "ends": check_ends,
        "feet": check_feet,
    }
    drive(TASK, ENVS, checks)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive the Shadow Hand task through a real engine and write what was seen as JSON (run by test_shadow_sim.py).

python shadow_checks.py ENGINE OUTPUT.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch

from cpo_lab.assets.shadow_hand_table import ALL_JOINTS, LINKS

ENVS = 6
TASK = "CpoLab-Reorient-Cube-Shadow-Direct"


def make_env(engine: str):
    import gymnasium
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    cfg, _ = resolve_task_config(TASK, None, overrides=[f"physics={engine}"])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    return cfg, lambda: gymnasium.make(TASK, cfg=cfg).unwrapped


def step_physics(env, targets: dict[str, float], seconds: float) -> dict[str, float]:
    """Command joint positions (others 0) past the task's logic; returns the positions of environment 0."""
    env.targets[:] = torch.tensor([targets.get(name, 0.0) for name in ALL_JOINTS])
    env.hand.actuators.target_command.set_position_index(value=env.targets, joint_ids=env.map.joint_ids)
    for _ in range(round(seconds * 120)):
        env.scene.write_data_to_sim()
        env.sim.step(render=False)
        env.scene.update(env.physics_dt)
    positions = env.hand.data.joint_pos.torch[0, env.map.joints]
    return dict(zip(ALL_JOINTS, positions.tolist(), strict=True))


def place(env, joints: dict[str, float], cube_height: float) -> None:
    """Put every hand at ``joints`` (others 0) and every cube ``cube_height`` metres above its start."""
    ids = torch.arange(ENVS, dtype=torch.int32)
    positions = torch.tensor([joints.get(name, 0.0) for name in ALL_JOINTS]).repeat(ENVS, 1)
    env.hand.write_joint_position_to_sim_index(position=positions, joint_ids=env.map.joint_ids, env_ids=ids)
    env.hand.write_joint_velocity_to_sim_index(velocity=positions * 0.0, joint_ids=env.map.joint_ids, env_ids=ids)
    pose = env.object.data.default_root_pose.torch.clone()
    pose[:, :3] += env.scene.env_origins
    pose[:, 2] += cube_height
    env.object.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
    env.object.write_root_velocity_to_sim_index(root_velocity=torch.zeros(ENVS, 6), env_ids=ids)
    env.scene.write_data_to_sim()
    env.sim.forward()
    env.scene.update(0.0)


def body_positions(env, index: int = 0) -> dict[str, list[float]]:
    bodies = list(env.hand.body_names)
    local = env.hand.data.body_link_pose_w.torch[index, :, :3] - env.scene.env_origins[index]
    return {link.name: local[bodies.index(link.name)].tolist() for link in LINKS}


def check_model(env) -> dict:
    place(env, {}, 50.0)
    seen = {
        "mass": float(env.hand.data.body_mass.torch[0].sum()),
        "cube_mass": float(env.object.data.body_mass.torch[0].sum()),
        "limits": torch.stack((env.map.lower, env.map.upper), dim=-1).tolist(),
        "tendons": sorted(env.hand.fixed_tendon_names),
        "bodies_at_zero": body_positions(env),
    }
    held = step_physics(env, {}, 1.0)
    seen["hold_error"] = max(abs(value) for value in held.values())
    place(env, {}, 50.0)
    seen["tendon"] = step_physics(env, {"FFJ1": 1.0, "MFJ1": 0.5, "WRJ0": 0.3}, 2.0)
    return seen


def check_steps(env) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    digest, finite, largest = hashlib.sha256(), True, 0.0
    for step in range(60):
        if step == 20:
            env.episode_length_buf[:3] = 598  # so that the run has resets in it
        actions = 2.0 * torch.rand(ENVS, 20, generator=generator) - 1.0
        observation, reward, *_ = env.step(1.5 * actions)
        digest.update(observation["policy"].numpy().tobytes() + reward.numpy().tobytes())
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        largest = max(largest, float(observation["policy"].abs().max()))
    return {
        "digest": digest.hexdigest(),
        "finite": finite,
        "largest": largest,
        "shape": list(observation["policy"].shape),
        "last_action": observation["policy"][:, -20:].abs().max().item(),
        "torque": observation["policy"][:, 48:72].abs().sum().item(),
        "wrench": observation["policy"][:, 161:191].abs().sum().item(),
    }


def check_episode_ends(env) -> dict:
    """Environment 1 drops its cube, 2 reaches its goal, 3 runs out of time; 0, 4 and 5 go on."""
    env.reset()
    idle = torch.zeros(ENVS, 20)
    env.step(idle)
    pose = env.object.data.root_link_pose_w.torch.clone()
    pose[1, :3] = env.scene.env_origins[1] + torch.tensor([0.0, -0.39, 0.25])
    env.object.write_root_pose_to_sim_index(root_pose=pose[1:2], env_ids=torch.tensor([1], dtype=torch.int32))
    env.goal_rotation[2] = pose[2, 3:]
    env.episode_length_buf[3] = 598
    env.successes[3] = 4.0
    before = env.goal_rotation.clone()
    observation, reward, terminated, timed_out, extras = env.step(idle)
    shown = observation["policy"][:, 88:92]
    seen = {
        "reward": reward.tolist(),
        "terminated": terminated.tolist(),
        "timed_out": timed_out.tolist(),
        "successes": env.successes.tolist(),
        "episode_successes": extras["episode_metrics"]["successes"].tolist(),
        "episode_length": env.episode_length_buf.tolist(),
        "goal_kept": [bool(torch.equal(shown[i], before[i])) for i in range(ENVS)],
        "cube_height": observation["policy"][:, 74].tolist(),
        "log": {key: float(value) for key, value in extras["log"].items()},
        # the first observation of an episode must show the state after the reset, also for the links
        "joints_after_reset": env.hand.data.joint_pos.torch[1, env.map.joints].tolist(),
        "tips_after_reset": observation["policy"][1, 96:161].view(5, 13)[:, :3].tolist(),
        "torques": observation["policy"][:, 48:72].abs().sum(dim=-1).tolist(),
    }
    observation, *_ = env.step(idle)
    shown = observation["policy"][:, 88:92]
    seen["goal_kept_next"] = [bool(torch.equal(shown[i], before[i])) for i in range(ENVS)]
    return seen


def main() -> None:
    engine, output = sys.argv[1:]
    from isaaclab.app import launch_simulation

    cfg, make = make_env(engine)
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}):
        env = make()
        with torch.inference_mode():  # as runners do
            seen = {"choices": env.choices, "steps": check_steps(env)}
        # the rest outside of it, as an evaluation may: what was written above must stay writable
        seen["ends"] = check_episode_ends(env)
        seen["model"] = check_model(env)
        env.close()
    Path(output).write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()

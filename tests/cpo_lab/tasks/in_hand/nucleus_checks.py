# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive the hand tasks with NVIDIA's robots and write what was seen as JSON (run by test_nucleus_sim.py).

python nucleus_checks.py {shadow,allegro} ENGINE OUTPUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from cpo_lab.tasks.physical_checks import physical_checks

ENVS = 4
TASKS = {"shadow": "CpoLab-Reorient-Cube-Shadow-Direct", "allegro": "CpoLab-Reorient-Cube-Allegro-Direct"}


def angles(env) -> dict[str, float]:
    """Joint angles of environment 0 under the names of its file, in the file's sense of rotation."""
    return dict(zip(env.hand.joint_names, env.hand.data.joint_pos.torch[0].tolist(), strict=True))


def act(env, actions: dict[int, float], steps: int) -> torch.Tensor:
    """Send actions (others hold the middle of the range) with the object far away; returns the observation."""
    command = torch.zeros(ENVS, env.cfg.action_space)
    for index, value in actions.items():
        command[:, index] = value
    env.reset()
    for _ in range(steps):
        pose = env.object.data.default_root_pose.torch.clone()
        pose[:, :3] += env.scene.env_origins + torch.tensor([0.0, 0.0, 0.2])
        env.object.write_root_pose_to_sim_index(root_pose=pose)
        observation, *_ = env.step(command)
    return observation["policy"]


def check_shadow(env) -> dict:
    names = env.cfg.names
    bend = names.motors.index("rh_FFJ0")
    seen = {"straight": {}, "bent": {}}
    for word, value in (("straight", -1.0), ("bent", 0.0)):
        seen[word] = {"observation": act(env, {bend: value}, 120)[0].tolist(), "angles": angles(env)}
    thumb, spread = names.motors.index("rh_THJ1"), names.motors.index("rh_FFJ4")
    for word, value in (("low", -1.0), ("high", 1.0)):
        observation = act(env, {thumb: value, spread: value}, 90)[0]
        seen[word] = {"observation": observation.tolist(), "angles": angles(env)}
    seen["tendons"] = sorted(env.hand.fixed_tendon_names)
    seen["reset"] = check_reset(env)
    return seen


def check_reset(env) -> dict:
    """Right after a reset the motors hold the reset angles: nothing moves although no action was sent."""
    env.reset()
    before = angles(env)
    for _ in range(12):
        env.scene.write_data_to_sim()
        env.sim.step(render=False)
        env.scene.update(env.physics_dt)
    after = angles(env)
    fingers = [name for name in before if "FFJ2" in name or "FFJ1" in name or "THJ" in name]
    return {"largest_move": max(abs(after[name] - before[name]) for name in fingers)}


def random_steps(env, count: int) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    finite = True
    for _ in range(count):
        actions = 2.0 * torch.rand(ENVS, env.cfg.action_space, generator=generator) - 1.0
        observation, reward, *_ = env.step(actions)
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
    policy = observation["policy"]
    return {"finite": finite, "shape": list(policy.shape), "last": policy[0].tolist(), "action": actions[0].tolist()}


def main() -> None:
    hand, engine, output = sys.argv[1:]
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    task = TASKS[hand]
    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}", "presets=nucleus_assets"])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg).unwrapped
        seen = {"file": cfg.scene.robot.spawn.usd_path, "variants": cfg.scene.robot.spawn.variants}
        seen["steps"] = random_steps(env, 30)
        seen["limits"] = dict(
            zip(cfg.names.joints, torch.stack((env.map.lower, env.map.upper), -1).tolist(), strict=True)
        )
        if hand == "shadow":
            seen |= check_shadow(env)
        seen["failed"] = [check.name for check in physical_checks(env) if not check.passed]
        env.close()
    Path(output).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

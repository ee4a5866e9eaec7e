# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive the Allegro Hand task through a real engine and write what was seen as JSON (run by test_allegro_sim.py).

python -m tests.cpo_lab.tasks.in_hand.allegro_checks ENGINE OUTPUT.json
"""

from __future__ import annotations

import hashlib

import torch
from tests.in_engine import drive

from cpo_lab.tasks.physical_checks import object_position, place_object

ENVS = 6
TASK = "CpoLab-Reorient-Cube-Allegro-Direct"


def check_steps(env) -> dict:
    env.reset()
    generator = torch.Generator().manual_seed(1)
    digest, finite, largest = hashlib.sha256(), True, 0.0
    for _ in range(40):
        actions = 3.0 * torch.rand(ENVS, 16, generator=generator) - 1.5
        observation, reward, *_ = env.step(actions)
        digest.update(observation["policy"].numpy().tobytes() + reward.numpy().tobytes())
        finite &= bool(torch.isfinite(observation["policy"]).all() and torch.isfinite(reward).all())
        largest = max(largest, float(observation["policy"].abs().max()))
    return {
        "shape": list(observation["policy"].shape),
        "finite": finite,
        "largest": largest,
        "digest": digest.hexdigest(),
        "torque": observation["policy"][:, 32:48].abs().max().item(),
        "last_action": observation["policy"][:, 72:].abs().max().item(),
        "hand_mass": float(env.hand.data.body_mass.torch[0].sum()),
        "cube_mass": float(env.object.data.body_mass.torch[0].sum()),
        "policy_hz": 1.0 / env.step_dt,
        "episode_steps": env.max_episode_length,
    }


def check_solution(env) -> dict:
    """Environment 0 is turned to its goal, 1 drops its cube, 2 runs out of time."""
    env.reset()
    idle = torch.zeros(ENVS, 16)
    env.step(idle)
    place, rotation = object_position(env).clone(), env.object.data.root_link_pose_w.torch[:, 3:].clone()
    place[1] = torch.tensor([0.0, -0.2, 0.2])
    place[0] = torch.tensor([0.0, -0.2, 0.75])  # above the hand, so that nothing turns it before it is looked at
    rotation[0] = env.goal_rotation[0]
    env.episode_length_buf[2] = env.max_episode_length - 2
    env.successes[2] = 3.0
    place_object(env, place, rotation)
    before = env.goal_rotation.clone()
    observation, reward, terminated, timed_out, extras = env.step(idle)
    seen = {
        "reward": reward.tolist(),
        "terminated": terminated.tolist(),
        "timed_out": timed_out.tolist(),
        "successes": env.successes.tolist(),
        "episode_successes": extras["episode_metrics"]["successes"].tolist(),
        "shown_goal_kept": bool(torch.equal(observation["policy"][0, 64:68], before[0])),
    }
    env.step(idle)
    seen["goal_changed"] = not torch.equal(env.goal_rotation[0], before[0])
    return seen


if __name__ == "__main__":
    drive(TASK, ENVS, {"steps": check_steps, "solution": check_solution})

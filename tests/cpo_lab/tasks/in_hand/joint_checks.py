# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Let a joint of the Allegro Hand coast, then press two fingers together; writes JSON (run by test_allegro_joints.py).

python joint_checks.py ENGINE SELF_COLLISION OUTPUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from cpo_lab.launch.configuration import Request, resolve
from cpo_lab.launch.simulation import make_env, simulation
from cpo_lab.tasks.physical_checks import place_object, run_physics, step_physics


def coast(env) -> list[float]:
    """Speed of the first joint [rad/s] after every physics step, from 2 rad/s and without a motor."""
    hand, joint = env.hand, env.hand.joint_names.index("index_joint_0")
    gains = torch.zeros(env.num_envs, hand.num_joints)
    hand.write_joint_stiffness_to_sim_index(stiffness=gains)
    hand.write_joint_damping_to_sim_index(damping=gains)
    position, velocity = env.joint_groups()[0].default[env.map.joints.argsort()].repeat(env.num_envs, 1), gains.clone()
    position[:, joint], velocity[:, joint] = -0.4, 2.0
    hand.write_joint_position_to_sim_index(position=position)
    hand.write_joint_velocity_to_sim_index(velocity=velocity)
    return [hand.data.joint_vel.torch[0, joint].item() for _ in step_physics(env, 0.1)]


def press(env) -> float:
    """Angle [rad] by which index and middle finger, bent, turn towards each other when told 1.1 rad."""
    group = env.joint_groups()[0]
    targets = group.default.repeat(env.num_envs, 1)
    targets[:, 1] = targets[:, 5] = 1.4
    group.place(targets)
    run_physics(env, 0.2)
    targets[:, 0], targets[:, 4] = -0.55, 0.55
    group.command(targets)
    run_physics(env, 1.0)
    return float(group.position()[0, 4] - group.position()[0, 0])


def main() -> None:
    engine, touch, output = sys.argv[1:]
    overrides = [f"physics={engine}", f"env.self_collision={touch}"]
    task = "CpoLab-Reorient-Cube-Allegro-Direct"
    resolved = resolve(Request(task, "ppo", device="cpu", num_envs=2, seed=0, overrides=overrides))
    with simulation(resolved), make_env(resolved) as wrapped, torch.inference_mode():
        env = wrapped.unwrapped
        env.reset()
        place_object(env, torch.tensor([[0.0, -0.2, 40.0]]).repeat(2, 1))
        seen = {"angle": press(env), "speeds": coast(env)}
    Path(output).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

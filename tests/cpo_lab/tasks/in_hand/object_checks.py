# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Step the Shadow Hand with another object and print what was seen as JSON (run by test_objects_sim.py).

python object_checks.py SHAPE ENGINE OUTPUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

ENVS = 32


def main() -> None:
    shape, engine, output = sys.argv[1:]
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    task = "CpoLab-Reorient-Cube-Shadow-Direct"
    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}", f"env.object_shape={shape}"])
    cfg.scene.num_envs, cfg.seed = ENVS, 3
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg).unwrapped
        env.reset()
        turn = env.object.data.root_link_pose_w.torch[:, 3:].clone()
        heights, fastest = [], 0.0
        for _ in range(30):
            observation, *_ = env.step(torch.full((ENVS, 20), -0.3))
            heights.append(observation["policy"][0, 74].item())
            fastest = max(fastest, float(env.object.data.root_com_vel_w.torch[:, :3].norm(dim=-1).max()))
        seen = {
            "finite": bool(torch.isfinite(observation["policy"]).all()),
            "mass": float(env.object.data.body_mass.torch[0].sum()),
            "inertia": env.object.data.body_inertia.torch[0].flatten()[[0, 4, 8]].tolist(),
            "tolerance": env.rules.success_tolerance,
            "heights": heights,
            "turn": turn.tolist(),
            "fastest": fastest,
        }
        env.close()
    Path(output).write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

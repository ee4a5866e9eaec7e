# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive a task in a real engine for 300 steps, the exported policy beside it (run by test_run_policy_sim.py).

python sim_check.py TASK ENGINE RNN FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tests.cpo_lab.deployment.driving import Comparison, driver, export, write_trained

from cpo_rl import export as network_export

ENVS, STEPS = 6, 300


def main() -> None:
    task, engine, rnn, folder = sys.argv[1:]
    network_export.CHECK_STEPS = 20
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    objects = ["env.num_objects=4"] if "Kuka" in task else []
    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}", *objects])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg).unwrapped
        observation = env.reset()[0]["policy"]
        checkpoint, model = write_trained(Path(folder), task, env.cfg, rnn, {"tolerance": torch.tensor(0.075)})
        with torch.inference_mode(False):
            out = export(checkpoint)
        found = Comparison(env, model, driver(out).Policy(out, ENVS), 2)
        set_targets = env._pre_physics_step

        def advance(actions: torch.Tensor, targets_are_set: Any) -> tuple[torch.Tensor, torch.Tensor]:
            env._pre_physics_step = lambda given: (set_targets(given), targets_are_set())
            seen, _, terminated, time_outs, _ = env.step(actions)
            return seen["policy"], terminated | time_outs

        env.episode_length_buf[:3] = env.max_episode_length - 100  # some episodes end in between
        found.policy._rules._steps[:3] = env.episode_length_buf[:3].numpy()
        found.steps(STEPS, observation, advance)
        env.close()
    seen = {"targets": found.targets, "observations": found.observations, "resets": found.resets}
    (Path(folder) / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Draw the hand-written policy at three moments of its task, as the task's page shows it.

python -m tests.cpo_lab.tasks.franka.picture Push FILE.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from tests.cpo_lab.tasks.franka.script import Pusher, Stacker

ENVS, TILE, STEPS = 6, (420, 420), 298
MOMENTS = {"Push": (0, 0.55, 1.0), "Stack": (0.42, 0.75, 1.0)}
"""Which share of the way to the success each picture shows."""


def main(name: str, file: Path) -> None:
    """Film the first episodes and draw, of those that succeed, the one that comes nearer to the camera."""
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401
    from cpo_lab.viewing.camera import camera_of
    from cpo_lab.viewing.captions import Scoreboard
    from cpo_lab.viewing.files import write_picture
    from cpo_lab.viewing.pictures import Shoot, Studio

    names = {index: str(index) for index in range(ENVS)}
    shoot = Shoot(picture=file, size=TILE, captions=False)
    studio = Studio(shoot, Scoreboard(names, dict.fromkeys(names, (90, 90, 90))))
    task = f"CpoLab-{name}-Franka-Direct"
    cfg, _ = resolve_task_config(task, None, overrides=["physics=ovphysx"])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    studio.tile = TILE
    studio.configure(cfg)
    with launch_simulation(cfg, {"device": "cpu", "visualizer": None}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg)
        own = env.unwrapped
        env.reset()
        towards = torch.tensor(cfg.camera_eye[:2]) - torch.tensor(cfg.camera_lookat[:2])
        way = ((own.target() - own.cube_position)[:, :2] * towards).sum(dim=-1)
        view = studio.open_view(env)
        script, moments = (Stacker if name == "Stack" else Pusher)(own), []
        ends = torch.full((ENVS,), STEPS)
        for step in range(STEPS):
            actions = script.actions()
            moments.append(view.moment())
            _, _, terminated, timed_out, _ = env.step(actions)
            ended = (terminated | timed_out) & (ends == STEPS)
            ends[ended] = torch.where(own.success[ended], step, STEPS + 1)
            script.restart(terminated | timed_out)
        chosen = int(torch.where(ends < STEPS, way, -1.0).argmax())
        camera, origin = camera_of(cfg, "close"), own.scene.env_origins[chosen].tolist()
        eye, target = ([a + b for a, b in zip(origin, point, strict=True)] for point in (camera.eye, camera.target))
        shown = [moments[round(share * int(ends[chosen]))] for share in MOMENTS[name]]
        frames = [view.picture(moment, eye, target) for moment in shown]
        write_picture(file, np.concatenate(frames, axis=1))
        env.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

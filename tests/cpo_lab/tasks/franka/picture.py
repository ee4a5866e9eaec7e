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
    """Film the first episode of every environment and draw the one that came from farthest and succeeded."""
    import gymnasium
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401
    from cpo_lab.viewing.captions import Scoreboard
    from cpo_lab.viewing.files import write_picture
    from cpo_lab.viewing.film import Shot
    from cpo_lab.viewing.pictures import Shoot, Studio

    names = {index: str(index) for index in range(ENVS)}
    shoot = Shoot(picture=file, size=(TILE[0], TILE[1]), captions=False)
    studio = Studio(shoot, Scoreboard(names, dict.fromkeys(names, (90, 90, 90))))
    task = f"CpoLab-{name}-Franka-Direct"
    cfg, _ = resolve_task_config(task, None, overrides=["physics=ovphysx"])
    cfg.scene.num_envs, cfg.seed = ENVS, 7
    studio.configure(cfg)
    studio.tile = TILE
    with launch_simulation(cfg, {"device": "cpu", "visualizer": "none"}), torch.inference_mode():
        env = gymnasium.make(task, cfg=cfg)
        own = env.unwrapped
        env.reset()
        way = (own.target() - own.cube_position)[:, :2].norm(dim=-1)
        studio._view = studio.open_view(env)
        script, moments = (Stacker if name == "Stack" else Pusher)(own), []
        ends = torch.full((ENVS,), STEPS)
        for step in range(STEPS):
            actions = script.actions()
            moments.append(studio._view.moment())
            _, _, terminated, timed_out, _ = env.step(actions)
            ended = (terminated | timed_out) & (ends == STEPS)
            ends[ended] = torch.where(own.success[ended], step, STEPS + 1)
            script.restart(terminated | timed_out)
        chosen = int(torch.where(ends < STEPS, way, 0.0).argmax())
        frames = []
        for share in MOMENTS[name]:
            shot = Shot(moments[round(share * int(ends[chosen]))], {}, {})
            studio.board.names = {chosen: ""}
            studio.columns = studio.rows = 1
            frames.append(studio.render(env, {chosen: shot}))
        write_picture(file, np.concatenate(frames, axis=1))
        env.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

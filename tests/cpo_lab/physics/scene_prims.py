# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every prim that the spawners of our tasks write for one environment, for engines of the command line.

``python -m tests.cpo_lab.physics.scene_prims OUTPUT.json ENGINE...`` in a process of its own: no engine starts, so the
scene of Isaac Sim's preset can be written where Isaac Sim is not installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = "/World/envs/env_0"


def described(stage: Any) -> dict[str, Any]:
    """Type, schemas, attributes and relationships of every prim by path."""
    found = {}
    for prim in stage.Traverse():
        values = {attribute.GetName(): str(attribute.Get()) for attribute in prim.GetAuthoredAttributes()}
        targets = {
            relation.GetName(): sorted(map(str, relation.GetTargets())) for relation in prim.GetAuthoredRelationships()
        }
        found[str(prim.GetPath())] = [
            str(prim.GetTypeName()),
            sorted(prim.GetAppliedSchemas()),
            values,
            targets,
        ]
    return found


def written(task: str, engine: str) -> tuple[str, dict[str, Any]]:
    """Class of the engine's settings that a task resolves to, and the prims of its scene."""
    import isaaclab.sim as sim_utils
    from isaaclab_tasks.utils import resolve_task_config

    from cpo_lab.assets.cuboid_spawner import CuboidSetCfg

    cfg, _ = resolve_task_config(task, None, overrides=[f"physics={engine}"])
    cfg.check()  # both as an environment does before it is built
    cfg.derive()
    stage = sim_utils.create_new_stage()
    with sim_utils.use_stage(stage):
        stage.DefinePrim(ENVIRONMENT, "Xform")
        for asset in vars(cfg.scene).values():
            spawn, path = getattr(asset, "spawn", None), getattr(asset, "prim_path", None)
            if spawn is None or path is None:
                continue
            place = path.replace("{ENV_REGEX_NS}", ENVIRONMENT)
            if isinstance(spawn, CuboidSetCfg):  # an object per environment
                places = [path.replace("{ENV_REGEX_NS}", f"/World/envs/env_{i}") for i in range(len(spawn.assets_cfg))]
                spawn.spawn_paths = places
            start = asset.init_state
            spawn.func(place, spawn, translation=tuple(start.pos), orientation=tuple(start.rot))
        return type(cfg.sim.physics).__name__, described(stage)


if __name__ == "__main__":
    import gymnasium

    import cpo_lab.tasks  # noqa: F401

    output, *engines = sys.argv[1:]
    tasks = sorted(name for name in gymnasium.registry if name.startswith("CpoLab-"))
    seen = {task: {engine: written(task, engine) for engine in engines} for task in tasks}
    Path(output).write_text(json.dumps(seen))

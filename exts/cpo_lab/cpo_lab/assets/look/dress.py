# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Dress a scene: lay looks over the robots and the bucket that are generated here, and hide what collides.

Only a scene that somebody looks at is dressed. Looks have no physics, colliders stay what they are, and the files of
robots stay the same, so a dressed scene steps to the same bits (``tests/cpo_lab/assets/test_looks_sim.py``).
"""

from __future__ import annotations

from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.utils.string import ResolvableString

from cpo_lab.assets.cache import is_generated
from cpo_lab.assets.cube import MarkedCubeCfg

_SPAWNER, _CUBE_SPAWNER, _TABLE_SPAWNER = (
    ResolvableString(f"cpo_lab.assets.look.spawners:{name}")
    for name in ("spawn_dressed", "spawn_dressed_cube", "spawn_dressed_table")
)
"""Imported when a scene is built, because they import OpenUSD."""


def dress(scene: Any) -> None:
    """Have a scene's robots and objects drawn with their looks; changes the configuration.

    No material is bound to what collides: engines look there for friction, and would not find the scene's.

    Args:
        scene: Isaac Lab's ``InteractiveSceneCfg``. What is not made here stays as its own file shows it.
    """
    for name, asset in vars(scene).items():
        spawn = getattr(asset, "spawn", None)
        if isinstance(spawn, sim_utils.UsdFileCfg) and is_generated(spawn.usd_path):
            spawn.func = _SPAWNER
        elif isinstance(spawn, MarkedCubeCfg):
            spawn.func = _CUBE_SPAWNER
        elif name == "table" and isinstance(spawn, sim_utils.CuboidCfg):
            spawn.func = _TABLE_SPAWNER

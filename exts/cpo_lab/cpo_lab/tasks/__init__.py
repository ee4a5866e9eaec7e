# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium ids of our tasks. Importing this registers them and loads neither torch nor Isaac Lab.

``isaaclab`` finds this module through the entry point group ``isaaclab.tasks``; an exception here would break its
commands for every task, so nothing but registration belongs here.
"""

from __future__ import annotations

import gymnasium


def _register(task_id: str, family: str, env: str, env_cfg: str, agents: str = "agents.rsl_rl_cfg") -> None:
    """Register ``task_id`` from names inside ``cpo_lab.tasks.<family>``, with one agent entry per algorithm."""
    package = f"{__name__}.{family}"
    entries = {
        f"rsl_rl_{algorithm}_cfg_entry_point": f"{package}.{agents}:{algorithm}" for algorithm in ("cpo", "sapg", "ppo")
    }
    gymnasium.register(
        id=task_id,
        entry_point=f"{package}.{env}",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{package}.{env_cfg}",
            "rsl_rl_cfg_entry_point": entries["rsl_rl_cpo_cfg_entry_point"],
            "default_agent": "rsl_rl",
            **entries,
        },
    )


_register(
    "CpoLab-Reorient-Cube-Shadow-Direct",
    family="shadow_hand",
    env="shadow_hand_env:ShadowHandEnv",
    env_cfg="shadow_hand_env_cfg:ShadowHandEnvCfg",
)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium ids of our tasks. Importing this registers them and loads neither torch nor Isaac Lab.

``isaaclab`` finds this module through the entry point group ``isaaclab.tasks``; an exception here would break its
commands for every task, so nothing but registration belongs here.
"""

from __future__ import annotations

import gymnasium

from cpo_rl.presets import PRESETS

_USUAL = ("cpo", "sapg", "ppo")
AGENTS = (*_USUAL, *(name for name in PRESETS if name not in _USUAL), "stock_ppo")
"""Agents of every task: the presets of the ensemble algorithm, and rsl_rl's own PPO for comparison."""


def _register(task_id: str, family: str, env: str, env_cfg: str, agents: str = "agents.rsl_rl_cfg:") -> None:
    """Register ``task_id`` from names inside ``cpo_lab.tasks.<family>``, with one entry per agent.

    ``agents`` is the module with the run settings, a colon, and what precedes the agent in their names.
    """
    package = f"{__name__}.{family}"
    entries = {f"rsl_rl_{agent}_cfg_entry_point": f"{package}.{agents}{agent}" for agent in AGENTS}
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

_register(
    "CpoLab-Reorient-Cube-Allegro-Direct",
    family="allegro_hand",
    env="allegro_hand_env:AllegroHandEnv",
    env_cfg="allegro_hand_env_cfg:AllegroHandEnvCfg",
)

for _id, _cfg, _agents in (
    ("CpoLab-Regrasp-KukaAllegro-Direct", "RegraspKukaEnvCfg", "regrasp"),
    ("CpoLab-Reorient-KukaAllegro-Direct", "ReorientKukaEnvCfg", "reorient"),
    ("CpoLab-Throw-KukaAllegro-Direct", "ThrowKukaEnvCfg", "throw"),
    ("CpoLab-Regrasp-DualKukaAllegro-Direct", "RegraspDualKukaEnvCfg", "dual_regrasp"),
    ("CpoLab-Reorient-DualKukaAllegro-Direct", "ReorientDualKukaEnvCfg", "dual_reorient"),
):
    _register(
        _id,
        family="allegro_kuka",
        env="allegro_kuka_env:AllegroKukaEnv",
        env_cfg=f"allegro_kuka_env_cfg:{_cfg}",
        agents=f"agents.rsl_rl_cfg:{_agents}_",
    )

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gymnasium ids of our tasks. Importing this registers them and loads neither torch nor Isaac Lab.

``isaaclab`` finds this module through the entry point group ``isaaclab.tasks``; an exception here would break its
commands for every task, so nothing but registration belongs here.
"""

from __future__ import annotations

import gymnasium

from cpo_lab.tasks.derived.offer import offer
from cpo_lab.tasks.moved import install
from cpo_rl.presets import PRESETS

_USUAL = ("cpo", "sapg", "ppo")
AGENTS = (*_USUAL, *(name for name in PRESETS if name not in _USUAL), "stock_ppo")
"""Agents of every task: the presets of the ensemble algorithm, and rsl_rl's own PPO for comparison."""


def _register(task_id: str, env: str, env_cfg: str, agents: str) -> None:
    """Register a task from names in this package, with one entry per agent.

    Args:
        task_id: Its Gym id.
        env: Module and class of the environment.
        env_cfg: Module and class of its settings.
        agents: Module with the run settings, a colon, and what precedes the agent in their names.
    """
    entries = {f"rsl_rl_{agent}_cfg_entry_point": f"{__name__}.{agents}{agent}" for agent in AGENTS}
    gymnasium.register(
        id=task_id,
        entry_point=f"{__name__}.{env}",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{__name__}.{env_cfg}",
            "rsl_rl_cfg_entry_point": entries["rsl_rl_cpo_cfg_entry_point"],
            "default_agent": "rsl_rl",
            **entries,
        },
    )


for _hand in ("Shadow", "Allegro"):
    _module = f"in_hand.{_hand.lower()}"
    _register(
        f"CpoLab-Reorient-Cube-{_hand}-Direct",
        env=f"{_module}:{_hand}HandEnv",
        env_cfg=f"{_module}:{_hand}HandEnvCfg",
        agents=f"{_module}:",
    )

for _id, _cfg, _agents in (
    ("CpoLab-Regrasp-KukaAllegro-Direct", "RegraspKukaEnvCfg", "regrasp"),
    ("CpoLab-Reorient-KukaAllegro-Direct", "ReorientKukaEnvCfg", "reorient"),
    ("CpoLab-Throw-KukaAllegro-Direct", "ThrowKukaEnvCfg", "throw"),
    ("CpoLab-Regrasp-DualKukaAllegro-Direct", "RegraspDualKukaEnvCfg", "dual_regrasp"),
    ("CpoLab-Reorient-DualKukaAllegro-Direct", "ReorientDualKukaEnvCfg", "dual_reorient"),
):
    _register(_id, env="arms.env:AllegroKukaEnv", env_cfg=f"arms.env_cfg:{_cfg}", agents=f"arms.agents:{_agents}_")

for _robot in ("Anymal", "Humanoid"):
    _module = f"legs.{_robot.lower()}"
    _register(
        f"CpoLab-{_robot}-Direct",
        env=f"{_module}:{_robot}Env",
        env_cfg=f"{_module}:{_robot}EnvCfg",
        agents=f"{_module}:",
    )

for _verb in ("Push", "Stack"):
    _module = f"franka.{_verb.lower()}"
    _register(
        f"CpoLab-{_verb}-Franka-Direct",
        env=f"{_module}:{_verb}Env",
        env_cfg=f"{_module}:{_verb}EnvCfg",
        agents=f"{_module}:",
    )

install()  # names of version 0.1.0
offer(AGENTS)  # to tasks of others

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings per algorithm. Sources: the reference's ``AllegroHandPPO.yaml`` and the commands of its README.

What is not named here is as for the Shadow Hand, whose file has the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cpo_lab.tasks.agents import RslRlBaseRunnerCfg, agent_entry
from cpo_lab.tasks.shadow_hand.agents import rsl_rl_cfg as shadow_hand

MODEL: dict[str, Any] = {**shadow_hand.MODEL, "hidden_dims": [512, 256, 128]}
"""Shared trunk, one layer shorter."""

ALGORITHM: dict[str, Any] = {
    **shadow_hand.ALGORITHM,
    "awac_coef": 0.0005,
    "awac_temperature": 0.1,
    "adversarial_coef": 0.001,
    "entropy_coef_scale": 0.0,
}
"""What the algorithms share; each preset adds or switches off its own terms. No entropy ladder in this task."""


def _runner(agent: str) -> RslRlBaseRunnerCfg:
    return shadow_hand.hand_runner_cfg(agent, "allegro_hand_reorient_cube", MODEL, ALGORITHM)


def __getattr__(name: str) -> Callable[[], RslRlBaseRunnerCfg]:
    """The run settings called ``name`` in the task's registration, such as ``cpo``."""
    return agent_entry(name, _runner)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The fields of an algorithm class of one's own in a runner configuration, so that settings can name them."""

from __future__ import annotations

import dataclasses
from typing import Any

from isaaclab.utils import configclass
from rsl_rl.algorithms import PPO

from cpo_rl.algorithms.class_name import algorithm_class, own_keywords
from cpo_rl.config import EnsembleCfg
from cpo_rl.contracts import settings_class
from cpo_rl.errors import UserError


def use_named_algorithm(agent_cfg: Any, class_name: str | None = None) -> None:
    """Give a runner configuration the fields of the algorithm class that it names.

    A class with a ``settings_class`` gets exactly its fields; one derived from an algorithm of rsl_rl gets the keywords
    that it takes besides.

    Args:
        agent_cfg: Runner configuration; its section ``algorithm`` is replaced where the class has other fields.
        class_name: Import path of the class; None for the one that it names already.

    Raises:
        UserError: If the class is none that can be trained with this configuration.
    """
    old = agent_cfg.algorithm
    name = old.class_name = str(class_name or old.class_name)
    found, is_ensemble = algorithm_class(name), isinstance(old, EnsembleCfg)
    settings, added = settings_class(found), own_keywords(found)
    if settings is not None and issubclass(settings, EnsembleCfg) and not is_ensemble:
        raise UserError(f"agent.algorithm.class_name={name} is an ensemble; use it with --agent cpo or sapg.")
    if issubclass(found, PPO) and is_ensemble:
        raise UserError(f"agent.algorithm.class_name={name} is a PPO of rsl_rl; use it with --agent stock_ppo.")
    settings = settings or type(old)
    fields = {f.name for f in dataclasses.fields(settings)} | set(added)
    if fields <= {f.name for f in dataclasses.fields(old)}:
        return
    members = {**added, "class_name": name}
    annotations = {member: type(value) for member, value in members.items()}
    body = {"__module__": settings.__module__, "__annotations__": annotations, **members}
    values = {field: value for field, value in vars(old).items() if field in fields | {"class_name"}}
    agent_cfg.algorithm = configclass(type(settings.__name__, (settings,), body))(**values)

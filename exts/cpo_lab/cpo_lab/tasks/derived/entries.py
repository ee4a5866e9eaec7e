# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run settings of our agents for tasks of others, made when a launcher asks for an entry of this module by name.

``getattr(module, "cpo@Isaac-Ant")`` is the function that makes the settings of ``cpo`` for ``Isaac-Ant`` from what
:data:`~cpo_lab.tasks.derived.offer.PPO_KEY` names there. What the task lets choose by preset stays a choice.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import check_rsl_rl_version, handle_deprecated_rsl_rl_cfg
from isaaclab_tasks.utils import PresetCfg

from cpo_lab.physics.no_cuda import allow_pinned_without_cuda
from cpo_lab.physics.presets import default_device
from cpo_lab.tasks.agents import EnsembleRunnerCfg, StockPpoRunnerCfg, ensemble_runner_cfg
from cpo_lab.tasks.derived.offer import PPO_KEY
from cpo_rl.derivation import derive
from cpo_rl.errors import UserError

STOCK = "stock_ppo"
"""The agent that is the task's own PPO under our runner."""


@configclass
class DerivedRunnerCfg(EnsembleRunnerCfg):
    """Run settings derived from a task's PPO, and what they keep of how they came about."""

    derived_from: str = ""
    """Task and key of the PPO configuration."""

    derived_otherwise: list[str] = []  # noqa: RUF012  (configclass copies it)
    """What the task's PPO does and these settings do not."""


@configclass
class RefusedRunnerCfg:
    """In the place of settings that cannot be derived, so that others of the task's presets can be chosen."""

    refusal: str = ""
    """Why not, a sentence."""


def __getattr__(name: str) -> Callable[[], Any]:
    """Return the function that makes the settings of an agent for a task.

    Args:
        name: ``<agent>@<task id>``.

    Raises:
        AttributeError: If it is another name.
    """
    agent, separator, task = name.partition("@")
    if not separator:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(run_settings, agent, task)


def run_settings(agent: str, task: str) -> Any:
    """Make the run settings of an agent for a task of others.

    Args:
        agent: A preset of ours, or :data:`STOCK`.
        task: Gym id.

    Returns:
        A :class:`DerivedRunnerCfg`, rsl_rl's settings for ``stock_ppo``, or a choice between some.

    Raises:
        UserError: Naming what an ensemble cannot do as the task's PPO does.
    """
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    # the stock launcher asks nobody before it makes the first asset, and OvPhysX asks Warp for pinned memory there
    allow_pinned_without_cuda()
    with contextlib.redirect_stdout(io.StringIO()):  # Isaac Lab prints which file it reads
        ppo = load_cfg_from_registry(task, PPO_KEY)
        critic = agent != STOCK and gives_critic(load_cfg_from_registry(task, "env_cfg_entry_point"))
    return _by_preset(ppo, partial(_settings, agent, task, critic))


def gives_critic(env_cfg: Any) -> bool:
    """Whether an environment's configuration says that it gives an observation group ``critic``."""
    env_cfg = vars(env_cfg).get("default", env_cfg) if isinstance(env_cfg, PresetCfg) else env_cfg
    groups = vars(env_cfg).get("observations")
    if groups is not None and not isinstance(groups, PresetCfg):
        return vars(groups).get("critic") is not None
    size = vars(env_cfg).get("state_space")
    return size > 0 if isinstance(size, int) else bool(size)


def _by_preset(ppo: Any, make: Callable[[Any], Any]) -> Any:
    """Apply a function to every variant of a configuration that is a choice, and to one that is none.

    Raises:
        UserError: If it refuses all of them.
    """
    if not isinstance(ppo, PresetCfg):
        return make(ppo)
    variants: dict[str, Any] = {}
    refused: list[UserError] = []
    for name, variant in vars(ppo).items():
        try:
            variants[name] = _by_preset(variant, make) if variant is not None else None
        except UserError as error:
            refused.append(error)
            variants[name] = RefusedRunnerCfg()
            variants[name].refusal = str(error)
    if len(refused) == len(variants):
        raise refused[0]
    annotations = dict.fromkeys(variants, "Any")
    kind = type(type(ppo).__name__, (PresetCfg,), {"__annotations__": annotations, "__module__": __name__, **variants})
    return configclass(kind)()


def _settings(agent: str, task: str, critic_group: bool, ppo: Any) -> Any:
    """Make the settings from one PPO configuration.

    Raises:
        UserError: If it is none, or an ensemble cannot do as it does.
    """
    if isinstance(ppo, Mapping) or not dataclasses.is_dataclass(ppo):
        raise UserError(
            f"{PPO_KEY} of task {task} is a {type(ppo).__name__}, not an rsl_rl configuration of Isaac Lab."
        )
    ppo = copy.deepcopy(ppo)
    with contextlib.redirect_stdout(io.StringIO()):
        ppo = handle_deprecated_rsl_rl_cfg(ppo, check_rsl_rl_version())
    values = plain(ppo)
    if agent == STOCK:
        learner = str((values.get("algorithm") or {}).get("class_name", "PPO"))
        if learner.replace(":", ".").rpartition(".")[2] != "PPO":
            raise UserError(
                f"Task {task}: {PPO_KEY} names algorithm.class_name={learner}, which rsl_rl's runner does not train as "
                "it is; choose another --agent."
            )
        known = {f.name for f in dataclasses.fields(StockPpoRunnerCfg)}
        kept = {name: getattr(ppo, name) for name in values if name in known}
        return StockPpoRunnerCfg(**{**kept, "device": default_device(), "check_for_nan": False})
    try:
        found = derive(values, critic_group=critic_group)
    except UserError as error:
        raise UserError(f"Task {task}: {error}") from None
    made = ensemble_runner_cfg(
        agent, model=found.model, algorithm=found.algorithm, device=default_device(), kind=DerivedRunnerCfg,
        **{**found.runner, "run_name": ""},
    )  # fmt: skip
    made.derived_from = f"{PPO_KEY} of {task}"
    made.derived_otherwise = list(found.otherwise)
    return made


def plain(cfg: Any) -> Any:
    """Return a configuration as dictionaries, without what it leaves open; choices in it stay what they are."""
    if isinstance(cfg, PresetCfg):
        return cfg
    if isinstance(cfg, Mapping):
        return {name: plain(value) for name, value in cfg.items()}
    if dataclasses.is_dataclass(cfg) and not isinstance(cfg, type):
        values = {name: plain(value) for name, value in vars(cfg).items()}
        # by its type, because a copied configuration holds copies of the mark
        return {name: value for name, value in values.items() if not isinstance(value, type(dataclasses.MISSING))}
    return cfg

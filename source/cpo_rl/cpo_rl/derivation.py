# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From the PPO configuration of rsl_rl that a task has to the settings of an ensemble on that task.

:func:`derive` is one pure function over plain values. docs/your_own_task.md shows :data:`TAKEN`, :data:`AS_RSL_RL` and
:func:`refusal` as a table, and a test holds it against them. The presets (:mod:`cpo_rl.presets`) make ``cpo``, ``sapg``
or ``ppo`` of what comes out, as they do for our own tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cpo_rl.errors import UserError

TAKEN = {
    "num_steps_per_env": "num_steps_per_env",
    "max_iterations": "max_iterations",
    "save_interval": "save_interval",
    "seed": "seed",
    "clip_actions": "clip_actions",
    "init_at_random_ep_len": "init_at_random_ep_len",
    "experiment_name": "experiment_name",
    "run_name": "run_name",
    "logger": "logger",
    "wandb_project": "wandb_project",
    "neptune_project": "neptune_project",
    "algorithm.num_learning_epochs": "algorithm.num_learning_epochs",
    "algorithm.num_mini_batches": "algorithm.num_mini_batches",
    "algorithm.learning_rate": "algorithm.learning_rate",
    "algorithm.schedule": "algorithm.learning_rate_schedule",
    "algorithm.desired_kl": "algorithm.desired_kl",
    "algorithm.gamma": "algorithm.gamma",
    "algorithm.lam": "algorithm.lam",
    "algorithm.clip_param": "algorithm.clip_param",
    "algorithm.entropy_coef": "algorithm.entropy_coef",
    "algorithm.max_grad_norm": "algorithm.max_grad_norm",
    "algorithm.value_loss_coef": "algorithm.value_loss_coef",
    "algorithm.use_clipped_value_loss": "algorithm.use_clipped_value_loss",
    "algorithm.use_mixed_precision": "algorithm.mixed_precision",
    "actor.hidden_dims": "model.hidden_dims",
    "actor.activation": "model.activation",
    "actor.obs_normalization": "model.normalize_observations",
    "actor.rnn_type": "model.rnn_type",
    "actor.rnn_hidden_dim": "model.rnn_hidden_dim",
    "actor.rnn_num_layers": "model.rnn_num_layers",
}
"""Settings that are copied: where they stand in rsl_rl's configuration, and where in ours."""

AS_RSL_RL: dict[str, Any] = {
    "algorithm.learning_rate_update": "mini_batch",
    "algorithm.learning_rate_reference": "rollout",
    "algorithm.learning_rate_min": 1.0e-5,
    "algorithm.learning_rate_max": 1.0e-2,
    "algorithm.bound_loss_coef": 0.0,
    "algorithm.reward_scale": 1.0,
    "algorithm.bootstrap_time_outs": True,
    "algorithm.fit_mini_batches": True,
    "model.separate_critic": True,
    "model.rnn_layer_norm": False,
}
"""Settings that are what rsl_rl does without asking (``algorithms/ppo.py``, ``models/`` of version 5), except
``fit_mini_batches``, which lets few environments train six policies."""

OTHERWISE = (
    "one network conditioned on the policy, where actor and critic have trunks of their own",
    "the critic learns values normalized by running statistics, and its clip range is in these units",
    "observations that are normalized are also clipped to 5 standard deviations",
)
"""What stays otherwise than in rsl_rl's PPO for every task."""

_NETWORKS = ("MLPModel", "RNNModel")
_NOISES = ("GaussianDistribution", "HeteroscedasticGaussianDistribution")


@dataclass(frozen=True)
class Derived:
    """An ensemble's settings, as :func:`cpo_lab.tasks.agents.ensemble_runner_cfg` takes them."""

    model: dict[str, Any]
    """Fields of :class:`cpo_rl.config.ModelCfg`."""

    algorithm: dict[str, Any]
    """Fields of :class:`cpo_rl.config.EnsembleCfg`; ``num_mini_batches`` is PPO's number."""

    runner: dict[str, Any]
    """Fields of the runner's configuration, ``obs_groups`` among them."""

    otherwise: tuple[str, ...]
    """What this task's PPO does and an ensemble does not, one phrase each; without :data:`OTHERWISE`."""


def derive(ppo: Mapping[str, Any], *, critic_group: bool = False) -> Derived:
    """Derive the settings of an ensemble from rsl_rl's configuration of PPO.

    Values that are copied may be of any kind, also placeholders that a launcher resolves later.

    Args:
        ppo: What rsl_rl's ``OnPolicyRunner`` is built from, version 5: sections ``actor``, ``critic`` and
            ``algorithm``, ``obs_groups``, ``num_steps_per_env`` and the rest. Not changed.
        critic_group: Whether the environment gives an observation group ``critic``, which rsl_rl's critic then reads
            if ``obs_groups`` does not say otherwise.

    Raises:
        UserError: Naming what an ensemble cannot do as this PPO does.
    """
    reason = refusal(ppo)
    if reason:
        raise UserError(f"No ensemble can be derived from this task's PPO: {reason}.")
    values = {ours: _at(ppo, theirs) for theirs, ours in TAKEN.items()}
    values = {**AS_RSL_RL, **{name: value for name, value in values.items() if value is not None}}
    sections: dict[str, dict[str, Any]] = {"model": {}, "algorithm": {}, "": {}}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        sections[section][field] = list(value) if isinstance(value, tuple) else value
    model, algorithm, runner = sections["model"], sections["algorithm"], sections[""]
    std = _at(ppo, "actor.distribution_cfg.init_std")
    model["init_log_std"] = math.log(std) if isinstance(std, int | float) and std > 0 else 0.0
    if "rnn_type" in model:
        algorithm["sequence_length"] = runner["num_steps_per_env"]  # rsl_rl learns through whole rollouts
    runner["obs_groups"] = _groups(ppo.get("obs_groups"), critic_group)
    return Derived(model, algorithm, runner, tuple(_otherwise(ppo)))


def refusal(ppo: Mapping[str, Any]) -> str | None:
    """Return why no ensemble can be derived from a configuration of PPO, by name; None if one can.

    Args:
        ppo: As for :func:`derive`.
    """
    algorithm, actor = ppo.get("algorithm") or {}, ppo.get("actor") or {}
    learner, network = _last(algorithm.get("class_name", "PPO")), _last(actor.get("class_name", "MLPModel"))
    noise = _last(_at(ppo, "actor.distribution_cfg.class_name") or "GaussianDistribution")
    if learner != "PPO" or _is_own(algorithm.get("class_name")):
        return f"algorithm.class_name={algorithm.get('class_name')} is not rsl_rl's PPO"
    if network == "CNNModel":
        return "actor.class_name=CNNModel reads images, and an ensemble's network reads vectors"
    if network not in _NETWORKS or _is_own(actor.get("class_name")):
        return f"actor.class_name={actor.get('class_name')} is a network of the task's own"
    if _last(_at(ppo, "critic.class_name") or network) == "CNNModel":
        return "critic.class_name=CNNModel reads images, and an ensemble's network reads vectors"
    if noise not in _NOISES:
        return (
            f"actor.distribution_cfg.class_name={_at(ppo, 'actor.distribution_cfg.class_name')} is a noise of its own"
        )
    if network == "RNNModel" and str(actor.get("rnn_type")) != "lstm":
        return f"actor.rnn_type={actor.get('rnn_type')} is not lstm, the only recurrent network of an ensemble"
    if algorithm.get("rnd_cfg"):
        return "algorithm.rnd_cfg adds a curiosity reward (RND), which an ensemble does not have"
    symmetry = algorithm.get("symmetry_cfg") or {}
    if symmetry.get("use_data_augmentation") or symmetry.get("use_mirror_loss"):
        return "algorithm.symmetry_cfg mirrors the data, which an ensemble does not do"
    if algorithm.get("optimizer") not in (None, "adam"):
        return f"algorithm.optimizer={algorithm['optimizer']} is not adam, the only optimizer of an ensemble"
    return None


def _otherwise(ppo: Mapping[str, Any]) -> list[str]:
    """Return what this task's PPO does and an ensemble does not."""
    found = []
    sizes = [_at(ppo, f"{section}.hidden_dims") for section in ("actor", "critic")]
    if sizes[1] is not None and _list(sizes[0]) != _list(sizes[1]):
        found.append(f"the critic has the actor's layers, where PPO's has {_list(sizes[1])}")
    norms = [_at(ppo, f"{section}.obs_normalization") for section in ("actor", "critic")]
    if norms[1] is not None and bool(norms[0]) != bool(norms[1]):
        found.append(f"the critic's observations are {'' if norms[0] else 'not '}normalized, as the actor's are")
    if _last(_at(ppo, "actor.distribution_cfg.class_name") or "") == _NOISES[1]:
        found.append("the noise of actions does not depend on the state")
    limits = _at(ppo, "actor.distribution_cfg.std_range")
    if limits is not None and tuple(limits) != (1.0e-6, 1.0e6):
        found.append(f"the noise of actions is not held within {list(limits)}")
    if _at(ppo, "algorithm.normalize_advantage_per_mini_batch"):
        found.append("advantages are normalized over the iteration, not over each mini-batch")
    if ppo.get("torch_compile_mode"):
        found.append("the networks are not compiled (agent.algorithm.compile=True compiles the update)")
    return found


def _groups(given: Mapping[str, Sequence[str]] | None, critic_group: bool) -> dict[str, list[str]]:
    """Return the observation groups as ``rsl_rl.utils.resolve_obs_groups`` would."""
    groups = {name: list(given[name]) for name in ("actor", "critic") if given and given.get(name)}
    return {"actor": ["policy"], "critic": ["critic" if critic_group else "policy"], **groups}


def _at(ppo: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path; None where there is none."""
    value: Any = ppo
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _last(name: Any) -> str:
    """Return a class's name without its module."""
    return str(name).replace(":", ".").rpartition(".")[2]


def _is_own(name: Any) -> bool:
    """Whether a class is named by a path outside rsl_rl."""
    return any(mark in str(name) for mark in ":.") and not str(name).startswith("rsl_rl")


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value

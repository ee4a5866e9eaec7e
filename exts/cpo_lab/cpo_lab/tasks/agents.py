# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Isaac Lab config classes of the ensemble algorithm, for the stock launcher and for ours.

The fields, their ranges and their checks live in :mod:`cpo_rl.config`; these classes only make them Isaac Lab configs,
so that Hydra overrides such as ``agent.algorithm.awac_coef=0.002`` and ``agent.model.hidden_dims=[256,128]`` work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import (
    RslRlBaseRunnerCfg,
    RslRlMLPModelCfg,
    RslRlOnPolicyRunnerCfg,
    RslRlPpoAlgorithmCfg,
    RslRlRNNModelCfg,
)

from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.presets import REFERENCES, preset


@configclass
class EnsembleAlgorithmCfg(EnsembleCfg):
    """Algorithm settings; see :class:`cpo_rl.config.EnsembleCfg`."""

    class_name: str = "cpo_rl.algorithms:EnsemblePPO"
    """Import path that rsl_rl's runner builds the algorithm from."""


@configclass
class EnsembleModelCfg(ModelCfg):
    """Network settings; see :class:`cpo_rl.config.ModelCfg`."""


@configclass
class StockPpoRunnerCfg(RunnerOptions, RslRlOnPolicyRunnerCfg):
    """Run settings of rsl_rl's own PPO, and what our runner reads besides."""


@configclass
class EnsembleRunnerCfg(RunnerOptions, RslRlBaseRunnerCfg):
    """Run settings: what rsl_rl's on-policy runner reads, with one shared model instead of an actor and a critic.

    The fields of :class:`cpo_rl.config.RunnerOptions` that rsl_rl does not have are read by our runner only.
    """

    class_name: str = "OnPolicyRunner"
    """Runner of the stock launcher, which knows no other; ``cpo-lab train`` uses
    :class:`cpo_rl.runners.EnsembleRunner`."""

    model: EnsembleModelCfg = EnsembleModelCfg()
    """The shared actor-critic."""

    algorithm: EnsembleAlgorithmCfg = EnsembleAlgorithmCfg()
    """The ensemble algorithm."""

    obs_groups: dict[str, list[str]] = {"actor": ["policy"], "critic": ["policy"]}  # noqa: RUF012  (configclass copies it)
    """Observation groups of the environment that actor and critic read. A critic that reads others than the actor has a
    trunk and statistics of its own, and nothing of it is deployed (docs/add_a_task.md)."""

    experiment_name: str = "cpo_lab"
    """Folder of the runs below ``logs/rsl_rl``."""

    empirical_normalization: bool = False
    """Unused: the model normalizes observations itself."""

    check_for_nan: bool = False
    """Off, because rsl_rl's check costs a host sync per step and misses infinities; the algorithm guards itself."""


def ensemble_runner_cfg(
    preset_name: str,
    *,
    model: dict[str, Any],
    algorithm: dict[str, Any],
    reference: dict[str, Any] | None = None,
    kind: type[EnsembleRunnerCfg] = EnsembleRunnerCfg,
    **runner: Any,
) -> EnsembleRunnerCfg:
    """Make a task's run settings for one algorithm.

    Args:
        preset_name: ``cpo``, ``sapg``, ``ppo`` or another key of :data:`cpo_rl.presets.PRESETS`.
        model: Fields of :class:`cpo_rl.config.ModelCfg`.
        algorithm: The task's algorithm fields (``num_mini_batches`` counted for PPO); the preset's own settings win.
        reference: Algorithm fields that the released code sets otherwise, for :data:`cpo_rl.presets.REFERENCES`.
        kind: Class of the settings.
        runner: Fields of :class:`EnsembleRunnerCfg`.

    Raises:
        UserError: On an unknown preset or field.
    """
    released = (reference or {}) if preset_name in REFERENCES else {}
    values = preset(preset_name, **{"fit_mini_batches": True, **algorithm, **released})
    if values.get("num_policies") == 1:
        model = {**model, "embedding_dim": 0}  # a single policy has nothing to be told apart from
    sections: dict[str, Any] = {"model": EnsembleModelCfg(**model), "algorithm": EnsembleAlgorithmCfg(**values)}
    return kind(**sections, **runner)


def stock_ppo_runner_cfg(*, model: dict[str, Any], algorithm: dict[str, Any], **runner: Any) -> StockPpoRunnerCfg:
    """Make a task's run settings for rsl_rl's own PPO and models, for comparison with ours.

    The numbers are the task's. What rsl_rl does otherwise stays: two networks instead of a shared trunk, unscaled
    rewards, no value normalizer, one standard deviation, an adaptation of the learning rate after every mini-batch.

    Args:
        model: Fields of :class:`cpo_rl.config.ModelCfg`.
        algorithm: The task's algorithm fields.
        runner: Fields of rsl_rl's runner.
    """
    layers: dict[str, Any] = {
        "hidden_dims": list(model["hidden_dims"]),
        "activation": model["activation"],
        "obs_normalization": True,
    }
    kind: type[RslRlMLPModelCfg] = RslRlMLPModelCfg
    if model.get("rnn_type", "none") == "lstm":
        kind = RslRlRNNModelCfg
        layers.update(rnn_type="lstm", rnn_hidden_dim=model["rnn_hidden_dim"], rnn_num_layers=model["rnn_num_layers"])
    noise = RslRlMLPModelCfg.GaussianDistributionCfg(init_std=1.0, std_type="log")
    learning = RslRlPpoAlgorithmCfg(
        num_learning_epochs=algorithm["num_learning_epochs"],
        num_mini_batches=algorithm["num_mini_batches"],
        learning_rate=algorithm["learning_rate"],
        schedule="adaptive",
        gamma=algorithm["gamma"],
        lam=algorithm["lam"],
        entropy_coef=0.0,
        desired_kl=algorithm["desired_kl"],
        max_grad_norm=algorithm["max_grad_norm"],
        value_loss_coef=algorithm.get("value_loss_coef", EnsembleCfg.value_loss_coef),
        use_clipped_value_loss=EnsembleCfg.use_clipped_value_loss,
        clip_param=algorithm["clip_param"],
    )
    sections: dict[str, Any] = {
        "actor": kind(distribution_cfg=noise, **layers),
        "critic": kind(**layers),
        "algorithm": learning,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
    }
    return StockPpoRunnerCfg(**sections, **runner)


def agent_entry(agent: str, make: Callable[[str], RslRlBaseRunnerCfg]) -> Callable[[], RslRlBaseRunnerCfg]:
    """The function that a task registers for an agent.

    A task's module of run settings answers ``getattr(module, agent)`` with it, so no agent needs a line of its own.

    Args:
        agent: One of :data:`cpo_lab.tasks.AGENTS`.
        make: Makes the task's run settings for an agent.

    Raises:
        AttributeError: If there is no such agent, as a module does for an unknown name.
    """
    from cpo_lab.tasks import AGENTS

    if agent not in AGENTS:
        raise AttributeError(f"no agent {agent!r}")
    return partial(make, agent)


def task_runner_cfg(
    agent: str,
    *,
    model: dict[str, Any],
    algorithm: dict[str, Any],
    reference: dict[str, Any] | None = None,
    **runner: Any,
) -> RslRlBaseRunnerCfg:
    """Make a task's run settings for any agent: a preset of ours or rsl_rl's own PPO (``stock_ppo``)."""
    if agent == "stock_ppo":
        return stock_ppo_runner_cfg(model=model, algorithm=algorithm, **runner)
    return ensemble_runner_cfg(agent, model=model, algorithm=algorithm, reference=reference, **runner)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an environment, its settings and an algorithm may offer besides rsl_rl's interface.

rsl_rl asks of an environment :class:`rsl_rl.env.VecEnv` and of an algorithm the methods that its runner calls.
Everything beyond that is optional and stands here, as protocols to read and as three views that answer for what is
absent:

* :class:`Environment` around an environment: task name, checkpointed state, reward settings, how episodes end.
* :class:`EnvironmentSettings` around an Isaac Lab environment configuration: checks, sizes, camera.
* :class:`Algorithm` around an algorithm: its settings, diagnostics, finite guard, state per rank.

What a step may say in its ``extras`` is read by :mod:`cpo_rl.step_extras`; docs/any_environment.md has all of it.
No other module asks an environment or an algorithm whether it has something.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor


# -- what an environment may offer -------------------------------------------------------------------------------------


class CheckpointedEnvironment(Protocol):
    """An environment whose state goes into checkpoints."""

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Tensors and plain values that :meth:`restore_from_checkpoint` needs."""

    def restore_from_checkpoint(self, state: dict[str, Any]) -> None:
        """Continue from such a state.

        Raises:
            KeyError, ValueError, RuntimeError, TypeError: If it does not fit; every environment then starts anew.
        """


class FingerprintedEnvironment(Protocol):
    """An environment that says which robot and layout a checkpoint of it belongs to."""

    def checkpoint_fingerprint(self) -> dict[str, str]:
        """Entries that must be equal when a checkpoint is loaded; ``assets`` is only reported."""


class MutableEnvironment(Protocol):
    """An environment whose reward a population may change, because its score does not depend on it."""

    def reward_settings(self) -> dict[str, float]:
        """Values by name."""

    def set_reward_settings(self, values: Mapping[str, float]) -> None:
        """Change some of them between two steps."""


class JudgingEnvironment(Protocol):
    """An environment that says which episodes failed, because not every termination is a failure."""

    def fell(self) -> Tensor:
        """Environments whose episode the last step ended by a failure, bool [N]: not by time, nor by its last goal."""


class Environment:
    """An environment and what it offers.

    Args:
        env: An rsl_rl environment, a gymnasium environment or what stands behind their wrappers.
    """

    def __init__(self, env: Any) -> None:
        self.base = getattr(env, "unwrapped", env)

    @property
    def kind(self) -> str:
        """Name of the environment's class."""
        return type(self.base).__name__

    @property
    def task(self) -> str:
        """Gym id without its namespace (``spec.id``), else the name of the class."""
        name = getattr(getattr(self.base, "spec", None), "id", None) or self.kind
        return str(name).split(":")[-1]

    @property
    def cfg(self) -> Any:
        """The environment's configuration, None where it has none."""
        return getattr(self.base, "cfg", None)

    @property
    def step_dt(self) -> float:
        """Time that a step takes in the task [s]; NaN where the environment does not say."""
        return float(getattr(self.base, "step_dt", math.nan))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def fingerprint(self) -> dict[str, str]:
        """What a checkpoint belongs to, see :class:`FingerprintedEnvironment`; empty where it does not say."""
        if not _fulfils(self.base, FingerprintedEnvironment):
            return {}
        return {str(key): str(value) for key, value in self.base.checkpoint_fingerprint().items()}

    @property
    def keeps_state(self) -> bool:
        """Whether it is a :class:`CheckpointedEnvironment`."""
        return _fulfils(self.base, CheckpointedEnvironment)

    @property
    def continues_exactly(self) -> bool:
        """Whether a restored environment goes on as if never stopped (attribute ``checkpoint_is_exact``)."""
        return bool(getattr(self.base, "checkpoint_is_exact", False))

    def state(self) -> dict[str, Any] | None:
        """Its state for a checkpoint, None where it keeps none."""
        return self.base.state_for_checkpoint() if self.keeps_state else None

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state`; only for an environment that :attr:`keeps_state`."""
        self.base.restore_from_checkpoint(state)

    @property
    def step_counter(self) -> int | None:
        """Isaac Lab's ``common_step_counter``, on which curricula are keyed; None where there is none."""
        counter = getattr(self.base, "common_step_counter", None)
        return None if counter is None else int(counter)

    @step_counter.setter
    def step_counter(self, value: int) -> None:
        if self.step_counter is not None:
            self.base.common_step_counter = value

    # -- populations ---------------------------------------------------------------------------------------------------

    def reward_settings(self) -> dict[str, float]:
        """Settings of the reward that may be changed; empty where there are none."""
        return self.base.reward_settings() if _fulfils(self.base, MutableEnvironment) else {}

    def set_reward_settings(self, values: Mapping[str, float]) -> None:
        """Change some of :meth:`reward_settings`."""
        self.base.set_reward_settings(values)

    # -- episodes ------------------------------------------------------------------------------------------------------

    @property
    def terminated(self) -> Tensor | None:
        """Environments whose episode the last step ended by something other than time, bool [N]; None if unknown."""
        return getattr(self.base, "reset_terminated", None)

    @property
    def fell(self) -> Tensor | None:
        """Environments whose episode the last step ended by a failure, bool [N]; None if unknown.

        What a :class:`JudgingEnvironment` says; of another one, what it :attr:`terminated`.
        """
        return self.base.fell() if _fulfils(self.base, JudgingEnvironment) else self.terminated

    @property
    def successes(self) -> Tensor | None:
        """Goals reached in the running episode, [N]; None where the task counts none."""
        return getattr(self.base, "successes", None)

    @property
    def object_scale(self) -> Tensor | None:
        """Edge lengths of each environment's object over the task's base length, [N, 3]; None for equal objects."""
        return getattr(self.base, "object_scale", None)

    @property
    def window(self) -> Any:
        """Isaac Lab's window in Kit; None without one."""
        return getattr(self.base, "_window", None)

    def set_up_plots(self) -> None:
        """Ask Isaac Lab to register again what viewers plot of the environment, if it does so."""
        for name in ("setup_direct_visualizers", "setup_manager_visualizers"):
            getattr(self.base, name, lambda: None)()


class EnvironmentSettings:
    """An Isaac Lab environment configuration and what it offers besides Isaac Lab's fields.

    Args:
        cfg: The configuration.
    """

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg

    def check(self) -> None:
        """Refuse settings that the task cannot run with (method ``check``), before a simulator starts.

        Raises:
            UserError: Naming the first one.
        """
        getattr(self.cfg, "check", lambda: None)()

    @property
    def cpu_num_envs(self) -> int | None:
        """Environments that suit a CPU; None where the task does not say."""
        return getattr(self.cfg, "cpu_num_envs", None)

    @property
    def num_objects(self) -> int | None:
        """Different objects that the environments are given; None where the task has no such setting."""
        return getattr(self.cfg, "num_objects", None)

    @property
    def num_shapes(self) -> int:
        """Shapes of objects among the environments, at least 1 (method ``num_shapes``)."""
        count = getattr(self.cfg, "num_shapes", None)
        return 1 if count is None else int(count())

    @property
    def goals_per_episode(self) -> int:
        """Goals after which an episode has been perfect and ends (field ``max_successes``); 0 where goals end none."""
        return int(getattr(self.cfg, "max_successes", 0) or 0)

    @property
    def object_cfg(self) -> Any:
        """Configuration of the manipulated object (``scene.object``); None where the scene has none of that name."""
        return getattr(self.cfg.scene, "object", None)

    @property
    def camera_eye(self) -> tuple[float, float, float] | None:
        """Where a camera stands in an environment's frame [m]; None where the task does not say."""
        return getattr(self.cfg, "camera_eye", None)

    @property
    def camera_lookat(self) -> tuple[float, float, float] | None:
        """Where it looks in an environment's frame [m]; None where the task does not say."""
        return getattr(self.cfg, "camera_lookat", None)


# -- what an algorithm may offer ---------------------------------------------------------------------------------------


RSL_RL_METHODS = (
    *("construct_algorithm", "act", "process_env_step", "compute_returns", "update", "get_policy"),
    *("train_mode", "eval_mode", "save", "load"),
)
"""What rsl_rl's runner calls: the least that a class named by ``agent.algorithm.class_name`` has.

``update`` returns metrics by tag; a tag without "/" becomes ``Loss/<tag>``. The runner also reads ``learning_rate`` and
``rnd`` of the algorithm and ``output_std`` of what ``get_policy`` returns.
"""


class GuardedAlgorithm(Protocol):
    """An algorithm that keeps numbers that are not finite away from its weights.

    It reports ``Optimization/skipped_updates`` among its metrics, and its ``cfg`` has ``non_finite`` ("stop" or
    "skip") and ``max_skipped_updates``; one that reports ``Env/quarantined`` also has ``quarantine_stop_fraction``.
    """

    def guard_report(self) -> dict[str, Any] | None:
        """What :func:`cpo_rl.runs.dump.sentence` tells: the first number that was not finite or absurd; or None."""


class RankedAlgorithm(Protocol):
    """An algorithm of which every one of several processes has a part for itself."""

    def rank_state(self) -> dict[str, Any]:
        """That part, as tensors and plain values."""

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Continue from it."""


class MutableAlgorithm(Protocol):
    """An algorithm that a population may change and overwrite between two iterations."""

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Change settings by field name.

        Raises:
            UserError: If a value is out of range or a field cannot change; nothing is changed then.
        """

    def adopt(self, donor: dict[str, Any]) -> None:
        """Go on from another run's ``save()``."""


class Algorithm:
    """An algorithm and what it offers.

    Args:
        alg: What rsl_rl's runner built.
    """

    def __init__(self, alg: Any) -> None:
        self.base = alg

    @property
    def cfg(self) -> Any:
        """Its settings, None where it keeps none."""
        return getattr(self.base, "cfg", None)

    @property
    def name(self) -> str | None:
        """Name of the algorithm for records, see :func:`algorithm_name`."""
        return own_class(self.class_name) or algorithm_name(self.cfg)

    @property
    def class_name(self) -> str:
        """Import path of its class."""
        return f"{type(self.base).__module__}:{type(self.base).__qualname__}"

    @property
    def num_policies(self) -> int:
        """Policies M of its ensemble; 1 where it has none."""
        return num_policies(self.cfg) or 1

    def diagnostics(self) -> Mapping[str, Any] | None:
        """Matrices of the last update as plain lists (method ``diagnostics``), or None."""
        return getattr(self.base, "diagnostics", lambda: None)()

    def reset_episodes(self) -> None:
        """Forget running episodes, because the environments start anew (method ``reset_episodes``)."""
        getattr(self.base, "reset_episodes", lambda: None)()

    @property
    def is_guarded(self) -> bool:
        """Whether it is a :class:`GuardedAlgorithm`."""
        return _fulfils(self.base, GuardedAlgorithm)

    @property
    def sound_state(self) -> Any:
        """Ways back from a ruined network, :class:`~cpo_rl.algorithms.sound_state.SoundState`; None if not offered."""
        return getattr(self.base, "sound_state", None)

    def void_report(self) -> dict[str, Any] | None:
        """What made the first step of this process void (``quarantine.report_void``); None if nothing is known."""
        return getattr(getattr(self.base, "quarantine", None), "report_void", lambda: None)()

    @property
    def is_mutable(self) -> bool:
        """Whether it is a :class:`MutableAlgorithm`."""
        return _fulfils(self.base, MutableAlgorithm)

    def rank_state(self) -> dict[str, Any] | None:
        """What this process has for itself, see :class:`RankedAlgorithm`; None where there is nothing."""
        return self.base.rank_state() if _fulfils(self.base, RankedAlgorithm) else None

    @property
    def void(self) -> Tensor | None:
        """Whether the last step of an environment was void (``void``), bool [N]; None if not offered."""
        return getattr(self.base, "void", None)

    @property
    def rollout(self) -> Any:
        """Recorded ``observations``, ``actions``, ``rewards`` and ``dones``, each [N, T, ...]; None if not offered."""
        return getattr(self.base, "rollout", None)

    def raw_values(self, env_ids: list[int]) -> dict[str, Tensor]:
        """What environments held when the guard first found them bad (``guard.raw``); empty if not offered."""
        raw = getattr(getattr(self.base, "guard", None), "raw", None)
        return raw(env_ids) if callable(raw) and env_ids else {}

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Parameters of its ``model``; empty if it has none."""
        model = getattr(self.base, "model", None)
        return [] if model is None else list(model.named_parameters())


def lacks(algorithm_class: type) -> list[str]:
    """Methods of :data:`RSL_RL_METHODS` that a class does not have."""
    return [name for name in RSL_RL_METHODS if not callable(getattr(algorithm_class, name, None))]


def settings_class(algorithm_class: type) -> Any:
    """Settings that a class builds from section ``algorithm`` (``settings_class``); None where it does not say."""
    return getattr(algorithm_class, "settings_class", None)


def num_policies(settings: Any) -> int | None:
    """Policies that an algorithm's settings name (``num_policies``); None where they know no ensemble."""
    count = getattr(settings, "num_policies", None)
    return None if count is None else int(count)


def algorithm_name(settings: Any) -> str | None:
    """Name for records: of the own class that settings name, else of their preset (``algorithm``), or None."""
    name = own_class(getattr(settings, "class_name", None)) or getattr(settings, "algorithm", None)
    return None if name is None else str(name)


def own_class(class_name: Any) -> str | None:
    """Short name of a class that neither we nor rsl_rl wrote, from its import path; None for any other."""
    parts = str(class_name or "").replace(":", ".").split(".")
    return parts[-1] if len(parts) > 1 and parts[0] not in ("cpo_rl", "rsl_rl") else None


def _fulfils(thing: Any, protocol: type) -> bool:
    """Whether something has every method of a protocol; asks as a caller would, so that wrappers may delegate."""
    return all(hasattr(thing, name) for name in vars(protocol) if not name.startswith("_"))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Any environment of gymnasium's vector API as rsl_rl's, so that :class:`~cpo_rl.runners.EnsembleRunner` trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import Tensor

from cpo_rl.environments.spaces import ActionLayout, Array, ObservationLayout
from cpo_rl.errors import UserError
from cpo_rl.threads import limit_torch_threads


class GymnasiumVecEnv(VecEnv):
    """A gymnasium vector environment that trains here.

    What an episode's end means depends on who resets. The learner gets the same transitions from every mode, with the
    final observation of an episode that ended by time (docs/any_environment.md):

    * ``SAME_STEP``: the environment resets in the step that ends the episode; the final observation is in its infos.
    * ``NEXT_STEP``: it resets in the step after that, which ignores its action and is reported as idle.
    * ``DISABLED``: it does not; the adapter resets those that ended, by ``options["reset_mask"]``.

    Torch runs on one thread unless ``OMP_NUM_THREADS`` says otherwise, because the environments need the cores.

    Args:
        env: The environment, for example of ``gymnasium.make_vec``.
        seed: Seed of the environments (of environment i seed + i, by gymnasium's rule) and of torch, whose generators
            networks begin from; at least 0.
        device: Device of the tensors.
        groups: Observation groups of a Dict observation, entries by group; all entries are the group ``policy`` if
            None. A critic may read other groups (docs/add_a_task.md).
        scale_actions: Whether actions of -1 to 1 span the bounds of the action space. Actions are clipped to the bounds
            in any case, and entries without two finite bounds are never scaled.
        autoreset_mode: Who resets, where the environment's metadata do not say.
        max_episode_length: Time limit in steps, where the environment's spec does not say.
        episode_metrics: Entries of the infos whose value at the end of an episode is reported, per policy, for example
            ``["is_success"]``.

    Raises:
        UserError: If spaces, seed or mode are none that can be trained.
    """

    def __init__(
        self,
        env: VectorEnv,
        seed: int = 0,
        device: str = "cpu",
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        scale_actions: bool = True,
        autoreset_mode: AutoresetMode | str | None = None,
        max_episode_length: int | None = None,
        episode_metrics: Sequence[str] = (),
    ) -> None:
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise UserError(f"seed={seed!r} must be an integer from 0 to {2**31 - 1}.")
        self.gymnasium, self.device, self.num_envs = env, device, int(env.num_envs)
        self.observation_layout = ObservationLayout(env.single_observation_space, groups)
        self.action_layout = ActionLayout(env.single_action_space, scale_actions)
        self.num_actions = self.action_layout.size
        self.autoreset_mode = _mode_of(env, autoreset_mode)
        self.spec = _spec_of(env)
        self.max_episode_length = max_episode_length or _time_limit(self.spec)
        self.cfg = {"gymnasium": str(env), "autoreset_mode": self.autoreset_mode.name, "seed": seed}
        self._metrics = {name: np.zeros(self.num_envs, np.float32) for name in episode_metrics}
        limit_torch_threads("cpu", most_cores=None)
        torch.manual_seed(seed)
        self._begin(env.reset(seed=seed)[0])

    def _begin(self, observations: Any) -> None:
        self._rows = self.observation_layout.read(observations)
        self._lengths = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self._ended = np.zeros(self.num_envs, bool)

    # -- rsl_rl's interface --------------------------------------------------------------------------------------------

    @property
    def episode_length_buf(self) -> Tensor:
        """Steps of each running episode, [N]."""
        return self._lengths

    @episode_length_buf.setter
    def episode_length_buf(self, value: Tensor) -> None:
        raise UserError(
            "init_at_random_ep_len does not act here, because nobody can set the clock of a gymnasium environment; "
            "leave it out."
        )

    def get_observations(self) -> TensorDict:
        """Current observations by group."""
        return self._tensors(self._rows)

    def reset(self) -> tuple[TensorDict, dict[str, Any]]:
        """Begin a new episode everywhere; return its observations and empty extras."""
        self._begin(self.gymnasium.reset()[0])
        return self.get_observations(), {}

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Advance every environment by one step.

        Args:
            actions: What the policies say, [N, A].

        Returns:
            Observations by group, rewards [N], ends of episodes [N], and extras as docs/any_environment.md lists them.
        """
        observed, rewards, terminated, truncated, infos = self.gymnasium.step(self.action_layout.to_actions(actions))
        terminated, truncated = np.asarray(terminated, bool), np.asarray(truncated, bool)
        ended, by_time = terminated | truncated, truncated & ~terminated
        idle = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros_like(ended)
        self._rows = self.observation_layout.read(observed)
        self._note_metrics(infos, ended)
        extras: dict[str, Any] = {"time_outs": self._tensor(by_time), "episode_metrics": self._episode_metrics()}
        if idle.any():
            extras["idle"] = self._tensor(idle)
        if by_time.any():
            final = self._final_rows(infos, by_time)
            extras |= {} if final is None else {"final_observations": self._tensors(final)}
        if self.autoreset_mode is AutoresetMode.DISABLED and ended.any():
            self._rows = self.observation_layout.read(self.gymnasium.reset(options={"reset_mask": ended.copy()})[0])
        done = self._tensor(ended | idle)
        self._ended = ended & ~idle
        self._lengths = torch.where(done, 0, self._lengths + 1)
        return self.get_observations(), self._tensor(np.asarray(rewards, np.float32)), done, extras

    def close(self) -> None:
        """Close the environments."""
        self.gymnasium.close()

    # -- parts of a step -----------------------------------------------------------------------------------------------

    def _final_rows(self, infos: Mapping[str, Any], by_time: Array) -> dict[str, Array] | None:
        """Observations by group in which those that ended by time hold their final one; None if nobody tells it."""
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return self._rows
        if "final_obs" not in infos:
            return None
        which = np.flatnonzero(by_time)
        batch = self.observation_layout.stack([infos["final_obs"][index] for index in which])
        rows = {group: values.copy() for group, values in self._rows.items()}
        for group, values in self.observation_layout.read(batch).items():
            rows[group][which] = values
        return rows

    def _note_metrics(self, infos: Mapping[str, Any], ended: Array) -> None:
        """Keep the infos' values of those that ended."""
        if not self._metrics or not ended.any():
            return
        said = infos.get("final_info", infos) if self.autoreset_mode is AutoresetMode.SAME_STEP else infos
        for name, kept in self._metrics.items():
            if name not in said:
                known = ", ".join(sorted(key for key in said if not key.startswith("_"))) or "nothing"
                raise UserError(f"episode_metrics names {name!r}, but the infos hold {known} where an episode ends.")
            np.copyto(kept, np.asarray(said[name], np.float32), where=ended)

    def _episode_metrics(self) -> dict[str, Tensor]:
        return {name: self._tensor(values.copy()) for name, values in self._metrics.items()}

    def _tensors(self, rows: Mapping[str, Array]) -> TensorDict:
        values = {group: self._tensor(array) for group, array in rows.items()}
        return TensorDict(values, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _mode_of(env: VectorEnv, given: AutoresetMode | str | None) -> AutoresetMode:
    """Who resets an environment: what its metadata say, which nothing else may contradict, or what is given."""
    stated = env.metadata.get("autoreset_mode")
    names = ", ".join(mode.name for mode in AutoresetMode)
    if stated is None and given is None:
        raise UserError(f"{env} does not say in its metadata who resets it; give autoreset_mode, one of {names}.")
    try:
        modes = {_as_mode(mode) for mode in (stated, given) if mode is not None}
    except (KeyError, ValueError):
        raise UserError(f"autoreset_mode={given or stated!r} must be one of {names}.") from None
    if len(modes) > 1:
        raise UserError(f"autoreset_mode={given!r} contradicts the environment's metadata, {stated}; leave it out.")
    return modes.pop()


def _as_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """A mode from itself, its name or its value."""
    if isinstance(mode, AutoresetMode):
        return mode
    return AutoresetMode[mode] if mode in AutoresetMode.__members__ else AutoresetMode(mode)


def _spec_of(env: VectorEnv) -> Any:
    """Gymnasium's spec of the environment, None if there is none."""
    several = isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
    return env.unwrapped.get_attr("spec")[0] if env.spec is None and several else env.spec


def _time_limit(spec: Any) -> int:
    limit = None if spec is None else spec.max_episode_steps
    if limit is None:
        raise UserError("The environment has no spec with max_episode_steps; give max_episode_length, in steps.")
    return int(limit)

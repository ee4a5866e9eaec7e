# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One actor-critic that plays every policy of the ensemble, told which by a learned vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from cpo_rl.config import ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import build_cfg
from cpo_rl.models.normalizer import RunningNormalizer
from cpo_rl.models.trunk import State, Trunk


class Evaluation(NamedTuple):
    """What the network says about sequences of observations."""

    mean: Tensor
    """Action means, [n, q, A]."""

    log_std: Tensor
    """Log standard deviations, [n, 1, A]; they do not depend on the state."""

    value: Tensor | None
    """Values in normalized units, [n_v, q], for the first n_v sequences; None if none were asked for."""

    state: Any
    """Recurrent state after the last step, or None."""


class EnsembleActorCritic(nn.Module):
    """Actor and critic of M policies in one network.

    Policy i is the network given row i of a learned table [M, E] beside the observation, and row i of a table of
    state-independent log standard deviations [M, A]. Actor and critic share the trunk unless ``separate_critic``.
    The leader is policy M-1, and acts wherever no policy id is given.

    Args:
        num_obs: Observation size D.
        num_actions: Action size A.
        num_policies: M.
        cfg: Network settings.
        obs_groups: Observation groups to concatenate, in order.

    Source: network_builder.py:204-210, 286-320 and models.py:36-62 of the reference; integer ids instead of floats.
    """

    is_recurrent: bool
    _policies: Tensor

    def __init__(
        self, num_obs: int, num_actions: int, num_policies: int, cfg: ModelCfg, obs_groups: list[str] | None = None
    ) -> None:
        super().__init__()
        cfg.validate()
        self.cfg = cfg
        self.num_obs, self.num_actions, self.num_policies = num_obs, num_actions, num_policies
        self.obs_groups = list(obs_groups or ["policy"])
        self.is_recurrent = cfg.rnn_type != "none"
        self.embedding = nn.Parameter(torch.randn(num_policies, cfg.embedding_dim))
        self.log_std = nn.Parameter(torch.full((num_policies, num_actions), float(cfg.init_log_std)))
        self.trunk = Trunk(num_obs, cfg)
        self.critic_trunk = Trunk(num_obs, cfg) if cfg.separate_critic else None
        self.mean_head = nn.Linear(self.trunk.num_features, num_actions)
        self.value_head = nn.Linear(self.trunk.num_features, 1)
        for head in (self.mean_head, self.value_head):
            nn.init.zeros_(head.bias)
        self.obs_normalizer = RunningNormalizer(num_obs, cfg.observation_clip)
        self.value_normalizer = RunningNormalizer(1)
        self.normalizes_values = True
        """Whether the critic learns in units of ``value_normalizer``; an algorithm with other units says so."""
        self.register_buffer("_policies", torch.arange(num_policies), persistent=False)
        self.input_size = -(-(num_obs + num_policies) // 8) * 8
        """Width P of the rows that the network reads: observation, one-hot policy, zeros up to a multiple of 8."""
        self._state: Any = None

    @classmethod
    def from_checkpoint(
        cls, state: Mapping[str, Tensor], settings: Mapping[str, Any], obs_groups: list[str] | None = None
    ) -> EnsembleActorCritic:
        """Rebuild a trained model without an environment; its sizes are those of the stored tensors.

        Args:
            state: Entry ``model`` of a checkpoint.
            settings: Section ``model`` of the agent's settings (:class:`~cpo_rl.config.ModelCfg`).
            obs_groups: Observation groups that were concatenated.

        Raises:
            UserError: If the tensors are no ensemble's or do not fit the settings.
        """
        cfg = build_cfg(ModelCfg, settings, "model")
        try:
            num_policies, num_actions = state["log_std"].shape
            num_obs = state["obs_normalizer.mean"].shape[0]
        except (KeyError, ValueError, AttributeError, TypeError):
            raise UserError("checkpoint holds no ensemble model; export one that cpo_rl trained.") from None
        with torch.random.fork_rng(devices=[]):
            model = cls(num_obs, num_actions, num_policies, cfg, obs_groups)
        if state["log_std"].dtype == torch.float64:
            model.double()
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split("\n")[1:2]).strip().rstrip(".")
            raise UserError(
                f"checkpoint does not fit the agent's model settings ({reason}); use the run's own."
            ) from None
        return model.eval()

    # -- what the algorithm uses ---------------------------------------------------------------------------------------

    def flatten_obs(self, obs: TensorDict) -> Tensor:
        """Concatenate the observation groups, [N, D]."""
        groups = [obs[name] for name in self.obs_groups]
        return groups[0] if len(groups) == 1 else torch.cat(groups, -1)

    def normalize_obs(self, obs: Tensor) -> Tensor:
        """Normalize raw observations [..., D] by the statistics in effect."""
        return self.obs_normalizer.normalize(obs) if self.cfg.normalize_observations else obs

    def initial_state(self, num: int) -> Any:
        """Zero recurrent state of ``num`` sequences: a state per trunk, each (h, c) of [layers, num, H]; or None."""
        if not self.is_recurrent:
            return None
        shape = (self.cfg.rnn_num_layers, num, self.cfg.rnn_hidden_dim)
        trunks = 1 if self.critic_trunk is None else 2
        return tuple((self.log_std.new_zeros(shape), self.log_std.new_zeros(shape)) for _ in range(trunks))

    def evaluate(
        self,
        obs: Tensor,
        policy_ids: Tensor,
        state: Any = None,
        resets: Tensor | None = None,
        num_values: int | None = None,
    ) -> Evaluation:
        """Evaluate sequences of normalized observations.

        Args:
            obs: [n, q, D], normalized.
            policy_ids: Integer ids [n] in [0, M); the caller vouches for the range (see :func:`check_policy_ids`).
            state: Recurrent state before the first step, as :meth:`initial_state` gives it.
            resets: Bool [n, q], whether the state is cleared before a step.
            num_values: How many of the first sequences need a value; None for all, 0 for none.

        Returns:
            Means, log standard deviations, values and the last recurrent state.
        """
        return self.evaluate_inputs(self.inputs(obs, policy_ids), state, resets, num_values)

    def inputs(self, obs: Tensor, policy_ids: Tensor) -> Tensor:
        """Rows that the network reads: observation [n, q, D], one-hot policy [n] and zeros, [n, q, P]."""
        rows = obs.new_zeros(*obs.shape[:-1], self.input_size)
        rows[..., : self.num_obs] = obs
        return self.mark(rows, policy_ids)

    def mark(self, rows: Tensor, policy_ids: Tensor) -> Tensor:
        """Mark rows [n, q, P] in place as those of policies [n], and return them."""
        marks = (policy_ids.unsqueeze(-1) == self._policies).to(rows.dtype)
        rows[..., self.num_obs : self.num_obs + self.num_policies] = marks.unsqueeze(1)
        return rows

    def evaluate_inputs(
        self, rows: Tensor, state: Any = None, resets: Tensor | None = None, num_values: int | None = None
    ) -> Evaluation:
        """:meth:`evaluate` for rows [n, q, P] that are already marked."""
        actor_state, critic_state = _split_state(state)
        features, actor_state = self.trunk(rows, self.embedding, actor_state, resets)
        mean = self.mean_head(features)
        log_std = (rows[:, :1, self.num_obs : self.num_obs + self.num_policies]) @ self.log_std
        count = rows.shape[0] if num_values is None else num_values
        if self.critic_trunk is None:
            value = self.value_head(features[:count]).squeeze(-1) if count else None
            return Evaluation(mean, log_std, value, None if actor_state is None else (actor_state,))
        value = None
        if count:
            part = None if critic_state is None else tuple(s[:, :count] for s in critic_state)
            features, critic_state = self.critic_trunk(
                rows[:count], self.embedding, part, None if resets is None else resets[:count]
            )
            value = self.value_head(features).squeeze(-1)
        return Evaluation(mean, log_std, value, None if actor_state is None else (actor_state, critic_state))

    def denormalize_value(self, value: Tensor) -> Tensor:
        """Values [...] in reward units from what the critic says."""
        if not self.normalizes_values:
            return value
        return self.value_normalizer.denormalize(value.unsqueeze(-1)).squeeze(-1)

    # -- what inference uses (play, evaluate, export, rsl_rl's runner) ------------------------------------------------

    def forward(
        self, obs: TensorDict, policy_ids: int | Tensor | None = None, stochastic_output: bool = False
    ) -> Tensor:
        """Act, keeping the recurrent state between calls.

        Args:
            obs: Raw observations by group, batch [N].
            policy_ids: One id for all, or [N]; the leader if None.
            stochastic_output: Sample instead of taking the mean.

        Returns:
            Actions [N, A], not clipped.

        Raises:
            ValueError: If an id is outside [0, M).
        """
        x = self.normalize_obs(self.flatten_obs(obs)).unsqueeze(1)
        ids = self.expand_ids(policy_ids, x.shape[0])
        if self.is_recurrent and (self._state is None or self._state[0][0].shape[1] != x.shape[0]):
            self._state = self.initial_state(x.shape[0])
        out = self.evaluate(x, ids, self._state, num_values=0)
        if self.is_recurrent:
            self._state = out.state
        mean = out.mean.squeeze(1)
        return mean + torch.randn_like(mean) * out.log_std.squeeze(1).exp() if stochastic_output else mean

    def expand_ids(self, policy_ids: int | Tensor | None, num: int) -> Tensor:
        """Ids as an integer tensor [num], checked.

        Raises:
            ValueError: If an id is outside [0, M) or the ids are no integers.
        """
        if policy_ids is None:
            policy_ids = self.num_policies - 1
        if isinstance(policy_ids, int):
            policy_ids = self._policies.new_full((num,), policy_ids)
        check_policy_ids(policy_ids, self.num_policies)
        return policy_ids.to(self._policies.device).expand(num)

    def reset(self, dones: Tensor | None = None) -> None:
        """Clear the recurrent state of finished environments (bool or 0/1, [N]), or of all."""
        if self._state is None:
            return
        if dones is None:
            self._state = None
            return
        self._state = clear_state(self._state, dones)

    def get_hidden_state(self) -> Any:
        """Recurrent state of inference, or None."""
        return self._state

    @property
    def output_std(self) -> Tensor:
        """Standard deviation of the leader's actions, [A]."""
        return self.log_std[-1].exp()

    def as_jit(self, policy: int | None = None) -> nn.Module:
        """A scriptable module of one policy, the leader by default (what ``isaaclab play`` exports)."""
        from cpo_rl.models.deployed import DeployedPolicy

        return DeployedPolicy.build(self, policy)

    def as_onnx(self, verbose: bool = False, policy: int | None = None) -> nn.Module:
        """A module of one policy for ONNX, the leader by default."""
        from cpo_rl.models.deployed import OnnxPolicy

        return OnnxPolicy.build(self, policy)


def groups_to_read(obs_groups: Mapping[str, list[str]] | None, obs: TensorDict) -> list[str]:
    """Observation groups that the actor-critic concatenates, ``["policy"]`` if none are named.

    Args:
        obs_groups: The runner's setting: groups of the set ``actor``, the only one that there is.
        obs: Observations by group.

    Raises:
        UserError: If a set is named that the model does not read, or a group that the environment does not give.
    """
    sets = obs_groups or {}
    unread = [name for name in sets if name != "actor"]
    if unread:
        raise UserError(f"obs_groups names {unread[0]!r}, but actor and critic share what 'actor' names; leave it out.")
    groups = list(sets.get("actor") or ["policy"])
    missing = [name for name in groups if name not in obs.keys()]  # noqa: SIM118  (a TensorDict is no mapping)
    if missing:
        raise UserError(f"obs_groups names {missing[0]!r}, but the environment gives {', '.join(obs.keys())}.")
    return groups


def check_policy_ids(policy_ids: Tensor, num_policies: int) -> None:
    """Refuse ids that name no policy (the reference silently takes row 0).

    On a GPU the check is an asynchronous device assertion, so it costs no host sync.

    Raises:
        ValueError: If an id is outside [0, num_policies) or ids are no integers.
    """
    if policy_ids.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        raise ValueError(f"policy ids must be integers, not {policy_ids.dtype}.")
    good = ((policy_ids >= 0) & (policy_ids < num_policies)).all()
    if policy_ids.device.type != "cpu":
        torch._assert_async(good)
    elif not bool(good):
        raise ValueError(f"policy ids must lie in [0, {num_policies}); got {policy_ids.unique().tolist()}.")


def clear_state(state: Any, dones: Tensor) -> Any:
    """Zero the recurrent state of finished environments.

    Args:
        state: Per trunk (h, c), each [layers, N, H], or None.
        dones: Bool or 0/1, [N].
    """
    if state is None:
        return None
    alive = (1 - dones.to(state[0][0].dtype)).view(1, -1, 1)
    return tuple((h * alive, c * alive) for h, c in state)


def _split_state(state: Any) -> tuple[State | None, State | None]:
    if state is None:
        return None, None
    return state[0], state[1] if len(state) > 1 else None

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
from cpo_rl.distributed import Ranks
from cpo_rl.errors import UserError
from cpo_rl.fields import build_cfg
from cpo_rl.models.normalizer import RunningNormalizer
from cpo_rl.models.trunk import State, Trunk

PER_POLICY = ("embedding", "log_std")
"""Parameters of the network with a row per policy, the leader's last."""


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
    state-independent log standard deviations [M, A]. Actor and critic share the trunk unless ``separate_critic``, or
    unless the critic reads an observation of its own, with statistics of its own; nothing of it is deployed.
    The leader is policy M-1, and acts wherever no policy id is given.

    Args:
        num_obs: Observation size D of the actor.
        num_actions: Action size A.
        num_policies: M.
        cfg: Network settings.
        obs_groups: Observation groups that the actor concatenates, in order.
        num_critic_obs: Size D_c of the critic's own observation; 0 if it reads what the actor reads.
        critic_groups: Observation groups that the critic then concatenates, in order.

    Source: network_builder.py:204-210, 286-320 and models.py:36-62 of the reference; integer ids instead of floats.
    """

    is_recurrent: bool
    _policies: Tensor

    def __init__(
        self,
        num_obs: int,
        num_actions: int,
        num_policies: int,
        cfg: ModelCfg,
        obs_groups: list[str] | None = None,
        num_critic_obs: int = 0,
        critic_groups: list[str] | None = None,
    ) -> None:
        super().__init__()
        cfg.validate()
        self.cfg = cfg
        self.num_obs, self.num_actions, self.num_policies = num_obs, num_actions, num_policies
        self.num_critic_obs = num_critic_obs
        self.obs_groups, self.critic_groups = list(obs_groups or ["policy"]), list(critic_groups or [])
        self.is_recurrent = cfg.rnn_type != "none"
        self.embedding = nn.Parameter(torch.randn(num_policies, cfg.embedding_dim))
        self.log_std = nn.Parameter(torch.full((num_policies, num_actions), float(cfg.init_log_std)))
        self.trunk = Trunk(num_obs, cfg)
        apart = cfg.separate_critic or num_critic_obs > 0
        self.critic_trunk = Trunk(num_critic_obs or num_obs, cfg) if apart else None
        self.mean_head = nn.Linear(self.trunk.num_features, num_actions)
        self.value_head = nn.Linear(self.trunk.num_features, 1)
        for head in (self.mean_head, self.value_head):
            nn.init.zeros_(head.bias)
        self.obs_normalizer = RunningNormalizer(num_obs, cfg.observation_clip)
        self.critic_normalizer = RunningNormalizer(num_critic_obs, cfg.observation_clip) if num_critic_obs else None
        self.value_normalizer = RunningNormalizer(1)
        self.normalizes_values = True
        """Whether the critic learns in units of ``value_normalizer``; an algorithm with other units says so."""
        self.register_buffer("_policies", torch.arange(num_policies), persistent=False)
        self._actor_size = _padded(num_obs + num_policies)
        self.input_size = self._actor_size + (_padded(num_critic_obs + num_policies) if num_critic_obs else 0)
        """Width P of the rows that the network reads: observation, one-hot policy, zeros up to a multiple of 8; then
        the same for the critic, if it reads an observation of its own."""
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
            num_critic_obs = len(state.get("critic_normalizer.mean", ()))
        except (KeyError, ValueError, AttributeError, TypeError):
            raise UserError("checkpoint holds no ensemble model; export one that cpo_rl trained.") from None
        with torch.random.fork_rng(devices=[]):
            model = cls(num_obs, num_actions, num_policies, cfg, obs_groups, num_critic_obs)
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

    @property
    def num_read(self) -> int:
        """Size of what training reads of an observation, D or D + D_c."""
        return self.num_obs + self.num_critic_obs

    def flatten_obs(self, obs: TensorDict) -> Tensor:
        """Concatenate the actor's observation groups, [N, D]."""
        groups = [obs[name] for name in self.obs_groups]
        return groups[0] if len(groups) == 1 else torch.cat(groups, -1)

    def read_obs(self, obs: TensorDict) -> Tensor:
        """What training reads: the actor's observation and then the critic's own, [N, D + D_c]."""
        actor = self.flatten_obs(obs)
        return torch.cat([actor, *(obs[name] for name in self.critic_groups)], -1) if self.num_critic_obs else actor

    def normalize_obs(self, obs: Tensor) -> Tensor:
        """Normalize raw observations [..., D] or [..., D + D_c] by the statistics in effect."""
        if not self.cfg.normalize_observations:
            return obs
        actor = self.obs_normalizer.normalize(obs[..., : self.num_obs])
        if self.critic_normalizer is None or obs.shape[-1] == self.num_obs:
            return actor
        return torch.cat((actor, self.critic_normalizer.normalize(obs[..., self.num_obs :])), -1)

    def gather_statistics(self, obs: Tensor, valid: Tensor) -> None:
        """Add raw observations [n, D + D_c] to the pending statistics, where ``valid`` [n] says so."""
        if self.cfg.normalize_observations:
            self.obs_normalizer.gather(obs[:, : self.num_obs], valid)
            if self.critic_normalizer is not None:
                self.critic_normalizer.gather(obs[:, self.num_obs :], valid)

    def commit_statistics(self, ranks: Ranks) -> None:
        """Let what was gathered, on all ranks, take effect."""
        if self.cfg.normalize_observations:
            self.obs_normalizer.commit(ranks)
            if self.critic_normalizer is not None:
                self.critic_normalizer.commit(ranks)

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
            obs: [n, q, D + D_c], normalized; [n, q, D] will do if no values are wanted.
            policy_ids: Integer ids [n] in [0, M); the caller vouches for the range (see :func:`check_policy_ids`).
            state: Recurrent state before the first step, as :meth:`initial_state` gives it.
            resets: Bool [n, q], whether the state is cleared before a step.
            num_values: How many of the first sequences need a value; None for all, 0 for none.

        Returns:
            Means, log standard deviations, values and the last recurrent state.

        Raises:
            ValueError: If values are wanted and the critic's own observation is missing.
        """
        if obs.shape[-1] != self.num_read and num_values != 0:
            raise ValueError(f"the critic reads {self.num_read} numbers, not {obs.shape[-1]}.")
        return self.evaluate_inputs(self.inputs(obs, policy_ids), state, resets, num_values)

    def inputs(self, obs: Tensor, policy_ids: Tensor) -> Tensor:
        """Rows that the network reads: observation [n, q, D + D_c] and one-hot policy [n], laid out as [n, q, P]."""
        rows = obs.new_zeros(*obs.shape[:-1], self.input_size)
        return self.mark(self.fill(rows, obs), policy_ids)

    def fill(self, rows: Tensor, obs: Tensor) -> Tensor:
        """Write normalized observations [..., D + D_c] into rows [..., P] in place, and return them."""
        rows[..., : self.num_obs] = obs[..., : self.num_obs]
        if obs.shape[-1] > self.num_obs:
            rows[..., self._actor_size : self._actor_size + self.num_critic_obs] = obs[..., self.num_obs :]
        return rows

    def mark(self, rows: Tensor, policy_ids: Tensor) -> Tensor:
        """Mark rows [n, q, P] in place as those of policies [n], and return them."""
        marks = (policy_ids.unsqueeze(-1) == self._policies).to(rows.dtype).unsqueeze(1)
        rows[..., self.num_obs : self.num_obs + self.num_policies] = marks
        if self.num_critic_obs:
            start = self._actor_size + self.num_critic_obs
            rows[..., start : start + self.num_policies] = marks
        return rows

    def evaluate_inputs(
        self, rows: Tensor, state: Any = None, resets: Tensor | None = None, num_values: int | None = None
    ) -> Evaluation:
        """:meth:`evaluate` for rows [n, q, P] that are already marked."""
        actor_state, critic_state = _split_state(state)
        actor_rows, critic_rows = rows, rows
        if self.num_critic_obs:
            actor_rows, critic_rows = rows[..., : self._actor_size], rows[..., self._actor_size :]
        features, actor_state = self.trunk(actor_rows, self.embedding, actor_state, resets)
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
                critic_rows[:count], self.embedding, part, None if resets is None else resets[:count]
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


def _padded(size: int) -> int:
    """The next multiple of 8, which matrix units on a GPU want."""
    return -(-size // 8) * 8


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

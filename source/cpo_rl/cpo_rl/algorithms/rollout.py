# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One iteration of experience, env-major, and what is computed per training row."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from cpo_rl.algorithms.roles import MiniBatch, RoleTables
from cpo_rl.models.actor_critic import EnsembleActorCritic


class Rows(NamedTuple):
    """Training rows of a mini-batch: n sequences of q steps, by role (:data:`~cpo_rl.algorithms.roles.ROLES`).

    The first g rows (follower, leader, borrowed) carry the surrogate and the value loss, the last n - g the regression.
    """

    sizes: tuple[int, int, int, int]
    """Rows per role; the first three add up to g."""

    policy: Tensor
    """Policy that each row is evaluated under, [n]."""

    inputs: Tensor
    """What the network reads: normalized observation, one-hot policy and zeros, [n, q, P]."""

    state: Any
    """Recurrent states before the first step, as the model takes them; None without a recurrent model."""

    resets: Tensor | None
    """Whether the state is cleared before a step, [n, q]; None without a recurrent model."""

    valid: Tensor
    """1 for steps to learn from, 0 for void ones (docs/algorithms.md), [n, q]; losses of single steps are multiplied by
    it, and means divided by its sum."""

    action: Tensor
    """Actions as sampled, not clipped, [n, q, A]."""

    old_log_prob: Tensor
    """Log-density of the action under the policy that acted [nat], [g, q]."""

    advantage: Tensor
    """Advantages, normalized if the settings say so, [g, q]."""

    old_value: Tensor
    """Values at rollout time in normalized units, [g, q]."""

    return_: Tensor
    """Value targets in normalized units, [g, q]."""

    awac_weight: Tensor
    """Weights of the regression, [n - g, q]."""

    old_leader_log_prob: Tensor | None
    """Log-density of borrowed actions under the leader at rollout time [nat], [borrowed, q]; None unless asked for."""


class Rollout:
    """Buffers of T steps in N environments, allocated once.

    Observations are stored as the network reads them, normalized, marked with the policy that acted and padded, because
    the statistics are fixed during an iteration: that saves preparing every row again in every pass. A recurrent
    model's state is kept only where a training sequence starts.

    Args:
        model: The actor-critic, for sizes and state shapes.
        num_envs: N.
        horizon: T, a multiple of ``sequence_length``.
        sequence_length: Steps q per training sequence.
        tables: Role tables of the same sizes.
    """

    def __init__(
        self,
        model: EnsembleActorCritic,
        num_envs: int,
        horizon: int,
        sequence_length: int,
        tables: RoleTables,
    ) -> None:
        device, dtype = model.log_std.device, model.log_std.dtype
        self.num_envs, self.horizon, self.sequence_length = num_envs, horizon, sequence_length
        self.num_chunks = horizon // sequence_length
        self.step = 0
        self._model, self._num_sequences = model, tables.num_sequences

        def steps(*shape: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(num_envs, horizon, *shape, device=device, dtype=kind)

        self.inputs = steps(model.input_size)
        self.last_input = torch.zeros(num_envs, 1, model.input_size, device=device, dtype=dtype)
        for rows in (self.inputs, self.last_input):
            model.mark(rows, torch.arange(num_envs, device=device) // tables.block)
        self._num_obs = model.num_obs
        self.actions = steps(model.num_actions)
        self.log_probs = steps()
        self.rewards = steps()
        self.dones = steps(kind=torch.bool)
        self.last_values = torch.zeros(num_envs, device=device, dtype=dtype)
        # per target row (rollout sequences, then borrowed ones): values, returns, advantages, validity, reference means
        shape = (tables.num_targets, sequence_length)
        self.target_values = torch.zeros(shape, device=device, dtype=dtype)
        self.target_returns = torch.zeros(shape, device=device, dtype=dtype)
        self.target_advantages = torch.zeros(shape, device=device, dtype=dtype)
        self.target_valid = torch.ones(shape, device=device, dtype=dtype)
        self.target_means = torch.zeros(*shape, model.num_actions, device=device, dtype=dtype)
        self.borrowed_log_probs = torch.zeros(
            tables.num_targets - tables.num_sequences, sequence_length, device=device, dtype=dtype
        )
        self.awac_weights = torch.zeros(tables.num_awac, sequence_length, device=device, dtype=dtype)
        self.states = _chunk_states(model, num_envs, self.num_chunks)
        self._clears = None if self.states is None else steps(kind=torch.bool)

    @property
    def observations(self) -> Tensor:
        """Normalized observations of the actor, [N, T, D] (a view of the inputs)."""
        return self.inputs[..., : self._num_obs]

    @property
    def last_observation(self) -> Tensor:
        """Normalized observation of the actor after the last step, [N, D] (a view of the last inputs)."""
        return self.last_input[:, 0, : self._num_obs]

    @property
    def values(self) -> Tensor:
        """Rollout values in reward units, [N, T] (a view of the target rows)."""
        return self.target_values[: self.num_envs * self.num_chunks].view(self.num_envs, self.horizon)

    @property
    def returns(self) -> Tensor:
        """Returns of the rollout, [N, T] (a view of the target rows)."""
        return self.target_returns[: self.num_envs * self.num_chunks].view(self.num_envs, self.horizon)

    @property
    def advantages(self) -> Tensor:
        """Advantages of the rollout, [N, T] (a view of the target rows)."""
        return self.target_advantages[: self.num_envs * self.num_chunks].view(self.num_envs, self.horizon)

    @property
    def valid(self) -> Tensor:
        """1 for steps to learn from, 0 for void ones, [N, T] (a view of the target rows)."""
        return self.target_valid[: self.num_envs * self.num_chunks].view(self.num_envs, self.horizon)

    @property
    def means(self) -> Tensor:
        """Action means of the rollout, [N, T, A] (a view of the target rows)."""
        return self.target_means[: self.num_envs * self.num_chunks].view(self.num_envs, self.horizon, -1)

    def sequences(self, steps: Tensor) -> Tensor:
        """View per-step data [N, T, ...] as sequences [N*C, q, ...]."""
        return steps.view(self.num_envs * self.num_chunks, self.sequence_length, *steps.shape[2:])

    def record_observation(self, obs: Tensor) -> Tensor:
        """Store the normalized observations [N, D + D_c] of the current step; return the network's rows, [N, 1, P]."""
        rows = self.last_input if self.step == self.horizon else self.inputs[:, self.step : self.step + 1]
        self._model.fill(rows[:, 0], obs)
        return rows

    def record_action(self, action: Tensor, mean: Tensor, log_prob: Tensor, value: Tensor) -> None:
        """Store what was decided at the current step; every argument starts with [N]."""
        t = self.step
        self.actions[:, t].copy_(action)
        self.means[:, t].copy_(mean)
        self.log_probs[:, t].copy_(log_prob)
        self.values[:, t].copy_(value)

    def record_state(self, state: Any) -> None:
        """Store the recurrent state before the current step where a training sequence starts."""
        if state is None or self.step % self.sequence_length:
            return
        chunk = self.step // self.sequence_length
        for stored, current in zip(self.states, state, strict=True):
            for buffer, tensor in zip(stored, current, strict=True):
                buffer[:, chunk].copy_(tensor.transpose(0, 1))

    def record_outcome(self, rewards: Tensor, dones: Tensor, void: Tensor) -> None:
        """Store scaled reward, end of episode and whether the step is void, each [N], and advance.

        A void step must have a finite reward and count as an end.
        """
        self.valid[:, self.step].copy_(~void)
        self.rewards[:, self.step].copy_(rewards)
        self.dones[:, self.step].copy_(dones)
        self.step += 1
        if self._clears is not None and self.step % self.sequence_length:
            self._clears[:, self.step].copy_(dones)

    @property
    def resets(self) -> Tensor | None:
        """Whether the state is cleared before a step inside a sequence, [N*C, q]; None without a recurrent model.

        A sequence's first step never clears: its stored state was taken after the clearing.
        """
        return None if self._clears is None else self.sequences(self._clears)

    def start_states(self, sequence: Tensor) -> Any:
        """Recurrent states before the first step of sequences [n], as the model takes them; None if it has none."""
        if self.states is None:
            return None
        return tuple(tuple(b.flatten(0, 1)[sequence].transpose(0, 1) for b in stored) for stored in self.states)

    def gather(self, batch: MiniBatch, old_leader: bool = False) -> Rows:
        """Collect the rows of a mini-batch; reads only tensors whose addresses stay, so that it can be replayed.

        Args:
            batch: The mini-batch.
            old_leader: Whether the old leader's log-density of borrowed actions is needed.

        Returns:
            The rows, marked with the policies that they are evaluated under.
        """
        g, resets = batch.num_gradient, self.resets
        inputs = torch.index_select(self.sequences(self.inputs), 0, batch.source)
        borrowed = batch.target[batch.rows("borrowed")] - self._num_sequences if old_leader else None
        return Rows(
            sizes=batch.sizes,
            policy=batch.policy,
            inputs=self._model.mark(inputs, batch.policy),
            state=self.start_states(batch.source),
            resets=None if resets is None else resets[batch.source],
            valid=self.sequences(self.valid)[batch.source],
            action=self.sequences(self.actions)[batch.source],
            old_log_prob=self.sequences(self.log_probs)[batch.source[:g]],
            advantage=self.target_advantages[batch.target],
            old_value=self.target_values[batch.target],
            return_=self.target_returns[batch.target],
            awac_weight=self.awac_weights[batch.weight],
            old_leader_log_prob=None if borrowed is None else self.borrowed_log_probs[borrowed],
        )


def _chunk_states(model: EnsembleActorCritic, num_envs: int, num_chunks: int) -> Any:
    """Buffers [N, C, layers, H] per trunk and state tensor, or None."""
    state = model.initial_state(1)
    if state is None:
        return None
    return tuple(tuple(t.new_zeros(num_envs, num_chunks, t.shape[0], t.shape[2]) for t in pair) for pair in state)

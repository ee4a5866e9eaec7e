# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Roles of training rows as index tables: who is told to have done what, without a copy of any observation.

A rollout of N environments and C chunks per environment holds S = N*C sequences; sequence n*C + k is chunk k of
environment n. Training uses them in four roles (docs/algorithms.md):

=========  =====================================  ==================  ==========================================
role       sequences of                           relabelled as       used for
=========  =====================================  ==================  ==========================================
follower   every follower's block                 itself              surrogate, value, entropy, bound
leader     the leader's block                     itself              surrogate, value, bound
borrowed   the drawn followers' blocks            the leader          surrogate, value, bound
awac       the leader's block, once per follower  that follower       advantage-weighted regression
=========  =====================================  ==================  ==========================================

Quantities per role row lie in arrays of *target* rows: first the S sequences of the rollout, then the borrowed ones
(values, returns, means), while awac rows have an array of weights of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROLES = ("follower", "leader", "borrowed", "awac")
"""Order of roles in every mini-batch."""


@dataclass
class MiniBatch:
    """Sequences of one gradient step, ordered by role, with sizes known on the host."""

    source: Tensor
    """Rollout sequence of each row, [n]."""

    policy: Tensor
    """Policy id each row is evaluated under, [n]."""

    target: Tensor
    """Target row of each follower, leader and borrowed row, [n_follower + n_leader + n_borrowed]."""

    weight: Tensor
    """Row of the regression weights of each awac row, [n_awac]."""

    sizes: tuple[int, int, int, int]
    """Rows per role, in the order of :data:`ROLES`."""

    index: Tensor
    """Number of the mini-batch within its pass, [1] on the device."""

    @property
    def num_gradient(self) -> int:
        """Rows that carry the surrogate and value losses."""
        return sum(self.sizes[:3])

    def rows(self, role: str) -> slice:
        """Where a role's rows lie."""
        i = ROLES.index(role)
        start = sum(self.sizes[:i])
        return slice(start, start + self.sizes[i])


class RoleTables:
    """Index tables of the four roles for one ensemble and rollout size.

    Args:
        num_envs: N, a multiple of ``num_policies``.
        num_policies: M.
        num_chunks: C sequences per environment.
        num_borrowed: Followers K whose data the leader borrows.
        use_awac: Whether the awac role exists.
        awac_fraction: Share of the leader's sequences each follower regresses on, (0, 1].
        device: Where the tables live.
    """

    def __init__(
        self,
        num_envs: int,
        num_policies: int,
        num_chunks: int,
        num_borrowed: int,
        use_awac: bool,
        awac_fraction: float,
        device: torch.device | str,
    ) -> None:
        self.num_policies = num_policies
        self.num_chunks = num_chunks
        self.block = num_envs // num_policies
        self.per_block = self.block * num_chunks
        self.num_sequences = num_envs * num_chunks
        self.num_borrowed = num_borrowed
        self.num_awac = (num_policies - 1) * self.per_block if use_awac else 0
        self.awac_used = max(round(self.num_awac * awac_fraction), 1) if self.num_awac else 0
        self.device = torch.device(device)
        followers = (num_policies - 1) * self.per_block
        self._all = torch.arange(self.num_sequences, device=device)
        self._own_policy = self._all // self.per_block
        self._leader = self._all[followers:]
        self._awac_source = self._leader.repeat(num_policies - 1) if use_awac else self._all[:0]
        self._awac_policy = self._own_policy[:followers] if use_awac else self._all[:0]

    @property
    def num_targets(self) -> int:
        """Target rows: the rollout's sequences and the borrowed ones."""
        return self.num_sequences + self.num_borrowed * self.per_block

    @property
    def num_rows(self) -> int:
        """Rows of one pass over the training batch, (2M - 1 + K) B C without subsampling."""
        return self.num_targets + self.awac_used

    def follower_envs(self, follower: int) -> slice:
        """Environments of a policy's block."""
        return slice(follower * self.block, (follower + 1) * self.block)

    def role(self, name: str, borrowed: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Source sequence, policy id and target (or weight) row of a role, each [n_role], env-major.

        Args:
            name: One of :data:`ROLES`.
            borrowed: The drawn followers, K ids in [0, M-1).
        """
        followers = self.num_sequences - self.per_block
        if name == "follower":
            return self._all[:followers], self._own_policy[:followers], self._all[:followers]
        if name == "leader":
            return self._leader, self._own_policy[followers:], self._leader
        if name == "borrowed":
            parts = [self._all[f * self.per_block : (f + 1) * self.per_block] for f in borrowed]
            source = torch.cat(parts) if parts else self._all[:0]
            target = torch.arange(self.num_sequences, self.num_targets, device=self.device)
            return source, torch.full_like(source, self.num_policies - 1), target
        return self._awac_source, self._awac_policy, torch.arange(self.num_awac, device=self.device)

    def passes(
        self, borrowed: list[int], num_passes: int, num_mini_batches: int, generator: torch.Generator
    ) -> list[list[MiniBatch]]:
        """Shuffle whole sequences into mini-batches, anew for every pass.

        Each role is permuted by itself and dealt out evenly, so every mini-batch holds the same mix of roles (sizes
        differ by at most one sequence) and the host knows where each role lies without asking the device.

        Args:
            borrowed: The drawn followers.
            num_passes: Passes over the batch.
            num_mini_batches: Gradient steps per pass.
            generator: Source of randomness on the tables' device.

        Returns:
            Mini-batches by pass.
        """
        roles = [self.role(name, borrowed) for name in ROLES]
        passes = []
        for _ in range(num_passes):
            orders = [torch.randperm(len(r[0]), generator=generator, device=self.device) for r in roles]
            orders[3] = orders[3][: self.awac_used]
            dealt = [order.tensor_split(num_mini_batches) for order in orders]
            numbers = self._all[:num_mini_batches].split(1)
            passes.append([self._mini_batch(roles, [d[j] for d in dealt], n) for j, n in enumerate(numbers)])
        return passes

    def _mini_batch(self, roles: list[tuple[Tensor, Tensor, Tensor]], picks: list[Tensor], index: Tensor) -> MiniBatch:
        columns = [[r[c][p] for r, p in zip(roles, picks, strict=True)] for c in range(3)]
        return MiniBatch(
            source=torch.cat(columns[0]),
            policy=torch.cat(columns[1]),
            target=torch.cat(columns[2][:3]),
            weight=columns[2][3],
            sizes=tuple(len(p) for p in picks),  # type: ignore[arg-type]
            index=index,
        )

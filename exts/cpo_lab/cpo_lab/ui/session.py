# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a screen shows of policies that act in a simulation now: the state behind the panels of all viewers.

No omni, no torch, no viewer. :class:`~cpo_lab.ui.live.Live` fills it; panels read it and call :meth:`Session.choose`.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cpo_lab.ui.state import RunReader, RunState
from cpo_rl.formatting import format_number, policy_name

ALL = "all, side by side"
"""Choice that lets every policy act in environments of its own."""

STARTED = "as started"
"""Choice that lets those act that acted at first, where that is neither one policy nor all."""

_BUSY, _LOOK_S = 0.02, 2.0
"""Largest share of the time that reading a run's folder may take while it trains here, and least time between [s]."""


class Shown(Protocol):
    """What a panel needs to know: of a run's folder (:class:`~cpo_lab.ui.state.RunState`), or of a session."""

    @property
    def heading(self) -> str:
        """What runs, in a line."""

    @property
    def progress(self) -> str:
        """How far it is, in a line."""

    @property
    def policies(self) -> list[str]:
        """What the policies are called."""

    @property
    def problems(self) -> list[str]:
        """What somebody should know, a sentence each."""

    @property
    def kl(self) -> NDArray[np.float64] | None:
        """KL matrix [M, M] in nats; NaN where nothing was measured, None without any."""

    @property
    def kl_note(self) -> str:
        """What the KL matrix is, in a line."""

    def table(self) -> dict[str, list[float | None]]:
        """A value of every policy by label."""


def blocks(policies: list[int], num_envs: int) -> NDArray[np.int64]:
    """Return which policy acts in which environment [N]: blocks of equal size, as in training."""
    return np.asarray(policies)[np.arange(num_envs) * len(policies) // num_envs]


def number(value: float | None) -> str:
    """Return a number of a table: counts as they are, a dash for none."""
    return "-" if value is None else str(value) if isinstance(value, int) else format_number(value)


class Session:
    """Policies that act now: who acts where, what each has achieved, and what was chosen.

    Args:
        task: Task id.
        num_policies: Policies M; the leader is the last.
        ids: Policy of each environment at first [N].
        run: Reader of the run's folder while it trains; then its metrics are shown and nobody else can be made to act.
    """

    def __init__(self, task: str, num_policies: int, ids: NDArray[np.int64], run: RunReader | None = None) -> None:
        self.task, self.num_policies, self.run = task, num_policies, run
        self.policies = [policy_name(policy, num_policies) for policy in range(num_policies)]
        every = blocks(list(range(num_policies)), len(ids))
        self._casts = {ALL: every}
        if run is None:
            self._casts |= {name: np.full(len(ids), policy) for policy, name in enumerate(self.policies)}
        if not any(np.array_equal(ids, cast) for cast in self._casts.values()):
            self._casts[STARTED] = ids
        self.choice = next(name for name, cast in self._casts.items() if np.array_equal(ids, cast))
        self.steps = 0
        self.goals, self.falls = np.zeros(num_policies, dtype=int), np.zeros(num_policies, dtype=int)
        self._sums, self._counts = np.zeros(num_policies), np.zeros(num_policies, dtype=int)
        self._counts_goals = False
        self._measured: NDArray[np.float64] | None = None
        self._state: RunState | None = None
        self._due = 0.0

    # -- who acts ------------------------------------------------------------------------------------------------------

    @property
    def options(self) -> list[str]:
        """What can be chosen."""
        return list(self._casts)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Policy that is to act in each environment [N]."""
        return self._casts[self.choice]

    @property
    def acting(self) -> list[int]:
        """Policies that act, in order."""
        return np.unique(self.ids).tolist()

    @property
    def names(self) -> list[str]:
        """What the policy in each environment is called."""
        return [self.policies[policy] for policy in self.ids]

    def choose(self, option: str) -> None:
        """Let others act from the next step on; what is not among :attr:`options` changes nothing."""
        if option in self._casts:
            self.choice = option

    # -- what they achieve ---------------------------------------------------------------------------------------------

    def step(
        self,
        ids: NDArray[np.int64],
        rewards: NDArray[np.float64],
        goals: NDArray[np.float64] | None,
        falls: NDArray[np.bool_] | None,
    ) -> None:
        """Add a step.

        Args:
            ids: Policy that acted in each environment [N].
            rewards: Of the step [N].
            goals: Goals that it reached [N]; None if the task counts none.
            falls: Environments whose episode it ended by failure [N]; None if unknown.
        """
        self.steps += 1
        count = self.num_policies
        self._sums += np.bincount(ids, rewards, count)
        self._counts += np.bincount(ids, minlength=count)
        if goals is not None:
            self._counts_goals = True
            self.goals += np.bincount(ids, goals, count).astype(int)
        if falls is not None:
            self.falls += np.bincount(ids, falls, count).astype(int)

    def measure(self, kl: NDArray[np.float64]) -> None:
        """Keep a KL matrix [M, M] in nats; rows of policies that do not act are NaN."""
        self._measured = kl

    def look(self) -> bool:
        """Read the folder of a run that trains here anew if it is time; return whether that was done."""
        now = time.monotonic()
        if self.run is None or now < self._due:
            return False
        self._state = self.run.read()
        took = time.monotonic() - now
        self._due = now + max(_LOOK_S, took / _BUSY)
        return True

    # -- what is shown -------------------------------------------------------------------------------------------------

    @property
    def heading(self) -> str:
        """Task, and algorithm and seed of a run that trains."""
        return self.task if self._state is None else self._state.heading or self.task

    @property
    def progress(self) -> str:
        """Steps that were made here, and iterations of a run that trains."""
        parts = [f"step {self.steps:,}"] if self.run is None else []
        if self._state is not None:
            parts.append(self._state.progress)
        return " · ".join(parts or ["the first iteration is being collected"])

    @property
    def problems(self) -> list[str]:
        """Why a run ended, and what of it is damaged, a sentence each."""
        return [] if self._state is None else self._state.problems

    @property
    def kl(self) -> NDArray[np.float64] | None:
        """KL matrix [M, M]: of the states that are seen here, or the newest of a run that trains."""
        return self._measured if self._state is None else self._state.kl

    @property
    def kl_note(self) -> str:
        """What the KL matrix is, in a line."""
        return "KL(row | column) in nats, on the states seen now" if self._state is None else self._state.kl_note

    def table(self) -> dict[str, list[float | None]]:
        """Goals, falls and mean reward per step of every policy here, or the metrics of a run that trains."""
        if self.run is not None:
            return {} if self._state is None else self._state.table()
        acted = self._counts > 0
        rows: dict[str, list[float | None]] = {}
        if self._counts_goals:
            rows["goals"] = [int(value) if on else None for value, on in zip(self.goals, acted, strict=True)]
        rows["falls"] = [int(value) if on else None for value, on in zip(self.falls, acted, strict=True)]
        means = self._sums / np.maximum(self._counts, 1)
        rows["reward"] = [float(value) if on else None for value, on in zip(means, acted, strict=True)]
        return rows

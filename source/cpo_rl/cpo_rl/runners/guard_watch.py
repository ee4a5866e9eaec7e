# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a run does when its algorithm's finite guard held back an update.

The algorithm keeps numbers that are not finite away from the weights by itself and reports
``Optimization/skipped_updates``, the gradient steps it held back, with its other metrics. Only when that is not zero is
the device asked for details, so a healthy run pays nothing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cpo_rl.algorithms.quarantine import OWN
from cpo_rl.contracts import Algorithm
from cpo_rl.runs.dump import MAX_ENVS, sentence, write_dump
from cpo_rl.runs.metric_names import QUARANTINED, SKIPPED_UPDATES

_log = logging.getLogger(__name__)

OUR_OWN = (*OWN, "gradients")
"""Tensors that the algorithm makes; what goes wrong in others is the environments' and quarantined."""


class GuardWatch:
    """Decides after every iteration whether training goes on, and writes the dump.

    Args:
        alg: The algorithm. One that is no :class:`~cpo_rl.contracts.GuardedAlgorithm`, such as rsl_rl's PPO, is
            stopped at the first loss that is not finite.
        facts: Entries of the dump that do not change: ``task``, ``seed``, ``config``, ``git_commit``.
    """

    def __init__(self, alg: Algorithm, facts: Mapping[str, Any]) -> None:
        self._alg = alg
        self._facts = dict(facts)
        self.skipped_in_a_row = 0
        """Iterations with an update that was held back, since the last one without."""
        self._named_void = False

    def check(
        self,
        iteration: int,
        env_steps: int,
        metrics: Mapping[str, float],
        folder: Path | None,
        try_write: Callable[[str, Callable[[], object]], bool],
    ) -> tuple[str | None, str | None]:
        """Judge an iteration.

        Args:
            iteration: Finished iterations.
            env_steps: Environment steps so far.
            metrics: Its metrics.
            folder: Where the dump goes; None writes none.
            try_write: Writes or reports a full disk.

        Returns:
            The sentence about this iteration's skipped update, or None; and the sentence to stop with, or None.
        """
        if not self._alg.is_guarded:
            bad = [name for name, value in metrics.items() if name.startswith("Loss/") and not math.isfinite(value)]
            found = f"The metric {bad[0]!r} of iteration {iteration} is not finite" if bad else None
            return found, found and f"{found}; the weights may be damaged, resume an earlier checkpoint."
        if not metrics.get(SKIPPED_UPDATES, 0.0) > 0:
            self.skipped_in_a_row = 0
            return None, None
        self.skipped_in_a_row += 1
        self._named_void = True
        report = self._alg.base.guard_report() or {"tensor": "gradients", "step": None, "env_ids": []}
        said = f"{sentence(report)} of iteration {iteration}"
        if report["tensor"] not in OUR_OWN and QUARANTINED in metrics:
            void, most = metrics[QUARANTINED], self._alg.cfg.quarantine_stop_fraction
            said += f"; {void:.0f} steps were void, in more than quarantine_stop_fraction={most:g} of the environments"
        if folder is not None and (self.skipped_in_a_row == 1 or self._stops()):
            path = folder / f"dump_{iteration}.pt"
            if try_write("the dump", lambda: self._dump(path, report, iteration, env_steps)):
                said += f" (details: cpo-lab doctor --dump {path})"
        count = f"{self.skipped_in_a_row} iteration{'s' if self.skipped_in_a_row > 1 else ''}"
        limit = f" after {count} with a skipped update in a row" if self._alg.cfg.non_finite == "skip" else ""
        back = "; what was learned went back to the state before the update" if self._recover() else ""
        return (
            f"{said}; the update was skipped{back}.",
            f"{said}; stopped{limit} before it reached the weights." if self._stops() else None,
        )

    def name_void(self, metrics: Mapping[str, float]) -> str | None:
        """Return a sentence about the first void steps of this process, which only their count would tell of.

        Args:
            metrics: Of an iteration.
        """
        if self._named_void or not metrics.get(QUARANTINED, 0.0) > 0 or not self._alg.is_guarded:
            return None
        report = self._alg.void_report()
        if report is None:
            return None
        self._named_void = True
        return f"{sentence(report)}; such steps are void: they are counted, nothing is learned from them."

    def _recover(self) -> bool:
        """Go back to the last sound state where an update has ruined the network, or the run ends in one."""
        state = self._alg.sound_state
        return state is not None and state.recover(entirely=self._stops())

    def _stops(self) -> bool:
        cfg = self._alg.cfg
        return cfg.non_finite == "stop" or self.skipped_in_a_row > cfg.max_skipped_updates

    def _dump(self, path: Path, report: Mapping[str, Any], iteration: int, env_steps: int) -> None:
        """Write the last states of the offending environments, the configuration and the seed."""
        states: dict[str, Any] = {}
        ids = list(report["env_ids"])[:MAX_ENVS]
        rollout = self._alg.rollout
        if ids and rollout is not None:
            stop = (report["step"] or 0) + 1
            for name in ("observations", "actions", "rewards", "dones"):
                states[f"{name} (as learned from)"] = getattr(rollout, name)[ids, max(stop - 8, 0) : stop]
        for name, tensor in self._alg.raw_values(ids).items():
            states[f"{name} (raw, when first bad)"] = tensor
        named = self._alg.named_parameters()
        parameters = [name for name, p in named if p.grad is not None and not bool(p.grad.isfinite().all())]
        write_dump(
            path, report, iteration=iteration, env_steps=env_steps, states=states, parameters=parameters, **self._facts
        )

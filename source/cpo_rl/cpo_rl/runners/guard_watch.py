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

from cpo_rl.contracts import Algorithm
from cpo_rl.runs.dump import MAX_ENVS, sentence, write_dump
from cpo_rl.runs.metric_names import QUARANTINED, SKIPPED_UPDATES

_log = logging.getLogger(__name__)

OUR_OWN = ("actions", "gradients")
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
        """Gradient steps held back since the last iteration in which none was."""

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
        skipped = metrics.get(SKIPPED_UPDATES, 0.0)
        if not skipped > 0:
            self.skipped_in_a_row = 0
            return None, None
        self.skipped_in_a_row += round(skipped)
        report = self._alg.base.guard_report() or {"tensor": "gradients", "step": None, "env_ids": []}
        said = f"{sentence(report)} of iteration {iteration}"
        if report["tensor"] not in OUR_OWN and QUARANTINED in metrics:
            void, most = metrics[QUARANTINED], self._alg.cfg.quarantine_stop_fraction
            said += f"; {void:.0f} steps were void, in more than quarantine_stop_fraction={most:g} of the environments"
        if folder is not None and (self.skipped_in_a_row == round(skipped) or self._stops()):
            path = folder / f"dump_{iteration}.pt"
            if try_write("the dump", lambda: self._dump(path, report, iteration, env_steps)):
                said += f" (details: cpo-lab doctor --dump {path})"
        limit = f" after {self.skipped_in_a_row} skipped updates in a row" if self._alg.cfg.non_finite == "skip" else ""
        return (
            f"{said}; the update was skipped.",
            f"{said}; stopped{limit} before it reached the weights." if self._stops() else None,
        )

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

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The success tolerance, which shrinks as episodes go well (``allegro_kuka_utils.py:86-158``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cpo_lab.tasks.arms import rules

if TYPE_CHECKING:
    from cpo_lab.tasks.arms.env_cfg import AllegroKukaEnvCfg


class ToleranceCurriculum:
    """One tolerance for all environments, which looks at all policies' episodes."""

    def __init__(self, cfg: AllegroKukaEnvCfg, device: str) -> None:
        self.cfg = cfg
        self.tolerance = torch.tensor(cfg.initial_tolerance, device=device)
        """Success tolerance, scalar."""
        self.policy_steps = 0
        """Policy steps of this run."""
        self.last_tightening = torch.zeros((), dtype=torch.long, device=device)
        """Policy step of the last reduction of the tolerance, scalar."""

    def tighten(self, episode_successes: torch.Tensor) -> None:
        """Reduce the tolerance if it is time and the last finished episodes [N] had enough successes on average."""
        cfg = self.cfg
        if cfg.initial_tolerance <= cfg.target_tolerance or self.policy_steps < cfg.tolerance_interval:
            return
        due = self.policy_steps - self.last_tightening >= cfg.tolerance_interval
        self.tolerance, tightened = rules.curriculum_tolerance(
            self.tolerance, episode_successes.mean(), due, cfg.target_tolerance, cfg.tolerance_factor,
            cfg.tolerance_successes,
        )  # fmt: skip
        self.last_tightening = torch.where(tightened, self.policy_steps, self.last_tightening)

    def objective(self, successes: torch.Tensor) -> torch.Tensor:
        """Return successes and progress of the curriculum in one number per environment, shape [N]."""
        cfg = self.cfg
        return rules.success_objective(successes, self.tolerance, cfg.initial_tolerance, cfg.target_tolerance)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, with entries ``tolerance``, ``last_tightening`` and ``policy_steps``."""
        return {
            "tolerance": self.tolerance.clone(),
            "last_tightening": self.last_tightening.clone(),
            "policy_steps": self.policy_steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back :meth:`state`, among other entries."""
        # replaced, not written: the old scalars may stem from a runner's inference mode, where they cannot be
        self.tolerance = state["tolerance"].to(self.tolerance.device).clone()
        self.last_tightening = state["last_tightening"].to(self.tolerance.device).clone()
        self.policy_steps = int(state["policy_steps"])

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Training loop around rsl_rl's: run folders, logs, progress, exact resume, signals and guards.

``EnsembleRunner`` is loaded on first use so that listing runs needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cpo_rl.runners.ensemble_runner import EnsembleRunner

__all__ = ["EnsembleRunner"]


def __getattr__(name: str) -> Any:
    """Import the runner when it is asked for."""
    if name == "EnsembleRunner":
        from cpo_rl.runners.ensemble_runner import EnsembleRunner

        return EnsembleRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

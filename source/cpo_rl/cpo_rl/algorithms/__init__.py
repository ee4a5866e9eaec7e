# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The ensemble algorithm that rsl_rl's runner builds by import path."""

from cpo_rl.algorithms.ensemble_ppo import EnsemblePPO

__all__ = ["EnsemblePPO"]

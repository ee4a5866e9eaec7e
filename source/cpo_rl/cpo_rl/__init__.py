# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Ensemble policy optimization for rsl_rl: CPO, SAPG, PBT and PPO as settings of one algorithm.

The library knows torch and rsl_rl and nothing of a simulator. Modules are imported where they are used, so that
importing the package itself is free.
"""

from __future__ import annotations

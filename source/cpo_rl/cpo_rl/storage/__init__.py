# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rollout and the index tables that give its rows their roles."""

from cpo_rl.storage.roles import MiniBatch, RoleTables
from cpo_rl.storage.rollout import Rollout

__all__ = ["MiniBatch", "RoleTables", "Rollout"]

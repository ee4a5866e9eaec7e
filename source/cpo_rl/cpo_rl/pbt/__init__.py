# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Population-based training in DexPBT's style.

P members train on their own and meet only through what they leave in a shared folder; there is no controller. From time
to time each member publishes its score, hyper-parameters and checkpoint, looks at what the others published, and acts.

* :mod:`~cpo_rl.pbt.settings`: how often, who may replace whom, how far mutations go.
* :mod:`~cpo_rl.pbt.decision`: how hyper-parameters mutate, who copies whom, what a member remembers for that.
* :mod:`~cpo_rl.pbt.workspace`: the shared folder.

Nothing here imports torch; :class:`cpo_rl.pbt.runner.PbtRunner` trains a member.
"""

from cpo_rl.pbt.decision import (
    DEFAULT_RULES,
    Decision,
    Member,
    MemberState,
    Parameters,
    Rule,
    best_and_worst,
    decide,
    leads_enough,
    mutate,
    objective_spread,
    ranking,
    scale,
    scale_clip,
    scale_horizon,
    step_count,
)
from cpo_rl.pbt.settings import LEAST_MEMBERS, MUTABLE, PbtCfg, pbt_settings
from cpo_rl.pbt.workspace import Order, Published, Workspace, member_state

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of what keeps an ensemble together by measuring it: a target for the KL to the leader, a bound on noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpo_rl.errors import UserError
from cpo_rl.fields import setting


@dataclass
class RegulationCfg:
    """Fields that :class:`~cpo_rl.config.EnsembleCfg` inherits (docs/algorithms.md, "Regulated diversity")."""

    coupling_target_kl: float = setting(0.0, at_least=0.0)
    """KL of followers to the leader that an explicit penalty is regulated to hold [nat]; 0 switches that off."""

    coupling_kl: str = setting("means", choices=("means", "full"), fixed=True)
    """KL that is held: ``means``, the part that different action means make, or ``full``, which also counts
    differences in noise, such as the ladder of entropy bonuses makes on purpose."""

    coupling_shared: bool = setting(True, fixed=True)
    """Whether all followers have one coefficient, which holds their mean KL and leaves their order, or each its own."""

    coupling_rate: float = setting(0.5, above=0.0)
    """Largest change of the regulated coefficient's logarithm in an iteration."""

    action_std_max: float = setting(10.0, above=0.0)
    """Bound of every standard deviation of actions, in units of actions; far above what a healthy policy has."""

    def validate_noise(self, init_log_std: float) -> None:
        """Check the bound on noise against the noise that training begins with.

        Args:
            init_log_std: The network's initial log standard deviation.

        Raises:
            UserError: If the bound is lower.
        """
        if init_log_std > math.log(self.action_std_max):
            raise UserError(
                f"algorithm field action_std_max={self.action_std_max!r} must be at least exp(init_log_std) = "
                f"{math.exp(init_log_std):.4g}."
            )

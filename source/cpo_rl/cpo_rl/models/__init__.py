# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Networks of the ensemble."""

from cpo_rl.models.actor_critic import EnsembleActorCritic
from cpo_rl.models.discriminator import Discriminator
from cpo_rl.models.normalizer import RunningNormalizer

__all__ = ["Discriminator", "EnsembleActorCritic", "RunningNormalizer"]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The network that tells policies apart by what they do."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Discriminator(nn.Sequential):
    """MLP with ELU from (normalized observation, unclipped action) to logits of the M policies.

    Class i is policy i, the leader included. Unlike the released one it ends in logits: the softmax belongs to the loss
    (models.py:515-543 applies it twice).

    Args:
        num_obs: D.
        num_actions: A.
        num_policies: M.
        hidden_dims: Widths of hidden layers.
    """

    def __init__(self, num_obs: int, num_actions: int, num_policies: int, hidden_dims: list[int]) -> None:
        layers: list[nn.Module] = []
        size = num_obs + num_actions
        for width in hidden_dims:
            layers += [nn.Linear(size, width), nn.ELU()]
            size = width
        super().__init__(*layers, nn.Linear(size, num_policies))

    def log_posterior(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Log q(i | s, a) for all policies, [n, M], from obs [n, D] and actions [n, A]."""
        return torch.log_softmax(self(torch.cat((obs, actions), -1)), -1)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the processes of one training run must agree on.

Every rank holds all policies on its own share of the environments. Sums of gradients, statistics and metrics are
reduced; with a single process every function returns its input untouched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Progress:
    """How far this process got, for a thread that watches it."""

    moves: int = 0
    """Environment steps and collective calls begun; the same on processes that train together."""


PROGRESS = Progress()
"""Of this process."""


class Ranks:
    """The group of processes that train together.

    Args:
        multi_gpu_cfg: rsl_rl's dictionary with ``global_rank`` and ``world_size``, or None for a single process.
    """

    def __init__(self, multi_gpu_cfg: dict | None) -> None:
        self.world_size = multi_gpu_cfg["world_size"] if multi_gpu_cfg else 1
        self.rank = multi_gpu_cfg["global_rank"] if multi_gpu_cfg else 0

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return self.world_size > 1

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over ranks, in place where there are several."""
        if self.several:
            PROGRESS.moves += 1
            torch.distributed.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """Average a tensor over ranks, in place where there are several."""
        if self.several:
            self.sum(tensor)
            tensor /= self.world_size
        return tensor

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Average gradients over ranks in one message."""
        if not self.several:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = self.mean(torch.cat([g.reshape(-1) for g in grads]))
        for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank rank 0's values."""
        if self.several:
            for tensor in tensors:
                PROGRESS.moves += 1
                torch.distributed.broadcast(tensor.data, src=0)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The place of this process among those that train together, as torchrun tells it (``docs/distributed.md``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cpo_rl.errors import UserError


@dataclass(frozen=True)
class Rank:
    """Number of this process and how many there are; a process started without torchrun is alone."""

    rank: int = 0
    """Number among all processes, from 0; 0 writes the run folder."""

    local_rank: int = 0
    """Number among those of this machine, from 0; it names the GPU."""

    world_size: int = 1
    """Processes that train together."""

    @classmethod
    def of_this_process(cls, environment: Mapping[str, str] = os.environ) -> Rank:
        """Read torchrun's variables.

        Raises:
            UserError: If they contradict each other.
        """
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
        if "WORLD_SIZE" not in environment or environment["WORLD_SIZE"] == "1":
            return cls()
        try:
            rank, local_rank, world_size = (int(environment[name]) for name in names)
        except (KeyError, ValueError):
            raise UserError(
                "WORLD_SIZE is set without RANK and LOCAL_RANK; start several processes with torchrun."
            ) from None
        if not (0 <= rank < world_size and 0 <= local_rank < world_size):
            raise UserError(
                f"RANK={rank} and LOCAL_RANK={local_rank} do not fit WORLD_SIZE={world_size}; use torchrun."
            )
        return cls(rank, local_rank, world_size)

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    def device(self, asked: str | None) -> str | None:
        """Device of this process: its own GPU, unless the CPU was asked for.

        Args:
            asked: Value of ``--device``.

        Raises:
            UserError: If one GPU was asked for, which several processes cannot share.
        """
        if not self.several or asked == "cpu":
            return asked
        if asked is not None and asked.startswith("cuda:"):
            raise UserError(
                f"--device {asked} is one GPU for {self.world_size} processes; leave it out, or use --device cpu."
            )
        if asked is None:
            import torch

            return f"cuda:{self.local_rank}" if torch.cuda.is_available() else None
        return f"{asked}:{self.local_rank}"

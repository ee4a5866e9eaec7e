# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The place of this process among those that train together, as torchrun tells it (``docs/distributed.md``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cpo_rl.errors import UserError

SHARE_S = 600.0
"""How long a process waits for what the first one tells; that one may load libraries from a slow disk [s]."""


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

    @property
    def can_share(self) -> bool:
        """Whether processes can tell each other something before they train; torchrun keeps a store for that."""
        return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and "MASTER_PORT" in os.environ

    def share(self, name: str, text: str | None = None) -> str:
        """Tell the other processes a text, or wait for what the first one tells.

        Args:
            name: What it is about.
            text: The text, of the first process; None waits for it.

        Raises:
            UserError: If the first process tells nothing.
        """
        from torch.distributed import TCPStore

        try:
            store = TCPStore(
                os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False,
                timeout=timedelta(seconds=SHARE_S),
            )  # fmt: skip
            restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # what an earlier try told counts no more
            key = f"cpo_lab/{os.environ.get('TORCHELASTIC_RUN_ID', '')}/{restart}/{name}"
            if text is not None:
                store.set(key, text)
                return text
            return store.get(key).decode()
        except (RuntimeError, ValueError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"The processes cannot agree on the {name} ({reason}); name it with --log_dir.") from None

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

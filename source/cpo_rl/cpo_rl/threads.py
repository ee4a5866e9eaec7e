# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""How many of the processor's cores torch may take, and processes that take one each."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

FEW_CORES = 4
"""Cores up to which torch leaves all but one to the environments."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_torch_threads(device: str, *, most_cores: int | None = FEW_CORES) -> int | None:
    """Run torch on one thread where environments need the same cores, unless ``OMP_NUM_THREADS`` is set.

    Torch's threads spin while they wait, in the time of whatever steps the environments.

    Args:
        device: Device of the environments.
        most_cores: With more cores than this torch keeps its threads; None limits them everywhere.

    Returns:
        The cores of this process if torch was limited now, else None.
    """
    import torch

    cores = usable_cores()
    many = most_cores is not None and cores > most_cores
    if torch.device(device).type != "cpu" or many or "OMP_NUM_THREADS" in os.environ or torch.get_num_threads() == 1:
        return None
    torch.set_num_threads(1)
    return cores


def worker_processes(count: int) -> ProcessPoolExecutor:
    """Return a pool of processes that end with this one, in whatever way it ends.

    They are spawned, because this process may have threads (torch's, a progress display's). Those of the standard
    library's pool wait for work for ever when their parent was killed.

    Args:
        count: Processes, > 0.
    """
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Start a thread that ends this process once its parent has ended."""
    parent = parent_process()
    assert parent is not None, "called in a worker"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

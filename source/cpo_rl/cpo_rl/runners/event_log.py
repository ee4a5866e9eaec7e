# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""TensorBoard's files of a run, which go on after a disk was full.

TensorBoard writes in a thread that ends at the first error, and the writer is of no use from then on. What it could not
write is lost; the next iteration begins another file, which TensorBoard shows as one curve with those before.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from cpo_rl.runners.metric_charts import tensorboard_layout


def open_event_log(folder: Path, iteration: int, num_policies: int) -> Any:
    """Return a TensorBoard writer.

    Args:
        folder: The run folder.
        iteration: Finished iterations; events of later ones, which are about to be repeated, are hidden.
        num_policies: Policies, for the layout of charts.

    Raises:
        OSError: If the disk is full or read-only.
    """
    from torch.utils.tensorboard import SummaryWriter

    _silence_writing_threads()
    writer = SummaryWriter(str(folder), purge_step=iteration + 1, flush_secs=10)
    writer.add_custom_scalars(tensorboard_layout(num_policies))
    return writer


def abandon(writer: Any) -> None:
    """Let go of a writer whose thread may have ended."""
    with contextlib.suppress(Exception):  # it may raise anything that its thread met
        writer.close()


def _silence_writing_threads() -> None:
    """Keep tracebacks of TensorBoard's threads off the screen: the error is met, and told, with the next event."""
    before = threading.excepthook
    if getattr(before, "__module__", "") == __name__:
        return

    def hook(args: threading.ExceptHookArgs) -> None:
        if type(args.thread).__name__ != "_AsyncWriterThread":
            before(args)

    threading.excepthook = hook

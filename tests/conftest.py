# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What holds for every test: one thread per process, and tests that need more than this machine are skipped."""

from __future__ import annotations

import importlib.util
import os
import signal

import pytest
from hypothesis import settings

# Before torch is imported: on few cores spinning threads slow everything else down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples every time, so that a test run says something about a change; HYPOTHESIS_PROFILE=default draws anew.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


# Tests that are started with nohup hear a hang-up as well: what they start would inherit that it is ignored.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the learning library's tests; skip those marked ``gpu`` or ``kit`` without a CUDA device or Isaac Sim."""
    for item in items:
        if "cpo_rl" in item.path.parts:
            item.add_marker("library")
    if any(item.get_closest_marker("gpu") for item in items) and not _has_cuda():
        _skip(items, "gpu", "needs a CUDA device")
    if importlib.util.find_spec("isaacsim") is None:
        _skip(items, "kit", "needs Isaac Sim")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))

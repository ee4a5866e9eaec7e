# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an environment's step may say besides observations, rewards and ends: entries of its ``extras``, all optional.

docs/any_environment.md lists them for authors of environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensordict import TensorDict
    from torch import Tensor


def quarantined(extras: Mapping[str, Any]) -> Tensor | None:
    """Environments whose step is void (``extras["quarantined"]``, docs/add_a_task.md), bool [N]; None if not said."""
    mask = extras.get("quarantined")
    return None if mask is None else mask.bool()


def quarantine_reasons(extras: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Why, bool [N] by name, the same names in every step (``extras["quarantine_reasons"]``); for counting only."""
    return extras.get("quarantine_reasons") or {}


def idle(extras: Mapping[str, Any]) -> Tensor | None:
    """Environments that only began their next episode in this step (``extras["idle"]``), bool [N]; None if not said.

    Their action was ignored: nothing is learned or counted from the step, and nothing is wrong with it either.
    """
    mask = extras.get("idle")
    return None if mask is None else mask.bool()


def void(extras: Mapping[str, Any]) -> Tensor | None:
    """Environments whose step counts for nothing, :func:`quarantined` or :func:`idle`, bool [N]; None if not said."""
    broken, waiting = quarantined(extras), idle(extras)
    if broken is None or waiting is None:
        return waiting if broken is None else broken
    return broken | waiting.to(broken.device)


def final_observations(extras: Mapping[str, Any]) -> TensorDict | None:
    """Observations that ended episodes (``extras["final_observations"]``), by group, batch [N]; None if not said.

    They are read where ``time_outs`` holds, and may hold anything elsewhere.
    """
    return extras.get("final_observations")

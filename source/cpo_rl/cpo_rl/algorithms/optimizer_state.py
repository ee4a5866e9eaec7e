# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Loading Adam's state from a file that anybody may have written.

torch's fused kernels trust the shapes of the moments and read and write beyond their ends where these are wrong, so
nothing is loaded that was not held against the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps per parameter, in its shape, besides the number of steps."""


def load_optimizer(optimizer: torch.optim.Optimizer, stored: Any) -> None:
    """Restore an Adam's moments and step size; its other settings stay those of this run.

    Args:
        optimizer: Of the same parameters in the same order.
        stored: What its ``state_dict()`` returned.

    Raises:
        ValueError: If something else is stored; nothing is changed then.
    """
    mine = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    groups, states = _entry(stored, "param_groups", list), _entry(stored, "state", dict)
    if len(groups) != len(mine["param_groups"]) or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError("the optimizer has other parameters")
    for number, state in states.items():
        if number not in range(len(parameters)) or not isinstance(state, Mapping):
            raise ValueError("the optimizer has other parameters")
        shape = parameters[number].shape
        fits = all(isinstance(t := state.get(name), torch.Tensor) and t.shape == shape for name in MOMENTS)
        if not fits or set(state) != {"step", *MOMENTS} or _number(state["step"]) < 0:
            raise ValueError(f"the optimizer's moments do not fit parameter {number}")
    rates = [group.get("lr") for group in groups]
    if not all(_number(rate) > 0 for rate in rates):
        raise ValueError("the optimizer has no step size")
    known = zip(mine["param_groups"], rates, strict=True)
    optimizer.load_state_dict({"state": states, "param_groups": [{**group, "lr": rate} for group, rate in known]})


def _entry(stored: Any, name: str, kind: type) -> Any:
    """Return an entry of a kind.

    Raises:
        ValueError: If there is none.
    """
    entry = stored.get(name) if isinstance(stored, Mapping) else None
    if not isinstance(entry, kind):
        raise ValueError(f"the optimizer lacks {name}")
    return entry


def _number(value: Any) -> float:
    """Return a finite number, or a tensor's only one, as a float; -1 for anything else."""
    if isinstance(value, torch.Tensor):
        value = value.item() if value.dim() == 0 and not value.is_complex() else None
    if type(value) not in (int, float):
        return -1.0
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else -1.0

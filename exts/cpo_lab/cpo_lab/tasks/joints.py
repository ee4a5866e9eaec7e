# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Joints by name, because every engine enumerates them in another order, and their angles relative to their limits."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cpo_rl.errors import UserError


def indices_of(wanted: Sequence[str], available: Sequence[str], kind: str) -> torch.Tensor:
    """Return where each name of ``wanted`` stands in ``available``, int64, shape [len(wanted)].

    Raises:
        UserError: If a name is missing, naming it and what there is, so that a robot from another file is easy to fix.
    """
    names = list(available)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UserError(
            f"The robot has no {kind} named {', '.join(missing)}; rename its {kind}s, which are {', '.join(names)}."
        )
    return torch.tensor([names.index(name) for name in wanted])


def scale(values: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Map [-1, 1] to [``lower``, ``upper``]. Shapes broadcast (``torch_jit_utils.py:234``)."""
    return lower + 0.5 * (values + 1.0) * (upper - lower)


def unscale(values: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Map [``lower``, ``upper``] to [-1, 1]; the inverse of :func:`scale` (``torch_jit_utils.py:239``)."""
    return (2.0 * values - upper - lower) / (upper - lower)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Look up joints and links by name, because every engine enumerates them in another order."""

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

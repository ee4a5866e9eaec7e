# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which settings can still change once training was set up: a change acts or is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import limits_of

SEVERAL = ("entropy_coef_scale", "follower_weight", "kl_coef", "kl_form")
"""Fields that act on followers only."""

BORROWED = ("borrowed_weight", "borrowed_clip_center", "borrowed_reference", "learning_rate_rows")
"""Fields that act on borrowed rows only."""

REGRESSION = ("awac_coef", "awac_temperature", "awac_weight_max", "loss_normalization")
"""Fields that act on regression rows only."""

DISCRIMINATOR = (
    "adversarial_coef",
    "adversarial_centered",
    "discriminator_learning_rate",
    "discriminator_mini_batches",
)
"""Fields that act on the discriminator and its reward only."""

REGULATOR = ("coupling_target_kl", "coupling_rate")
"""Fields that act on the regulated coupling only."""


def refuse_changes(
    cfg: EnsembleCfg,
    values: Mapping[str, Any],
    *,
    regresses: bool,
    discriminates: bool,
    regulates: bool,
    recurrent: bool,
) -> None:
    """Refuse new values that would not act any more.

    Args:
        cfg: Settings that training was set up with.
        values: New values by field.
        regresses: Whether there are regression rows.
        discriminates: Whether there is a discriminator.
        regulates: Whether there is a regulated coupling.
        recurrent: Whether the model is recurrent.

    Raises:
        UserError: Naming the first field that differs and cannot change.
    """
    borrows = cfg.borrowed_followers > 0
    lacks = {
        **dict.fromkeys(SEVERAL, "" if cfg.num_policies > 1 else " of one policy"),
        **dict.fromkeys(BORROWED, "" if borrows else " without borrowed rows"),
        **dict.fromkeys(REGRESSION, "" if regresses else " without regression rows"),
        **dict.fromkeys(DISCRIMINATOR, "" if discriminates else " without a discriminator"),
        **dict.fromkeys(REGULATOR, "" if regulates else " without a regulated coupling"),
        "statistics_rows": "" if borrows or regresses else " without relabelled rows",
        "relabel_state": ""
        if recurrent and (borrows or regresses)
        else " without relabelled rows of a recurrent model",
    }
    limits = limits_of(type(cfg))
    for name, value in values.items():
        if value != getattr(cfg, name) and (limits[name].fixed or lacks.get(name)):
            where = f"a run{lacks.get(name, '')}"
            raise UserError(f"algorithm field {name}={value!r} cannot change in {where}; start a new one with it.")

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Named settings of the one ensemble algorithm, so that a comparison compares algorithms and nothing else.

A preset fixes only what distinguishes the algorithms; a task gives the rest (learning rate, coefficients, mini-batches
of PPO). Gradient steps per iteration are epochs times mini-batches: the released CPO makes twice those of SAPG, because
its batch holds twice the rows at the same mini-batch size; the ``*_equal_steps`` and ``*_double_steps`` variants remove
that difference in either direction.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import refuse_unknown

_NOT_REGULATED = {"coupling_target_kl": 0.0}
_PLAIN = {**_NOT_REGULATED, "adversarial_coef": 0.0}
_NO_COUPLING = {**_PLAIN, "awac_coef": 0.0, "kl_coef": 0.0}
_PPO = {**_NO_COUPLING, "num_policies": 1, "borrowed_followers": 0, "entropy_coef_scale": 0.0}

_REFERENCE = {
    **_PLAIN,
    "loss_normalization": "all_rows",
    "statistics_rows": "all",
    "learning_rate_rows": "gradient_rows",
    "learning_rate_reference": "previous_epoch",
    "borrowed_reference": "behavior",
    "borrowed_clip_center": "one",
    "relabel_state": "behavior",
    "kl_form": "sampled",
}

PRESETS: dict[str, dict[str, Any]] = {
    "ppo": _PPO,
    "sapg": _NO_COUPLING,
    "sapg_double_steps": _NO_COUPLING,
    "sapg_reference": {**_REFERENCE, **_NO_COUPLING},
    "cpo": _PLAIN,
    "cpo_equal_steps": _PLAIN,
    "cpo_regulated": {"adversarial_coef": 0.0, "kl_coef": 0.0},
    "cpo_diversity": _NOT_REGULATED,
    "cpo_reference": _REFERENCE,
    "independent": {**_NO_COUPLING, "borrowed_followers": 0},
}
"""Settings that each preset fixes."""

ABOUT: dict[str, tuple[str, str]] = {
    "cpo": (
        "SAPG, and followers regress on the leader's data; twice PPO's mini-batches",
        "the paper's method and the release in effect: its penalty is 0, its diversity reward pays next to nothing",
    ),
    "cpo_regulated": (
        "cpo, and a penalty regulated to hold the followers' mean KL to the leader at a target",
        "the paper's controlled diversity, controlled; the release has a fixed penalty, at 0",
    ),
    "cpo_diversity": (
        "cpo, and followers are paid for being told apart, beyond their mean",
        "the paper's adversarial reward; the release has it with wrong labels and weaker",
    ),
    "cpo_equal_steps": ("cpo with PPO's number of gradient steps", "in neither: removes a difference from SAPG"),
    "cpo_reference": (
        "cpo with the averages, statistics, states and chunks of the release",
        "nearest to the released CPO; its defects stay repaired",
    ),
    "sapg": ("the leader also learns from a follower's data", "the paper's baseline, a paper of its own"),
    "sapg_double_steps": ("sapg with CPO's number of gradient steps", "in neither: removes a difference from CPO"),
    "sapg_reference": (
        "sapg with the statistics, states and chunks of the release",
        "nearest to the released SAPG; the one to compare cpo_reference with",
    ),
    "ppo": ("one policy", "the paper's baseline; the release of CPO cannot run it"),
    "independent": ("policies that share a trunk and nothing else", "in neither: what an ensemble is without exchange"),
}
"""What each preset is, and how that relates to the paper of CPO and to its released code; in reading order."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "cpo_diversity": {"adversarial_coef": 3.0e-4},
    "cpo_regulated": {"coupling_target_kl": 0.3},
}
"""Settings without which a preset would be another one, for tasks that do not give their own."""

REFERENCES = ("cpo_reference", "sapg_reference")
"""Presets in which a task's numbers are the release's also where ours are others by default."""

MINI_BATCH_FACTOR = {"cpo": 2, "cpo_diversity": 2, "cpo_regulated": 2, "cpo_reference": 2, "sapg_double_steps": 2}
"""How many times PPO's mini-batches a preset makes; 1 where absent."""


def preset(name: str, **settings: Any) -> dict[str, Any]:
    """Combine a task's settings with a preset.

    Args:
        name: Key of :data:`PRESETS`.
        settings: The task's field values for CPO, except that ``num_mini_batches`` is PPO's number. What the preset
            fixes wins over them, so a task's ``awac_coef`` does not turn PPO into CPO.

    Returns:
        Field values for :class:`~cpo_rl.config.EnsembleCfg`, with ``algorithm`` set to the name.

    Raises:
        UserError: If there is no such preset or a setting is no field.
    """
    if name not in PRESETS:
        raise UserError(f"Unknown preset {name!r}; choose one of {', '.join(PRESETS)}.")
    refuse_unknown(settings, [f.name for f in dataclasses.fields(EnsembleCfg)], "algorithm")
    values = {**DEFAULTS.get(name, {}), **settings, **PRESETS[name], "algorithm": name}
    values["num_mini_batches"] = settings.get("num_mini_batches", 2) * MINI_BATCH_FACTOR.get(name, 1)
    return values

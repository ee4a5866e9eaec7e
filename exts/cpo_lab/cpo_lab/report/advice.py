# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What to change where the end of a curve looks wrong. Advice says which setting; only a run says whether it helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpo_lab.report.grouping import FINAL_SHARE, Group
from cpo_rl.runs.curves import LEAST_ESS, MOST_CLIPPED
from cpo_rl.runs.metric_names import (
    ACCURACY,
    AWAC_SATURATION,
    CLIPPED_BORROWED,
    ESS_POOLED,
    EXPLAINED_VARIANCE,
    LEARNING_RATE,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Rule:
    """When a curve looks wrong, and what to do."""

    is_wrong: Callable[[Array, Array], bool]
    """Whether it does, from the last tenth of its values and all of them."""
    what: str
    """What is seen, with a place for the median of the last tenth."""
    change: str
    """What to change."""


def _median(late: Array) -> float:
    return float(np.median(late))


def _is_at_floor(late: Array, values: Array) -> bool:
    """Whether a curve that moved lies at its lowest value throughout the end."""
    lowest = float(values.min())
    return len(values) >= 10 and float(values.max()) > 2.0 * lowest and bool((late <= 1.01 * lowest).all())


_CLOSER = "lower agent.algorithm.entropy_coef_scale or agent.algorithm.adversarial_coef, or try --agent cpo_regulated"

_RULES = {
    ESS_POOLED: _Rule(
        lambda late, _: _median(late) < LEAST_ESS, "followers' data are worth {:.1%} of their number", _CLOSER
    ),
    CLIPPED_BORROWED: _Rule(
        lambda late, _: _median(late) > MOST_CLIPPED, "{:.1%} of the borrowed rows are clipped", _CLOSER
    ),
    LEARNING_RATE: _Rule(
        _is_at_floor,
        "the learning rate stays at its lowest value, {:.1e}",
        "updates change the policy more than agent.algorithm.desired_kl allows; use fewer and larger "
        "mini-batches or fewer epochs, or raise agent.algorithm.desired_kl",
    ),
    ACCURACY: _Rule(
        lambda late, _: _median(late) > 0.95,
        "the discriminator is right in {:.1%} of the rows, so its reward no longer tells behaviours apart",
        "lower agent.algorithm.adversarial_coef; 0 switches the reward off",
    ),
    AWAC_SATURATION: _Rule(
        lambda late, _: _median(late) > 0.9,
        "{:.1%} of the regression's weights are at their cap",
        "raise agent.algorithm.awac_temperature",
    ),
    EXPLAINED_VARIANCE: _Rule(
        lambda late, _: _median(late) < 0.0,
        "the critic predicts worse than the mean return would ({:.2f})",
        "look at the reward's scale (agent.algorithm.reward_scale) and at what the critic sees",
    ),
}


def advice(groups: Sequence[Group], tag: str) -> tuple[str, ...]:
    """Advise on one metric.

    Args:
        groups: Groups of one task.
        tag: The metric.

    Returns:
        A sentence for every group in which at least half of the seeds look wrong at the end; empty for a metric that
        nothing is known about.
    """
    rule = _RULES.get(tag)
    found = (_of_group(group, tag, rule) for group in groups) if rule else ()
    return tuple(sentence for sentence in found if sentence)


def _of_group(group: Group, tag: str, rule: _Rule) -> str:
    wrong, known = [], 0
    for run in group.runs:
        curve = run.curve(tag)
        values = curve[np.isfinite(curve)] if curve is not None else np.zeros(0)
        if not values.size:
            continue
        known += 1
        late = values[-max(1, round(FINAL_SHARE * values.size)) :]
        if rule.is_wrong(late, values):
            wrong.append(_median(late))
    if not wrong or 2 * len(wrong) < known:
        return ""
    seeds = f" ({len(wrong)} of {known} seeds)" if known > 1 else ""
    return f"{group.label}{seeds}: {rule.what.format(float(np.median(wrong)))}. Try: {rule.change}."

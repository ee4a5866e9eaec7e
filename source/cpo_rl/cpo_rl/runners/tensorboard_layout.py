# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Charts for TensorBoard's tab "Custom Scalars": what an ensemble is judged by, in reading order, with units.

The tab "Scalars" shows every tag by itself. Here tags that belong together share a chart: all policies' returns, the
worth of every follower's data, accuracy against chance.
"""

from __future__ import annotations

from typing import Any

Layout = dict[str, dict[str, list[Any]]]
"""Category to chart title to ["Multiline", patterns of tags], as `SummaryWriter.add_custom_scalars` takes it."""

_ALWAYS: dict[str, dict[str, list[str]]] = {
    "1 Leader": {
        "return [reward per episode]": [r"Leader/return$"],
        "successes and other task metrics [per episode]": [
            r"Leader/(?!return$|episode_length$|std$|entropy$).+",
        ],
        "episode length [steps]": [r"Leader/episode_length$"],
    },
    "4 Optimization": {
        "learning rate": [r"Optimization/learning_rate$"],
        "KL of an update [nats]": [r"Optimization/kl$"],
        "gradient norm before clipping": [r"Optimization/grad_norm$"],
        "explained variance of the critic [share]": [r"Value/explained_variance$"],
        "updates held back by the finite guard [count]": [r"Optimization/skipped_updates$"],
        "loss terms": [r"Loss/.+"],
    },
    "5 Speed": {
        "environment steps per second": [r"Perf/env_steps_per_s$"],
        "time per iteration [s]": [r"Perf/(collection|update)_s$"],
    },
}

_ENSEMBLE: dict[str, dict[str, list[str]]] = {
    "2 Policies": {
        "return of each policy [reward per episode]": [r"Policy_\d+/return$"],
        "task metrics of each policy [per episode]": [r"Policy_\d+/(?!return$|std$|entropy$|episode_length$).+"],
        "action noise of each policy [standard deviation]": [r"Policy_\d+/std$"],
        "entropy of each policy [nats]": [r"Policy_\d+/entropy$"],
    },
    "3 Coupling": {
        "mean inter-policy KL [nats]": [r"Ensemble/kl_mean$"],
        "KL of each follower to the leader [nats]": [r"Ensemble/kl_to_leader_\d+$"],
        "effective sample size of followers' data for the leader [share]": [
            r"Ensemble/ess_\d+$",
            r"Ensemble/ess_pooled$",
        ],
        "importance ratio, mean distance from 1": [r"Ensemble/importance_deviation_\d+$"],
        "importance ratio, variance of its logarithm": [r"Ensemble/importance_log_var_\d+$"],
        "rows outside the clip range [share]": [r"Ensemble/clipped_fraction_(follower|leader|borrowed)$"],
        "AWAC weights at their cap [share]": [r"Ensemble/awac_saturation$"],
        "discriminator accuracy and chance [share]": [r"Discriminator/(accuracy|chance)$"],
        "share of the gradient from borrowed rows": [r"Ensemble/borrowed_gradient_share$"],
    },
}


def tensorboard_layout(num_policies: int) -> Layout:
    """Return the charts of a run.

    Args:
        num_policies: Policies M; charts about the ensemble are left out for one policy.

    Returns:
        Layout for `SummaryWriter.add_custom_scalars`, categories in reading order.

    Raises:
        ValueError: If ``num_policies`` is below 1.
    """
    if num_policies < 1:
        raise ValueError(f"num_policies must be at least 1, not {num_policies}.")
    categories = {**_ALWAYS, **(_ENSEMBLE if num_policies > 1 else {})}
    return {
        name: {title: ["Multiline", patterns] for title, patterns in charts.items()}
        for name, charts in sorted(categories.items())
    }


def add_tensorboard_layout(writer: Any, num_policies: int) -> bool:
    """Write the charts into an event log.

    Args:
        writer: `torch.utils.tensorboard.SummaryWriter` or something like it.
        num_policies: Policies M.

    Returns:
        Whether the writer knows custom charts; writers of other services do not.
    """
    if not hasattr(writer, "add_custom_scalars"):
        return False
    writer.add_custom_scalars(tensorboard_layout(num_policies))
    return True

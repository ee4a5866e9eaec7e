# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The charts exist in the event log and find the tags that training writes, each in one chart."""

from __future__ import annotations

import re

import pytest
from torch.utils.tensorboard import SummaryWriter

from cpo_rl.runners.metric_charts import tensorboard_layout
from cpo_rl.runs.metric_names import SECTIONS

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
layout_pb2 = pytest.importorskip("tensorboard.plugins.custom_scalar.layout_pb2")

TAGS = (
    *("Leader/return", "Leader/episode_length", "Leader/successes", "Leader/std"),
    *("Policy_0/return", "Policy_11/return", "Policy_0/successes", "Policy_0/std", "Policy_0/entropy"),
    *("Ensemble/kl_mean", "Ensemble/kl_to_leader_0", "Ensemble/ess_0", "Ensemble/ess_pooled"),
    *("Ensemble/importance_deviation_0", "Ensemble/importance_log_var_0", "Ensemble/clipped_fraction_borrowed"),
    *("Ensemble/clipped_fraction_leader", "Ensemble/clipped_fraction_follower", "Ensemble/awac_weight"),
    *("Ensemble/awac_saturation", "Ensemble/borrowed_gradient_share", "Discriminator/accuracy", "Discriminator/chance"),
    *("Discriminator/bonus", "Discriminator/loss", "Leader/entropy", "Policy_3/episode_length"),
    *("Optimization/learning_rate", "Optimization/kl", "Optimization/grad_norm", "Optimization/skipped_updates"),
    *("Value/explained_variance", "Loss/value", "Loss/my_term", "Perf/env_steps_per_s", "Perf/update_s"),
    *("Perf/collection_s", "Perf/total_env_steps", "Train/mean_reward", "Train/mean_episode_length"),
    *("Policy/mean_std", "Rnd/weight", "Task/goal_distance", "My/metric", "Ensemble/of_my_own"),
    *("Ensemble/coupling_kl", "Ensemble/coupling_kl_0", "Ensemble/coupling_coef", "Ensemble/coupling_coef_3"),
    *("Env/quarantined", "Env/quarantined_reward", "Env/quarantined_my_reason"),
)


def charts(num_policies):
    return {t: patterns for c in tensorboard_layout(num_policies).values() for t, (_, patterns) in c.items()}


def matched(patterns):
    # TensorBoard matches from the beginning of a tag.
    return {tag for tag in TAGS for pattern in patterns if re.match(pattern, tag)}


def test_leader_comes_first_and_everything_has_a_chart():
    layout = tensorboard_layout(6)
    assert next(iter(layout)) == "1 Leader"
    assert list(layout) == [f"{k} {section}" for k, section in enumerate(SECTIONS, start=1)]
    shown = set().union(*(matched(patterns) for patterns in charts(6).values()))
    assert shown == set(TAGS)


def test_every_chart_shows_something_and_only_its_own():
    for title, patterns in charts(6).items():
        assert matched(patterns), title
    assert sum(len(matched(patterns)) for patterns in charts(6).values()) == len(TAGS), "a tag has two charts"
    assert matched(charts(6)["Return of each policy [reward per episode]"]) == {"Policy_0/return", "Policy_11/return"}
    assert matched(charts(6)["Successes and other task metrics [per episode]"]) == {"Leader/successes"}
    assert matched(charts(6)["Update KL [nats]"]) == {"Optimization/kl"}
    assert matched(charts(6)["Other metrics"]) == {"My/metric", "Ensemble/of_my_own"}


def test_one_policy_has_no_charts_about_an_ensemble():
    assert [name for name in tensorboard_layout(1) if "Policies" in name or "Coupling" in name] == []
    with pytest.raises(ValueError, match="num_policies"):
        tensorboard_layout(0)


def test_layout_is_read_back_from_the_event_log(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_custom_scalars(tensorboard_layout(6))
        writer.add_scalar("Leader/return", 1.0, 1)
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    content = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = layout_pb2.Layout.FromString(content)
    assert [category.title for category in layout.category] == list(tensorboard_layout(6))
    assert layout.category[0].chart[0].multiline.tag == [r"Leader/return$"]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The table of metrics: rows are found, open names become titles."""

from __future__ import annotations

import pytest

from cpo_rl.runs import metric_names
from cpo_rl.runs.metric_names import METRICS, SECTIONS, find, in_order, row_of


def test_every_row_is_found_by_its_own_tag_and_stands_in_its_section():
    filled = {"<i>": "4", "<name>": "spin", "<success>": "success_rate"}
    for metric in METRICS:
        tag = metric.tag
        for placeholder, text in filled.items():
            tag = tag.replace(placeholder, text)
        assert row_of(tag) is metric, tag
        assert row_of(metric.tag) is metric
    sections = [metric.section for metric in METRICS]
    assert sections == sorted(sections, key=SECTIONS.index)
    assert len({metric.tag for metric in METRICS}) == len(METRICS)
    assert len({metric.title for metric in METRICS if not metric.is_open}) == sum(not m.is_open for m in METRICS)


@pytest.mark.parametrize(
    ("tag", "row", "title", "unit"),
    [
        ("Policy_3/return", "Policy_<i>/return", "Return of each policy", "reward per episode"),
        ("Policy_3/keypoint_error", "Policy_<i>/keypoint_error", "Keypoint error of each policy", None),
        ("Leader/success_rate", "Leader/success_rate", "Leader success rate", "success rate"),
        ("Leader/objective", "Leader/objective", "Leader objective", "objective per episode"),
        ("Task/reward_lifting", "Task/reward_lifting", "Task reward lifting", ""),
        ("Loss/my_term", "Loss/my_term", "Loss: my term", ""),
        ("My/own_metric", "My/own_metric", "My own metric", ""),
    ],
)
def test_open_names_become_titles(tag, row, title, unit):
    assert (find(tag).tag, find(tag).title) == (row, title)
    assert unit is None or find(tag).unit == unit


def test_a_tag_without_a_row_is_one_more_metric_with_its_tag_as_label():
    assert row_of("My/metric") is None
    assert find("My/metric").section == "More metrics"
    assert find("My/metric").axis_label == "My/metric"


def test_a_count_of_successes_compares_algorithms_and_other_reports_of_a_task_do_not():
    assert [find(f"Leader/{name}").compared for name in ("return", "successes", "success_rate", "objective")] == [
        *(True, True, True),
        False,
    ]


def test_reading_order():
    tags = ["My/b", "Task/z", "Task/a", "Policy_1/std", "Policy_0/std", "Leader/return", "Loss/value"]
    order = ["Leader/return", "Policy_<i>/std", "Loss/value", "Task/a", "Task/z", "My/b"]
    assert [metric.tag for metric in in_order(tags)] == order


def test_policies_are_counted_from_their_tags():
    assert metric_names.policies_in(["Policy_0/return", "Policy_11/std", "Leader/return"]) == 12
    assert metric_names.policies_in(["Leader/return", "Policy_99999999/return"]) == 1


def test_a_tag_of_rsl_rls_own_names_ours():
    replaced = {metric.tag: metric.instead_of for metric in METRICS if metric.instead_of}
    assert replaced["Train/mean_reward"] == "Leader/return"
    assert all(row_of(tag) for tag in replaced.values())

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Charts for TensorBoard's tab "Custom Scalars", made from the table of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cpo_rl.runs.metric_names import METRICS, MORE, SECTIONS, Metric, pattern_of


def tensorboard_layout(num_policies: int) -> dict[str, dict[str, list[Any]]]:
    """Return the charts of TensorBoard's tab "Custom Scalars", where tags that belong together share a chart.

    Args:
        num_policies: Policies M; charts about the ensemble are left out for one policy.

    Returns:
        Category to chart to ["Multiline", patterns of tags], as ``SummaryWriter.add_custom_scalars`` takes it,
        categories in reading order. Every metric has a chart, also one that the table does not know.

    Raises:
        ValueError: If ``num_policies`` is below 1.
    """
    if num_policies < 1:
        raise ValueError(f"num_policies must be at least 1, not {num_policies}.")
    described = [metric for metric in METRICS if num_policies > 1 or not metric.needs_ensemble]
    charts: dict[str, dict[str, list[Metric]]] = {}
    for metric in described:
        category = charts.setdefault(_category(metric.section), {})
        category.setdefault(metric.chart or f"{metric.title} [{metric.unit}]", []).append(metric)
    layout: dict[str, dict[str, list[Any]]] = {
        category: {title: ["Multiline", _chart_patterns(metrics)] for title, metrics in titles.items()}
        for category, titles in charts.items()
    }
    layout[_category(MORE)] = {"Other metrics": ["Multiline", [_excluding(described) + ".+$"]]}
    return layout


def _category(section: str) -> str:
    return f"{SECTIONS.index(section) + 1} {section}"


def _chart_patterns(metrics: list[Metric]) -> list[str]:
    """Return the regular expressions of a chart; one with an open name covers the others of its group."""
    patterns = []
    groups = {metric.tag.split("/")[0]: metric for metric in metrics if metric.tag.endswith("<name>")}
    for metric in metrics:
        group = metric.tag.split("/")[0]
        if groups.get(group) is metric:
            elsewhere = [other for other in METRICS if other.tag.startswith(f"{group}/") and other not in metrics]
            patterns.append(_excluding(elsewhere) + pattern_of(metric.tag) + "$")
        elif group not in groups:
            patterns.append(pattern_of(metric.tag) + "$")
    return patterns


def _excluding(metrics: Iterable[Metric]) -> str:
    """Return the beginning of a regular expression that fits none of these metrics."""
    others = "|".join(pattern_of(metric.tag) for metric in metrics)
    return f"(?!(?:{others})$)" if others else ""

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.episodes import LastEpisodes
from cpo_rl.distributed import Ranks
from cpo_rl.formulas.targets import explained_variance


class Recording(Ranks):
    """Keeps what this rank contributes."""

    def mean(self, tensor: Tensor) -> Tensor:
        self.given = tensor.clone()
        return tensor


class Averaging(Ranks):
    """Averages with what another rank contributed."""

    def __init__(self, other: Tensor) -> None:
        super().__init__(None)
        self.other = other

    def mean(self, tensor: Tensor) -> Tensor:
        return (tensor + self.other) / 2.0


def contribution(finished: list[bool]) -> DeviceMetrics:
    """Four environments of two policies; returns of finished episodes are 1, 2, 3, 4."""
    episodes = LastEpisodes(4, 2, "cpu")
    episodes.step(
        torch.tensor([1.0, 2.0, 3.0, 4.0]),
        torch.tensor(finished),
        {"episode_metrics": {"successes": torch.full((4,), 5.0)}},
    )
    metrics = DeviceMetrics("cpu")
    for name, (total, count) in episodes.per_policy().items():
        metrics.ratio(name, total, count)
    return metrics


def test_a_rank_without_finished_episodes_spoils_no_mean():
    other = Recording(None)
    contribution([False, False, False, False]).read(other)
    _, arrays = contribution([True, True, False, True]).read(Averaging(other.given))
    assert arrays["return"].tolist() == [1.5, 4.0]
    assert arrays["successes"].tolist() == [5.0, 5.0]


def test_episodes_of_all_ranks_count_alike():
    other = Recording(None)
    contribution([True, False, False, True]).read(other)
    _, arrays = contribution([True, True, False, True]).read(Averaging(other.given))
    assert arrays["return"].tolist() == pytest.approx([(1.0 + 1.0 + 2.0) / 3.0, 4.0])


def test_a_policy_without_finished_episodes_is_nan():
    _, arrays = contribution([True, True, False, False]).read(Ranks(None))
    assert arrays["return"].tolist()[0] == 1.5
    assert math.isnan(arrays["return"].tolist()[1])


def test_reading_starts_over():
    metrics = contribution([True] * 4)
    metrics.add("loss", torch.tensor(1.0))
    metrics.add("loss", torch.tensor(3.0))
    scalars, _ = metrics.read(Ranks(None))
    assert scalars == {"loss": 2.0}
    assert metrics.read(Ranks(None)) == ({}, {})


def test_a_name_in_different_companies_counts_all_its_samples():
    """Mini-batches without a row of some role report fewer terms."""
    metrics = DeviceMetrics("cpu")
    for values in ({"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 7.0}, {"a": 8.0}):
        metrics.add_all({name: torch.tensor(value) for name, value in values.items()})
    assert metrics.read(Ranks(None))[0] == {"a": 4.0, "b": 6.0}


def test_forgotten_names_are_not_reported():
    metrics = DeviceMetrics("cpu")
    metrics.add_all({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    metrics.read(Ranks(None))
    metrics.forget()
    metrics.add_all({"a": torch.tensor(3.0)})
    assert metrics.read(Ranks(None))[0] == {"a": 3.0}


def test_explained_variance_by_hand():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert float(explained_variance(returns, returns)) == 1.0
    assert float(explained_variance(torch.zeros(3), returns)) == 0.0
    # errors 0.5, 0, -0.5 have variance 0.25 of the returns' 1
    assert float(explained_variance(torch.tensor([0.5, 2.0, 3.5]), returns)) == pytest.approx(0.75)
    assert math.isnan(float(explained_variance(returns, torch.ones(3))))

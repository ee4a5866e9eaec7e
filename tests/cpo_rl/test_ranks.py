# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The functions that ranks share, with the collective calls replaced by those of two ranks with equal data."""

from __future__ import annotations

import pytest
import torch

from cpo_rl.distributed import Ranks


@pytest.fixture
def twins(monkeypatch) -> Ranks:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor.mul_(2.0))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: tensor.fill_(9.0))
    return Ranks({"global_rank": 1, "local_rank": 1, "world_size": 2})


def test_alone_everything_stays_as_it_is():
    alone, x = Ranks(None), torch.tensor([1.0, 2.0])
    assert not alone.several
    assert alone.sum(x) is x
    assert alone.mean(x) is x
    alone.broadcast([x])
    parameter = torch.nn.Parameter(x.clone())
    alone.average_gradients([parameter])
    assert x.tolist() == [1.0, 2.0]
    assert parameter.grad is None


def test_sums_and_means(twins):
    assert twins.several
    assert twins.sum(torch.tensor([1.0])).tolist() == [2.0]
    assert twins.mean(torch.tensor([1.0, 3.0])).tolist() == [1.0, 3.0]


def test_gradients_are_averaged_in_one_message(monkeypatch, twins):
    messages = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda t: messages.append(t.numel()) or t.mul_(2.0).add_(1.0))
    shapes = [(2, 3), (4,), (1,)]
    parameters = [torch.nn.Parameter(torch.zeros(s)) for s in shapes]
    for parameter in parameters[:2]:
        parameter.grad = torch.ones_like(parameter)
    twins.average_gradients(parameters)
    assert messages == [10]
    assert all(torch.equal(p.grad, torch.full_like(p, 1.5)) for p in parameters[:2])
    assert parameters[2].grad is None


def test_rank_zeros_values_arrive(twins):
    x = torch.zeros(2)
    twins.broadcast([x])
    assert x.tolist() == [9.0, 9.0]

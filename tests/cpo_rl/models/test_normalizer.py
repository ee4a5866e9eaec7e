# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import pytest
import torch

from cpo_rl.distributed import Ranks
from cpo_rl.models import RunningNormalizer

ALONE = Ranks(None)


class Twins(Ranks):
    """Two ranks that hold the same data."""

    def __init__(self) -> None:
        super().__init__({"global_rank": 0, "local_rank": 0, "world_size": 2})

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.mul_(2.0)


def test_two_ranks_merge_like_one_that_saw_everything():
    x = torch.randn(50, 3, dtype=torch.float64) * 2.0 + 7.0
    mine, whole = RunningNormalizer(3), RunningNormalizer(3)
    mine.gather(x)
    mine.commit(Twins())
    whole.gather(torch.cat((x, x)))
    whole.commit(ALONE)
    for name, buffer in whole.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], buffer, rtol=1.0e-12, atol=1.0e-12)


def test_statistics_take_effect_only_at_the_commit():
    normalizer = RunningNormalizer(2)
    x = torch.randn(20, 2) + 5.0
    before = normalizer.normalize(x)
    normalizer.gather(x)
    assert torch.equal(normalizer.normalize(x), before)
    normalizer.commit(ALONE)
    assert not torch.equal(normalizer.normalize(x), before)
    assert float(normalizer.pending_count) == 0.0


def test_a_batch_with_a_bad_number_is_left_out_whole():
    normalizer = RunningNormalizer(2)
    normalizer.gather(torch.ones(4, 2))
    normalizer.gather(torch.tensor([[1.0, float("inf")], [1.0, 1.0]]))
    assert float(normalizer.pending_count) == 4.0
    normalizer.commit(ALONE)
    assert all(b.isfinite().all() for b in normalizer.state_dict().values())


def test_nothing_gathered_changes_nothing():
    normalizer = RunningNormalizer(2)
    before = {k: v.clone() for k, v in normalizer.state_dict().items()}
    normalizer.commit(ALONE)
    assert all(torch.equal(v, before[k]) for k, v in normalizer.state_dict().items())


def test_denormalizing_inverts_normalizing_within_the_clip():
    normalizer = RunningNormalizer(1, clip=5.0)
    normalizer.gather(torch.randn(1000, 1) * 3.0 + 10.0)
    normalizer.commit(ALONE)
    x = torch.tensor([[4.0], [10.0], [20.0]])
    assert torch.allclose(normalizer.denormalize(normalizer.normalize(x)), x, atol=1.0e-4)
    assert float(normalizer.normalize(torch.tensor([[1.0e6]]))) == pytest.approx(5.0)


def test_large_offsets_lose_no_precision():
    """Statistics are float64: a mean of 1e6 with a spread of 1e-2 is still resolved."""
    normalizer = RunningNormalizer(1)
    x = 1.0e6 + 0.01 * torch.randn(10_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for part in x.split(1000):
        normalizer.gather(part)
    normalizer.mean.fill_(1.0e6)  # without the pull of the start value
    normalizer.count.fill_(1.0e-12)
    normalizer.commit(ALONE)
    assert float(normalizer.var) == pytest.approx(float(x.var()), rel=1.0e-3)

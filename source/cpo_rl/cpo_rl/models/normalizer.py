# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Running statistics that are gathered during an iteration and take effect at its end.

Keeping them fixed while a batch is collected and learned from makes the training forward reproduce the rollout's
log-probabilities exactly. The reference instead updates them inside the first pass, once more on already normalized
inputs (docs/fidelity.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cpo_rl.distributed import Ranks


class RunningNormalizer(nn.Module):
    """Mean and variance of a stream of vectors, merged batch by batch in float64.

    Starts as mean 0, variance 1, count 1, and normalizes to clamp((x - mean) / sqrt(var + eps), -clip, clip).

    Args:
        size: Length D of a vector.
        clip: Largest magnitude of a normalized entry, above 0.
        eps: Added to the variance, above 0.

    Source: running_mean_std.py:24-88 (formula and constants).
    """

    mean: Tensor
    var: Tensor
    count: Tensor
    pending_count: Tensor
    pending_mean: Tensor
    pending_m2: Tensor

    def __init__(self, size: int, clip: float = 5.0, eps: float = 1.0e-5) -> None:
        super().__init__()
        self.clip = clip
        self.eps = eps
        for name, start in (("mean", 0.0), ("var", 1.0), ("pending_mean", 0.0), ("pending_m2", 0.0)):
            self.register_buffer(name, torch.full((size,), start, dtype=torch.float64))
        self.register_buffer("count", torch.ones((), dtype=torch.float64))
        self.register_buffer("pending_count", torch.zeros((), dtype=torch.float64))

    def normalize(self, x: Tensor) -> Tensor:
        """Normalize and clip [..., D]."""
        std = (self.var + self.eps).sqrt()
        return ((x - self.mean.to(x.dtype)) / std.to(x.dtype)).clamp(-self.clip, self.clip)

    def denormalize(self, y: Tensor) -> Tensor:
        """Invert :meth:`normalize` on [..., D]; entries beyond the clip are clipped first."""
        std = (self.var + self.eps).sqrt()
        return y.clamp(-self.clip, self.clip) * std.to(y.dtype) + self.mean.to(y.dtype)

    @torch.no_grad()
    def gather(self, x: Tensor, valid: Tensor | None = None) -> None:
        """Add rows [n, D] to the pending statistics; a batch with a non-finite entry is left out whole.

        Args:
            x: The rows, [..., D].
            valid: 1 for rows that count, 0 for void ones, as many as rows; None for all.
        """
        x = x.reshape(-1, x.shape[-1]).to(torch.float64)
        weight = torch.ones_like(x[:, :1]) if valid is None else valid.reshape(-1, 1).to(torch.float64)
        count = weight.sum()
        mean = (x * weight).sum(0) / count.clamp(min=1.0)
        self.gather_moments(count, mean, ((x - mean).square() * weight).sum(0))

    @torch.no_grad()
    def gather_moments(self, count: Tensor, mean: Tensor, m2: Tensor) -> None:
        """Add a batch given by count, mean [D] and summed squared deviation [D] to the pending statistics."""
        good = torch.isfinite(m2).all() & torch.isfinite(mean).all()
        merged = _merge((self.pending_count, self.pending_mean, self.pending_m2), (count, mean, m2))
        for old, new in zip((self.pending_count, self.pending_mean, self.pending_m2), merged, strict=True):
            old.copy_(torch.where(good, new, old))

    @torch.no_grad()
    def commit(self, ranks: Ranks) -> None:
        """Merge what was gathered, on all ranks, into the statistics in effect."""
        pending = (self.pending_count, self.pending_mean, self.pending_m2)
        if ranks.several:
            count = ranks.sum(self.pending_count.clone())
            safe = count.clamp(min=1.0)
            mean = ranks.sum(self.pending_mean * self.pending_count) / safe
            spread = self.pending_m2 + self.pending_count * (self.pending_mean - mean).square()
            pending = (count, mean, ranks.sum(spread))
        # the start value counts as one sample, as in the reference; its unbiased batch variance is m2 / (n - 1)
        count, mean, m2 = pending
        unbiased = m2 * count / (count - 1.0).clamp(min=1.0)
        total, new_mean, new_m2 = _merge((self.count, self.mean, self.var * self.count), (count, mean, unbiased))
        self.count.copy_(total)
        self.mean.copy_(new_mean)
        self.var.copy_(new_m2 / total)
        for buffer in (self.pending_count, self.pending_mean, self.pending_m2):
            buffer.zero_()


def _merge(a: tuple[Tensor, Tensor, Tensor], b: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Combine (count, mean, summed squared deviation) of two batches (Chan et al. 1979)."""
    count = a[0] + b[0]
    safe = count.clamp(min=1.0e-300)
    delta = b[1] - a[1]
    return count, a[1] + delta * (b[0] / safe), a[2] + b[2] + delta.square() * (a[0] * b[0] / safe)

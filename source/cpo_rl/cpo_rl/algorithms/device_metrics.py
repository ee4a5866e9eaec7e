# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Scalars gathered on the device and read once per iteration."""

from __future__ import annotations

import torch
from torch import Tensor

from cpo_rl.distributed import Ranks


class DeviceMetrics:
    """Collects device scalars under names and reads them with a single transfer.

    Args:
        device: Where the scalars live.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._vectors: dict[tuple[str, ...], Tensor] = {}
        self._arrays: dict[str, Tensor] = {}
        self._ratios: set[str] = set()
        self._per_policy: list[str] = []

    def add(self, name: str, value: Tensor) -> None:
        """Add one sample of a scalar whose mean is reported."""
        value = value.detach()
        self._sums[name] = value if name not in self._sums else self._sums[name] + value
        self._counts[name] = self._counts.get(name, 0) + 1

    def add_all(self, values: dict[str, Tensor]) -> None:
        """Add one sample of several scalars that always come together.

        Their sums live in one vector at a fixed address, with the number of samples as its last entry, so that a step
        recorded as a CUDA graph adds to them when it is replayed.
        """
        names = tuple(values)
        scalars = [v.detach().to(torch.float64) for v in values.values()]
        if names not in self._vectors:
            self._vectors[names] = torch.zeros(len(names) + 1, device=self.device, dtype=torch.float64)
        self._vectors[names] += torch.stack([*scalars, torch.ones_like(scalars[0])])

    def array(self, name: str, value: Tensor) -> None:
        """Report an array of numbers as it is."""
        self._arrays[name] = value.detach()

    def ratio(self, name: str, total: Tensor, count: Tensor) -> None:
        """Report an array of means as sums over counts, so that a process that counted nothing spoils no mean."""
        self.array(name, torch.stack((total, count)))
        self._ratios.add(name)

    def per_policy(self, name: str, value: Tensor, count: Tensor | None = None) -> None:
        """Report a number of every policy [M], or the mean of sums [M] over counts [M].

        The leader's comes out as ``Leader/<name>``, and where there are several policies each as ``Policy_<i>/<name>``.
        """
        self._per_policy.append(name)
        if count is None:
            self.array(name, value)
        else:
            self.ratio(name, value, count)

    def read(self, ranks: Ranks) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Transfer everything at once and start over.

        Returns:
            Means by name, averaged over ranks, and arrays by name on the host; a ratio is NaN where nothing counted.
        """
        names = list(self._sums)
        parts = [torch.stack([(s / self._counts[n]) for n, s in self._sums.items()]).to(torch.float64)] if names else []
        group, means = self._means()
        names += group
        parts += means
        parts += [a.reshape(-1).to(torch.float64) for a in self._arrays.values()]
        if not parts:
            return {}, {}
        flat = ranks.mean(torch.cat(parts)).cpu()  # the one device-to-host read of an update
        scalars = dict(zip(names, flat.tolist(), strict=False))
        arrays, start = {}, len(names)
        for name, array in self._arrays.items():
            arrays[name] = flat[start : start + array.numel()].view(array.shape)
            start += array.numel()
        for name in self._ratios:
            arrays[name] = arrays[name][0] / arrays[name][1]
        for name in self._per_policy:
            scalars.update(_by_policy(name, arrays.pop(name).tolist()))
        self._ratios, self._per_policy = set(), []
        self._sums, self._counts, self._arrays = {}, {}, {}
        for vector in self._vectors.values():
            vector.zero_()
        return scalars, arrays

    def _means(self) -> tuple[list[str], list[Tensor]]:
        """Names and means of what :meth:`add_all` got; a name that came in different companies counts all samples."""
        names = list(dict.fromkeys(name for group in self._vectors for name in group))
        if len(self._vectors) < 2:
            return names, [vector[:-1] / vector[-1] for vector in self._vectors.values()]
        sums = torch.zeros(2, len(names), device=self.device, dtype=torch.float64)
        for group, vector in self._vectors.items():
            places = [names.index(name) for name in group]
            sums[0, places] += vector[:-1]
            sums[1, places] += vector[-1]
        return names, [sums[0] / sums[1]]

    def forget(self) -> None:
        """Drop the names of :meth:`add_all`, because others will come; recorded steps that add to them must go, too."""
        self._vectors.clear()


def _by_policy(name: str, values: list[float]) -> dict[str, float]:
    """Tags and values of a number of every policy, the leader last."""
    policies = {f"Policy_{i}/{name}": value for i, value in enumerate(values)} if len(values) > 1 else {}
    return {f"Leader/{name}": values[-1], **policies}

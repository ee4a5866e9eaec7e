# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Gradient steps as CUDA graphs: recorded once per mini-batch size, then replayed without Python or launch costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.roles import MiniBatch

WARM_UP = 3
"""Steps made as usual before a size is recorded, so that everything lazily allocated exists."""


class RecordedStep:
    """Replays a gradient step.

    The step must read and write only tensors whose addresses stay, apart from the mini-batch, which is copied into
    buffers of its own. A step of a few hundred kernels is bound by their launch on a GPU; its replay is not.

    Args:
        step: Makes a gradient step from (mini-batch, reference policies, metrics).
        device: The GPU.
    """

    def __init__(self, step: Callable[[MiniBatch, Tensor, DeviceMetrics], None], device: torch.device) -> None:
        self.step = step
        self.device = device
        self._seen: dict[tuple[int, ...], int] = {}
        self._recorded: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, MiniBatch, Tensor]] = {}

    def forget(self) -> None:
        """Drop recordings, because tensors they refer to were replaced."""
        self._seen.clear()
        self._recorded.clear()

    def __call__(self, batch: MiniBatch, reference: Tensor, metrics: DeviceMetrics) -> None:
        """Make a step on a mini-batch: as usual the first times, recorded or replayed later."""
        key = batch.sizes
        if self._seen.get(key, 0) < WARM_UP:
            self._seen[key] = self._seen.get(key, 0) + 1
            self._warm_up(batch, reference, metrics)
            return
        if key not in self._recorded:
            values: dict[str, Any] = {f.name: _copy(getattr(batch, f.name)) for f in fields(batch)}
            own = MiniBatch(**values)
            own_reference, graph = reference.clone(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step(own, own_reference, metrics)
            self._recorded[key] = (graph, own, own_reference)
        graph, own, own_reference = self._recorded[key]
        for f in fields(batch):
            mine = getattr(own, f.name)
            if isinstance(mine, Tensor):
                mine.copy_(getattr(batch, f.name))
        own_reference.copy_(reference)
        graph.replay()

    def _warm_up(self, batch: MiniBatch, reference: Tensor, metrics: DeviceMetrics) -> None:
        """A usual step on a side stream, as recording demands."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            self.step(batch, reference, metrics)
        torch.cuda.current_stream(self.device).wait_stream(stream)


def _copy(value: object) -> object:
    return value.clone() if isinstance(value, Tensor) else value

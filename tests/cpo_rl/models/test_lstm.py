# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""All ways to run an LSTM are the same function, and each runs where it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cpo_rl.benchmark import HostReads
from cpo_rl.config import ModelCfg
from cpo_rl.models import lstm
from cpo_rl.models.trunk import Trunk

ROWS, STEPS, OBS, POLICIES, UNITS = 9, 7, 5, 3, 12


def make(dtype: torch.dtype, layers: int = 1) -> tuple[Trunk, dict[str, Any]]:
    """A recurrent trunk and something to run it on."""
    torch.manual_seed(0)
    cfg = ModelCfg(hidden_dims=[6], embedding_dim=4, rnn_type="lstm", rnn_hidden_dim=UNITS, rnn_num_layers=layers)
    trunk = Trunk(OBS, cfg).to(dtype)
    inputs = torch.cat((torch.randn(ROWS, STEPS, OBS), torch.zeros(ROWS, STEPS, 3)), -1).to(dtype)
    inputs[torch.arange(ROWS), :, OBS + torch.arange(ROWS) % POLICIES] = 1.0
    state = tuple(torch.randn(layers, ROWS, UNITS, dtype=dtype) for _ in range(2))
    return trunk, {"inputs": inputs, "vectors": torch.randn(POLICIES, 4, dtype=dtype), "state": state}


def some_resets(rows: list[int]) -> torch.Tensor:
    """Starts of episodes in some rows, some of them before the first step."""
    resets = torch.zeros(ROWS, STEPS, dtype=torch.bool)
    for number, row in enumerate(rows):
        resets[row, number % STEPS] = True
        resets[row, (3 * number + 1) % STEPS] = True
    return resets


def results(trunk: Trunk, case: dict[str, Any], resets: torch.Tensor | None) -> list[torch.Tensor]:
    """Features, last state and gradients of everything, of a loss that depends on all of the former."""
    vectors, inputs = (case[name].clone().requires_grad_() for name in ("vectors", "inputs"))
    state = tuple(part.clone().requires_grad_() for part in case["state"])
    features, last = trunk(inputs, vectors, state, resets)
    outputs = [features, *last]
    loss = sum((out * torch.linspace(-1.0, 1.0, out.numel(), dtype=out.dtype).view_as(out)).sum() for out in outputs)
    return [*outputs, *torch.autograd.grad(loss, [*trunk.parameters(), vectors, inputs, *state])]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("rows", [None, [], [4], [0, 2, 3, 8], list(range(ROWS))], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_values_and_gradients_are_those_of_a_chain_of_cells(monkeypatch, dtype, tolerance, rows, layers):
    trunk, case = make(dtype, layers)
    resets = None if rows is None else some_resets(rows)
    found = results(trunk, case, resets)
    monkeypatch.setattr(lstm, "run", lstm.cells)
    chain = results(trunk, case, resets)
    largest = max(float(gradient.detach().abs().max()) for gradient in chain[3:])
    for ours, expected in zip(found, chain, strict=True):
        assert (ours - expected).abs().max() <= tolerance * largest


def test_gradients_of_the_scan_are_those_of_its_values():
    """Finite differences, of one layer in float64."""
    torch.manual_seed(0)
    sizes = [(3, 2, 4), (2, 5), (2, 5), (20, 4), (20, 5), (20,)]
    tensors = [torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in sizes]
    alive = torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).unsqueeze(-1)
    assert torch.autograd.gradcheck(lambda *args: lstm._Scan.apply(*args, alive), tensors)


@pytest.mark.parametrize(("rows", "expected"), [
    (None, {"fused": [ROWS]}),
    ([], {"fused": [ROWS]}),
    ([4], {"scan": [ROWS]}),
    (list(range(ROWS)), {"scan": [ROWS]}),
])  # fmt: skip
def test_only_where_an_episode_starts_do_sequences_run_step_by_step(monkeypatch, rows, expected):
    trunk, case = make(torch.float32)
    seen: dict[str, list[int]] = {}
    for name in ("fused", "scan", "cells"):
        inner = getattr(lstm, name)

        def counted(inputs, *args, inner=inner, name=name):
            seen.setdefault(name, []).append(len(inputs))
            return inner(inputs, *args)

        monkeypatch.setattr(lstm, name, counted)
    with HostReads() as reads:
        results(trunk, case, None if rows is None else some_resets(rows))
    assert seen == expected
    assert dict(reads.reads) == {}  # nothing waits for a device


@pytest.mark.parametrize("where", ["act", "autocast"])
def test_acting_and_mixed_precision_run_cells(monkeypatch, where):
    trunk, case = make(torch.float32)
    for name in ("fused", "scan"):
        monkeypatch.delattr(lstm, name)
    inputs = case["inputs"][:, :1] if where == "act" else case["inputs"]
    with torch.autocast("cpu", torch.bfloat16, enabled=where == "autocast"):
        trunk(inputs, case["vectors"], case["state"], some_resets([1])[:, : inputs.shape[1]])

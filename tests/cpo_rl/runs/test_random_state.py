# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The global generators continue where they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from cpo_rl.runs.payload import from_bytes, to_bytes
from cpo_rl.runs.random_state import capture, check, restore


def draw():
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    ]


@pytest.mark.parametrize("before", [0, 1, 7, 700])
def test_a_captured_state_gives_the_same_numbers_after_a_round_trip(before):
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(3)
    for _ in range(before):
        random.gauss(0, 1)
        np.random.randn()
        torch.rand(1)
    state = from_bytes(to_bytes(capture()))
    expected = [draw() for _ in range(5)]
    for seeded in (random.seed, np.random.seed, torch.manual_seed):
        seeded(99)
    assert draw() != expected[0]
    assert restore(state) == []
    assert [draw() for _ in range(5)] == expected


def test_the_generator_of_the_gpu_in_use_goes_with_it(monkeypatch):
    state, seen = torch.arange(16, dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: state if device == torch.device("cuda:3") else None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *args: seen.append(args))
    captured = capture("cuda:3")
    assert torch.equal(captured["cuda"], state)
    assert restore(captured, "cuda:3") == []
    assert len(seen) == 1
    assert torch.equal(seen[0][0], state)
    assert seen[0][1] == torch.device("cuda:3")
    assert "cuda" not in capture("cpu")
    assert "moved between CPU and CUDA" in restore(capture("cpu"), "cuda:3")[0]
    assert len(seen) == 1


def test_a_state_from_a_gpu_says_what_is_lost_on_a_cpu():
    assert "moved between CPU and CUDA" in restore({**capture(), "cuda": torch.zeros(16, dtype=torch.uint8)})[0]


@pytest.mark.parametrize(
    ("where", "value"),
    [
        *((("numpy", "position"), v) for v in (-1, 625, 10**9, 1.0, None, True)),
        *((("numpy", "keys"), v) for v in (torch.zeros(3, dtype=torch.int32), None, [1])),
        *((("numpy", "algorithm"), v) for v in ("PCG64", None)),
        *((("numpy", "has_gauss"), v) for v in (2, "x")),
        *((("numpy", "cached"), v) for v in (None, 1)),
        *((("python", "words"), v) for v in (torch.zeros(625, dtype=torch.int32) - 1, torch.zeros(1), None)),
        *((("python", "version"), v) for v in (2, None)),
        *((("python", "gauss"), v) for v in ("x", 1)),
        *((("torch",), v) for v in (torch.zeros(3, dtype=torch.uint8), torch.zeros(5056), None)),
    ],
)  # fmt: skip
def test_a_state_that_a_generator_would_read_beyond_its_end_is_refused(where, value):
    state = capture()
    check(state)
    inner = state
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(ValueError, match="random generators"):
        check(state)
    with pytest.raises(ValueError, match="random generators"):
        check(3)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import types

import pytest
import warp as wp

from cpo_lab.physics.no_cuda import allow_pinned_without_cuda


class Cpu:
    default_allocator = "pageable"
    pinned_allocator = "pinned"


@pytest.fixture
def fake(monkeypatch):
    cpu = Cpu()
    monkeypatch.setattr(wp, "init", lambda: None)
    monkeypatch.setattr(wp, "get_device", lambda name: {"cpu": cpu}[name])
    return types.SimpleNamespace(
        cpu=cpu, cuda=lambda found: monkeypatch.setattr(wp, "is_cuda_available", lambda: found)
    )


def test_nothing_changes_where_cuda_works(fake):
    fake.cuda(True)
    assert not allow_pinned_without_cuda()
    assert fake.cpu.pinned_allocator == "pinned"


def test_pinned_memory_becomes_pageable_without_cuda(fake):
    fake.cuda(False)
    assert allow_pinned_without_cuda()
    assert allow_pinned_without_cuda()
    assert fake.cpu.pinned_allocator == "pageable"


def test_a_changed_warp_ends_in_one_sentence(fake, monkeypatch):
    fake.cuda(False)
    monkeypatch.delattr(Cpu, "pinned_allocator")
    with pytest.raises(RuntimeError, match=r"install warp-lang 1\.17\.0 or choose physics=newton_mjwarp"):
        allow_pinned_without_cuda()


def test_the_installed_warp_allocates():
    wp.init()
    if wp.is_cuda_available():
        pytest.skip("this machine has CUDA")
    allow_pinned_without_cuda()
    assert wp.zeros(4, dtype=wp.int32, device="cpu", pinned=True).numpy().tolist() == [0, 0, 0, 0]

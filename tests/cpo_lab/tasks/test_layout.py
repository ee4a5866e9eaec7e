# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cpo_lab.tasks.in_hand.shadow import SHADOW_OBSERVATIONS
from cpo_lab.tasks.layout import ObservationTerm, assemble, layout_size, layout_slices, markdown_table

TERMS = (ObservationTerm("a", 2, "first"), ObservationTerm("b", 1, "second", "m", 10.0))


def test_assemble_orders_scales_and_clips():
    values = {"b": torch.tensor([[0.2], [3.0]]), "a": torch.tensor([[1.0, -9.0], [0.0, 0.5]])}
    wanted = torch.tensor([[1.0, -5.0, 2.0], [0.0, 0.5, 5.0]])
    torch.testing.assert_close(assemble(TERMS, values, 5.0), wanted)
    assert values["a"][0, 1] == -9.0, "inputs must not be changed"


def test_assemble_refuses_a_wrong_size_a_missing_and_an_unknown_term():
    a, b = torch.zeros(1, 2), torch.zeros(1, 1)
    with pytest.raises(ValueError, match="'a' has 1 entries instead of 2"):
        assemble(TERMS, {"a": b, "b": b}, 5.0)
    with pytest.raises(KeyError, match="b"):
        assemble(TERMS, {"a": a}, 5.0)
    with pytest.raises(ValueError, match="no term 'c'"):
        assemble(TERMS, {"a": a, "b": b, "c": b}, 5.0)


def test_shadow_hand_layout_is_the_references():
    assert layout_size(SHADOW_OBSERVATIONS) == 211
    starts = [where.start for where in layout_slices(SHADOW_OBSERVATIONS).values()]
    assert starts == [0, 24, 48, 72, 79, 82, 85, 92, 96, 161, 191]
    scales = {term.name: term.scale for term in SHADOW_OBSERVATIONS if term.scale != 1.0}
    assert scales == {
        "joint_velocity": 0.2,
        "joint_torque": 10.0,
        "object_angular_velocity": 0.2,
        "fingertip_wrench": 10.0,
    }


def test_the_documentation_shows_the_layout():
    page = Path(__file__).parents[3] / "docs" / "tasks" / "shadow_hand.md"
    assert markdown_table(SHADOW_OBSERVATIONS) in page.read_text(encoding="utf-8")

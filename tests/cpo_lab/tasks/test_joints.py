# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpo_lab.tasks.joints import indices_of, scale, unscale
from cpo_rl.errors import UserError

number = st.floats(-1.0, 1.0, width=32)


def test_scale_by_hand():
    lower, upper = torch.tensor([0.0, -1.0]), torch.tensor([2.0, 0.0])
    torch.testing.assert_close(scale(torch.tensor([[-1.0, 1.0]]), lower, upper), torch.tensor([[0.0, 0.0]]))
    torch.testing.assert_close(scale(torch.tensor([[0.5, 0.0]]), lower, upper), torch.tensor([[1.5, -0.5]]))
    torch.testing.assert_close(unscale(torch.tensor([[1.5, -1.0]]), lower, upper), torch.tensor([[0.5, -1.0]]))


@given(number)
def test_unscale_inverts_scale(value):
    lower, upper = torch.tensor([-0.489]), torch.tensor([0.14])
    torch.testing.assert_close(unscale(scale(torch.tensor([value]), lower, upper), lower, upper), torch.tensor([value]))


def test_a_robot_with_other_joints_is_named():
    with pytest.raises(UserError, match="no joint named b"):
        indices_of(["a", "b"], ["a", "c"], "joint")
    assert indices_of(["c", "a"], ["a", "b", "c"], "joint").tolist() == [2, 0]

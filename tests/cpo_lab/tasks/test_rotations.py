# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import torch

from cpo_lab.tasks.rotations import rotate, uniform_rotation


def test_rotations():
    quat = torch.tensor([[0.0, 0.0, 0.7071068, 0.7071068]])  # 90 degrees about Z
    torch.testing.assert_close(rotate(quat, torch.tensor([1.0, 0.0, 0.5])), torch.tensor([[0.0, 1.0, 0.5]]))
    drawn = uniform_rotation(torch.rand(20000, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(20000))
    # uniform on SO(3): a fixed vector ends up anywhere on the sphere with equal density
    turned = rotate(drawn, torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(turned.mean(0), torch.zeros(3), atol=0.02, rtol=0.0)
    torch.testing.assert_close(turned.square().mean(0), torch.full((3,), 1 / 3), atol=0.02, rtol=0.0)

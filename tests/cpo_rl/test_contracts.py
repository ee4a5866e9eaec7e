# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the views answer for an environment that offers something, and for one that does not."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from cpo_rl.contracts import Environment

TERMINATED = torch.tensor([True, True, False])


class Judging:
    """Ended two episodes, one of them because it was perfect."""

    reset_terminated = TERMINATED

    def fell(self):
        return torch.tensor([True, False, False])


def test_an_environment_that_judges_is_believed():
    assert Environment(Judging()).fell.tolist() == [True, False, False]
    assert Environment(SimpleNamespace(unwrapped=Judging())).fell.tolist() == [True, False, False]


def test_every_termination_of_another_environment_is_a_failure():
    assert Environment(SimpleNamespace(reset_terminated=TERMINATED)).fell is TERMINATED


def test_an_environment_that_tells_nothing_leaves_it_open():
    assert Environment(object()).fell is None

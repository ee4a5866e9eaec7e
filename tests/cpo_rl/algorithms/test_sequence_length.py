# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Without recurrence the length of a training sequence only groups rows: one full-batch step does not depend on it."""

from __future__ import annotations

import pytest
import torch
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner


@pytest.mark.parametrize("name", ["ppo", "sapg", "cpo"])
def test_a_full_batch_step_is_the_same_for_every_sequence_length(name):
    learned = []
    for length in (1, 2, 8):
        cfg = ensemble_cfg(
            name,
            sequence_length=length,
            num_mini_batches=1,
            num_learning_epochs=1,
            entropy_coef=0.3,
            entropy_coef_scale=0.5 if name != "ppo" else 0.0,
            learning_rate_schedule="fixed",
        )
        runner = make_runner(cfg)
        before = {name: p.clone() for name, p in runner.alg.model.named_parameters()}
        runner.learn(1)
        gradient = {name: p.grad.clone() for name, p in runner.alg.model.named_parameters()}
        assert any(not torch.equal(p, before[name]) for name, p in runner.alg.model.named_parameters())
        learned.append(gradient)
    for other in learned[1:]:
        for parameter, gradient in learned[0].items():
            torch.testing.assert_close(other[parameter], gradient, rtol=1e-4, atol=1e-6, msg=parameter)

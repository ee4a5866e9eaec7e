# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Hyper-parameters that a population changes between two iterations act like configured ones."""

from __future__ import annotations

import pytest
import torch
from tests.cpo_rl.runners.support import differing, ensemble_cfg, final_state, make_runner

from cpo_rl.algorithms.cuda_graph import RecordedStep
from cpo_rl.errors import UserError
from cpo_rl.pbt import MUTABLE

NEW = {
    "max_grad_norm": 0.3,
    "value_loss_coef": 1.1,
    "bound_loss_coef": 1e-2,
    "desired_kl": 1e-5,
    "clip_param": 0.11,
    "num_learning_epochs": 3,
    "gamma": 0.9,
}


def learned(runner) -> dict:
    """Return a copy of what a donor would give away."""
    state = final_state(runner)
    return {name: state[name] for name in ("model", "optimizer", "adversary", "regulator")}


@pytest.mark.parametrize("names", [(name,) for name in MUTABLE] + [MUTABLE], ids=lambda names: names[0])
def test_hyper_parameters_set_between_iterations_act_like_configured_ones(names):
    new = {name: NEW[name] for name in names}

    def trained(configured: dict, later: dict) -> dict:
        runner = make_runner(ensemble_cfg("cpo", bound_limit=0.01, **configured))  # so that every mean is out of bounds
        runner.alg.set_hyperparameters(later)
        runner.learn(2)
        return learned(runner)

    changed = trained({}, new)
    assert differing(trained(new, {}), changed) == []
    assert differing(trained({}, {}), changed) != []


def test_hyper_parameters_out_of_range_change_nothing():
    runner = make_runner(ensemble_cfg("cpo"))
    with pytest.raises(UserError, match="clip_param"):
        runner.alg.set_hyperparameters({"gamma": 0.5, "clip_param": 2.0})
    assert runner.alg.cfg.gamma == 0.99


def test_recorded_gradient_steps_are_forgotten_because_they_hold_the_old_values():
    runner = make_runner(ensemble_cfg("cpo"))
    graph = runner.alg.policy_update.recorded = RecordedStep(lambda *args: None, torch.device("cpu"))
    graph._seen[(1,)] = 3
    runner.alg.set_hyperparameters({"gamma": 0.5})
    assert graph._seen == {}

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An optimizer's state of other shapes, which torch's kernels would read beyond its end, is refused."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from cpo_rl.algorithms.optimizer_state import load_optimizer


def adam(steps=2, lr=1e-3):
    parameters = [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(4))]
    optimizer = torch.optim.Adam(parameters, lr=torch.tensor(lr), fused=True)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return optimizer


def test_what_was_saved_is_restored_and_settings_stay_ours():
    stored = copy.deepcopy(adam(lr=0.5).state_dict())
    stored["param_groups"][0] |= {"betas": (0.0, 0.0), "maximize": True, "differentiable": True}
    mine = adam(steps=0)
    load_optimizer(mine, stored)
    group = mine.param_groups[0]
    assert float(group["lr"]) == 0.5 and group["betas"] == (0.9, 0.999) and not group["maximize"]
    for number, parameter in enumerate(group["params"]):
        for name in ("step", "exp_avg", "exp_avg_sq"):
            assert torch.equal(mine.state[parameter][name], stored["state"][number][name])


def test_one_that_never_stepped_is_restored():
    mine = adam()
    load_optimizer(mine, adam(steps=0).state_dict())
    assert not mine.state


def wrong(change):
    state = copy.deepcopy(adam().state_dict())
    change(state)
    return state


@pytest.mark.parametrize(
    "stored",
    [
        *(None, 3, [], {}, {"state": {}}, {"param_groups": []}, {"state": [], "param_groups": [{"lr": 1.0}]}),
        wrong(lambda s: s["param_groups"].append({"lr": 1.0})),
        wrong(lambda s: s.update(param_groups=[3])),
        *(wrong(lambda s, v=v: s["param_groups"][0].update(lr=v)) for v in
          (None, "1", -1.0, 0.0, math.nan, math.inf, True, [1.0], torch.ones(2), torch.tensor(math.nan), 10**400)),
        *(wrong(lambda s, n=n: s["state"].update({n: s["state"][0]})) for n in (2, -1, "0", "x")),
        wrong(lambda s: s["state"].update({0: 3})),
        wrong(lambda s: s["state"][0].pop("exp_avg")),
        wrong(lambda s: s["state"][0].update(more=torch.ones(1))),
        *(wrong(lambda s, n=n: s["state"][0].update({n: torch.ones(1)})) for n in ("exp_avg", "exp_avg_sq")),
        *(wrong(lambda s, n=n: s["state"][0].update({n: s["state"][1][n]})) for n in ("exp_avg", "exp_avg_sq")),
        *(wrong(lambda s, v=v: s["state"][0].update(step=v)) for v in (torch.ones(2), torch.tensor(-1.0), "2", None)),
    ],
)  # fmt: skip
def test_another_ones_state_is_refused_and_changes_nothing(stored):
    mine = adam()
    before = copy.deepcopy(mine.state_dict())
    with pytest.raises(ValueError, match="the optimizer"):
        load_optimizer(mine, stored)
    after = mine.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert all(torch.equal(after["state"][n][k], before["state"][n][k]) for n in (0, 1) for k in before["state"][n])

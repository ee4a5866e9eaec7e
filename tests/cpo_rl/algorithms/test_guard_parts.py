# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The parts of the finite guard one by one, with stand-ins for an algorithm and a network."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.cpo_rl.algorithms.test_optimizer_state import adam

from cpo_rl.algorithms.finite_guard import FiniteGuard
from cpo_rl.algorithms.optimizer_state import load_optimizer
from cpo_rl.algorithms.sound_state import SoundState
from cpo_rl.runners.guard_watch import GuardWatch
from cpo_rl.runs.dump import read_dump

SKIPPED = {"Optimization/skipped_updates": 1.0}


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_what_stayed_finite_is_in_no_report():
    guard = FiniteGuard(3, "cpu")
    cleaned, bad = guard.clean("rewards", torch.tensor([1.0, 2.0, 3.0]), 0)
    assert guard.report("rewards", "actions") is None and not bad.any() and cleaned.tolist() == [1.0, 2.0, 3.0]
    assert guard.raw([0, 1, 2]) == {}


def test_the_first_bad_tensor_and_its_environments_are_reported_until_the_next_rollout():
    guard = FiniteGuard(3, "cpu")
    guard.clean("values", torch.tensor([1.0, torch.inf, 1.0]), 4)
    cleaned, bad = guard.clean("rewards", torch.tensor([1.0, -9.0, 8.0]), 2, most=7.5)
    assert cleaned.tolist() == [1.0, 0.0, 0.0] and bad.tolist() == [False, True, True]
    guard.clean("rewards", torch.tensor([99.0, 99.0, 1.0]), 3, most=7.5)
    assert guard.report("values", "rewards") == {"tensor": "rewards", "step": 2, "env_ids": [1, 2], "finite": -9.0}
    assert guard.report("values") == {"tensor": "values", "step": 4, "env_ids": [1]}
    raw = guard.raw([1, 2])
    assert raw["rewards"].tolist() == [-9.0, 8.0] and raw["values"].tolist()[0] == torch.inf
    guard.hold_back(torch.tensor([False, True, False]))
    guard.hold_back(torch.tensor([False, False, False]))
    assert float(guard.flag) == 1.0
    guard.clear()
    assert guard.report("values", "rewards") is None and float(guard.flag) == 0.0


# -- what is gone back to ----------------------------------------------------------------------------------------------


class Learned:
    """What learning changes, and whether it is sound."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {"weight": torch.tensor([1.0])}
        self.state = SoundState(*(None,) * 4, lambda: self.tensors)  # type: ignore[arg-type]
        self.state.is_sound = lambda: False  # type: ignore[method-assign]

    def values(self) -> dict[str, float]:
        return {name: float(tensor) for name, tensor in self.tensors.items()}


def test_the_first_state_is_kept_even_if_it_is_doubtful():
    learned = Learned()
    learned.state.keep(torch.tensor(1.0))
    learned.tensors["weight"].fill_(9.0)
    assert learned.state.recover(entirely=False)
    assert learned.values() == {"weight": 1.0}


def test_what_appears_later_begins_as_zeros_and_changes_nothing_of_what_was_kept():
    learned = Learned()
    learned.state.keep(torch.tensor(0.0))
    learned.tensors["weight"].fill_(9.0)
    learned.tensors["moment"] = torch.tensor([7.0])
    learned.state.keep(torch.tensor(1.0))
    assert learned.state.recover(entirely=False)
    assert learned.values() == {"weight": 1.0, "moment": 0.0}


def test_without_a_kept_state_there_is_nothing_to_go_back_to():
    assert not Learned().state.recover(entirely=True)


def test_an_optimizer_that_counts_from_zero_is_restored():
    stored = copy.deepcopy(adam().state_dict())
    stored["state"][0]["step"] = torch.tensor(0.0)
    mine = adam(steps=1)
    load_optimizer(mine, stored)
    assert float(mine.state[mine.param_groups[0]["params"][0]]["step"]) == 0.0


# -- what is decided and said ------------------------------------------------------------------------------------------


def algorithm(report: dict[str, Any] | None, **cfg: Any) -> Any:
    settings = {"non_finite": "stop", "max_skipped_updates": 2, "quarantine_stop_fraction": 0.01, **cfg}
    bad, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    good = torch.nn.Parameter(torch.ones(2))
    bad.grad, good.grad = torch.tensor([1.0, torch.nan]), torch.ones(2)
    return SimpleNamespace(
        is_guarded=True,
        base=SimpleNamespace(guard_report=lambda: report),
        cfg=SimpleNamespace(**settings),
        sound_state=None,
        rollout=None,
        raw_values=lambda ids: {},
        named_parameters=lambda: [("bad", bad), ("unused", unused), ("good", good)],
    )


def check(watch: GuardWatch, metrics: dict[str, float], folder=None) -> tuple[str | None, str | None]:
    return watch.check(7, 70, metrics, folder, lambda name, write: write() or True)


def test_metrics_without_a_count_stop_nothing_and_end_a_row():
    watch = GuardWatch(algorithm(None, non_finite="skip"), {})
    check(watch, SKIPPED)
    assert watch.skipped_in_a_row == 1
    assert check(watch, {}) == (None, None) and watch.skipped_in_a_row == 0


def test_a_stop_says_what_and_where():
    said, stop = check(GuardWatch(algorithm(None), {}), SKIPPED)
    what = "The first number that was not finite was in the gradients during the update of iteration 7"
    assert said == f"{what}; the update was skipped."
    assert stop == f"{what}; stopped before it reached the weights."


def test_skipping_says_after_how_many_iterations_it_stops():
    watch = GuardWatch(algorithm({"tensor": "values", "step": 3, "env_ids": [5]}, non_finite="skip"), {})
    answers = [check(watch, SKIPPED) for _ in range(3)]
    what = "The first number that was not finite was in the values of environment 5 at step 3 of the rollout"
    assert answers[:2] == [(f"{what} of iteration 7; the update was skipped.", None)] * 2
    assert answers[2][1] == (
        f"{what} of iteration 7; stopped after 3 iterations with a skipped update in a row "
        "before it reached the weights."
    )


@pytest.mark.parametrize("report", [None, {"tensor": "rewards", "step": 3, "env_ids": [5]}])
def test_a_dump_needs_no_rollout_and_names_the_parameters_with_bad_gradients(tmp_path, report):
    facts = {"task": "T", "seed": 3, "config": {}, "git_commit": None}
    said, _ = check(GuardWatch(algorithm(report), facts), SKIPPED, tmp_path)
    path = tmp_path / "dump_7.pt"
    assert f"(details: cpo-lab doctor --dump {path})" in (said or "")
    assert read_dump(path)["parameters"] == ["bad"]

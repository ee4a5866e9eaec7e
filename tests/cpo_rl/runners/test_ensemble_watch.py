# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An ensemble that is lost is told: when, by which number, and what to change."""

from __future__ import annotations

import math

import pytest
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner, stock_ppo_cfg

from cpo_rl.config import EnsembleCfg
from cpo_rl.contracts import Algorithm
from cpo_rl.runners.ensemble_watch import IN_A_ROW, EnsembleWatch
from cpo_rl.runs.folder import RunFolder

HEALTHY = {"Leader/std": 0.6, "Ensemble/ess_pooled": 0.7, "Ensemble/clipped_fraction_borrowed": 0.9}


class Settings:
    """An algorithm of which the watch reads the settings only."""

    def __init__(self, **settings: float) -> None:
        self.cfg = EnsembleCfg(**settings)


def watched(**settings: float) -> EnsembleWatch:
    return EnsembleWatch(Algorithm(Settings(**settings)))


@pytest.mark.parametrize(
    ("settings", "lost", "said"),
    [
        (
            {},
            {"Leader/std": 5.1},
            "the leader's noise is 5.1, above 5 (Leader/std); lower agent.algorithm.entropy_coef",
        ),
        ({"action_std_max": 4.0}, {"Leader/std": 2.1}, "above 2 "),
        (
            {},
            {"Ensemble/ess_pooled": 0.003},
            "worth 0.3% of their number, below 5% (Ensemble/ess_pooled); take --agent",
        ),
        ({}, {"Ensemble/clipped_fraction_borrowed": 0.99}, "99.0% of the borrowed rows are clipped, above 98%"),
        ({"adversarial_coef": 0.01}, {"Ensemble/ess_pooled": 0.003}, "lower agent.algorithm.adversarial_coef"),
        ({"coupling_target_kl": 3.0}, {"Ensemble/ess_pooled": 0.003}, "lower agent.algorithm.coupling_target_kl"),
    ],
)
def test_every_sign_has_its_number_and_its_advice(settings, lost, said):
    watch = watched(**settings)
    found = [watch.check(i, {**HEALTHY, **lost}) for i in range(1, IN_A_ROW + 3)]
    assert [len(each) for each in found] == [0] * (IN_A_ROW - 1) + [1, 0, 0]
    (sentence,) = found[IN_A_ROW - 1]
    assert f"The ensemble looks lost in iteration {IN_A_ROW}: " in sentence
    assert said in sentence
    assert sentence.endswith(".")


def test_a_recovery_arms_it_again_and_a_single_bad_value_is_none():
    watch, bad = watched(), {"Ensemble/ess_pooled": 0.01}
    for _ in range(IN_A_ROW - 1):
        assert watch.check(1, bad) == []
    assert watch.check(1, HEALTHY) == watch.check(1, bad) == []
    assert watch.check(1, {"Leader/std": 0.5}) == [], "an iteration without diagnostics counts neither way"
    found = [watch.check(i, bad) for i in range(IN_A_ROW)]
    assert sum(map(len, found)) == 1
    watch.check(9, HEALTHY)
    assert sum(len(watch.check(i, bad)) for i in range(IN_A_ROW)) == 1


def test_what_is_not_finite_or_not_ours_makes_no_alarm():
    assert not any(watched().check(i, dict.fromkeys(HEALTHY, math.nan)) for i in range(9))
    runner = make_runner(stock_ppo_cfg())
    assert not any(runner._watch.check(i, {"Leader/std": 99.0}) for i in range(9))


def test_a_lost_run_says_so_on_the_screen_and_in_its_manifest(tmp_path, capsys):
    cfg = ensemble_cfg(
        entropy_coef=300.0, learning_rate=0.5, learning_rate_schedule="fixed", adversarial_coef=0.0, awac_coef=0.0
    )
    runner = make_runner(cfg, tmp_path)
    runner.learn(IN_A_ROW + 3)
    said = RunFolder.read(tmp_path).noted("ensemble alarm")
    assert any("the leader's noise is" in sentence for sentence in said)
    assert said[0] in capsys.readouterr().out.replace("\n", " ")
    assert runner.outcome.status == "finished", "an alarm stops nothing"


@pytest.mark.parametrize("history", [None, 3, ["x"], [{"event": "ensemble alarm"}], {"event": "ensemble alarm"}])
def test_a_damaged_history_holds_no_alarm(tmp_path, history):
    folder = RunFolder(tmp_path)
    folder.manifest["history"] = history
    assert folder.noted("ensemble alarm") == []

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The quick learning gate: one seed per claim, a second one where the first may miss.

``python -m tests.envs.learning_gate`` is the full one.
"""

from __future__ import annotations

import json
import math

import pytest
import torch
from tests.envs import learning_gate
from tests.envs.gate_runs import TASKS, Run, train

pytestmark = pytest.mark.long

SEED = 3
"""A seed with which both ensembles are quick; the full gate runs five."""


@pytest.fixture(scope="module")
def ensembles():
    """SAPG and CPO on the task with the local optimum."""
    torch.set_num_threads(1)
    return {name: train(TASKS["deceptive"], name, SEED) for name in ("sapg", "cpo")}


@pytest.mark.parametrize("algorithm", ["sapg", "cpo"])
def test_an_ensemble_leaves_the_local_optimum(ensembles, algorithm):
    run = ensembles[algorithm]
    assert run.solved, run.curve
    first = TASKS["deceptive"].make_env(1, 0, False).solved_return
    assert run.curve[0][1] < 0.1 * first  # it was not solved by luck at the start
    assert run.final_return >= first
    assert run.policy_kl > 0.0
    assert 0.0 < run.ess_pooled <= 1.0


def test_ppo_stays_in_the_local_optimum_for_as_many_transitions(ensembles):
    task = TASKS["deceptive"]
    longest = max(run.transitions for run in ensembles.values())
    run = train(task, "ppo", SEED, longest // task.transitions_per_iteration)
    assert run.transitions == longest
    assert not run.solved
    assert run.policy_kl is run.ess_pooled is None
    assert abs(run.final_return) < 1.0  # standing still: nothing but the noise of the evaluation


@pytest.mark.parametrize("algorithm", ["ppo", "sapg", "cpo"])
def test_recurrent_policies_recall_the_cue(algorithm):
    # 1 or 2 seeds of 20 miss, and rounding decides which; two that follow one another would be news
    runs = (train(TASKS["recall"], algorithm, seed) for seed in (SEED, SEED + 1))
    assert any(run.solved for run in runs), f"{algorithm} did not recall with seed {SEED} nor {SEED + 1}"


def test_a_policy_without_memory_does_not_recall():
    run = train(TASKS["recall"], "ppo_mlp", SEED, 40)
    env = TASKS["recall"].make_env(1, 0, False)
    assert not run.solved
    assert max(value for _, value, _ in run.curve) < 0.5 * (env.memoryless_return + env.best_return)


def test_runs_are_reproducible():
    first, again = (train(TASKS["recall"], "cpo", 3, 5) for _ in range(2))
    assert first.curve == again.curve
    assert first.curve != train(TASKS["recall"], "cpo", 4, 5).curve


def _run(algorithm, seed=0, needed=None, made=1000, task="deceptive"):
    return Run(task, algorithm, seed, needed is not None, needed, needed or made)


def test_verdict_names_what_does_not_hold():
    good = {"cpo": [_run("cpo", needed=500)], "sapg": [_run("sapg", needed=700)], "ppo": [_run("ppo", made=1000)]}
    assert learning_gate.verdict("deceptive", good) == []
    lost = {**good, "cpo": [_run("cpo", seed=4)]}
    assert learning_gate.verdict("deceptive", lost) == ["cpo did not solve deceptive with seed 4."]
    one_of_five = {**good, "cpo": [_run("cpo", seed, needed=500 if seed else None) for seed in range(5)]}
    one_of_five["ppo"] = [_run("ppo", made=1000)]
    assert learning_gate.verdict("deceptive", one_of_five) == []
    two_of_five = {**one_of_five, "cpo": [_run("cpo", s, needed=500 if s > 1 else None) for s in range(5)]}
    assert len(learning_gate.verdict("deceptive", two_of_five)) == 2
    lucky = {**good, "ppo": [_run("ppo", needed=600)]}
    assert learning_gate.verdict("deceptive", lucky) == ["ppo solved deceptive with seed 0."]
    late = {**good, "ppo": [_run("ppo", needed=701)]}
    assert learning_gate.verdict("deceptive", late) == []
    short = {**good, "ppo": [_run("ppo", made=699)]}
    assert "fewer transitions" in learning_gate.verdict("deceptive", short)[0]


def test_comparison_of_transitions():
    fast, slow = [_run("cpo", s, 100) for s in range(5)], [_run("sapg", s, 200) for s in range(5)]
    result = learning_gate.compare(fast, slow)
    assert result["ratio"]["point"] == result["ratio"]["low"] == result["ratio"]["high"] == 0.5
    assert result["probability_of_fewer"]["point"] == 1.0
    mixed = learning_gate.compare([_run("cpo", s, n) for s, n in enumerate((50, 400))], slow[:2])
    assert mixed["ratio"]["point"] == pytest.approx(1.125)
    assert mixed["ratio"]["low"] < 1.0 < mixed["ratio"]["high"]
    assert math.isnan(learning_gate.compare(fast[:1], slow[:1])["ratio"]["low"])


def test_summary_counts_unsolved_runs_with_what_they_made():
    summary = learning_gate.summarize([_run("ppo", 0, 300), _run("ppo", 1, None, 900)])
    assert (summary["solved"], summary["seeds"]) == (1, 2)
    assert summary["transitions_to_solve"]["point"] == 600.0


def test_command_writes_results_and_fails_when_nothing_was_learned(tmp_path, capsys):
    out = tmp_path / "gate.json"
    arguments = ["--tasks", "recall", "--algorithms", "ppo", "--seeds", "1", "--iterations", "5", "--output", str(out)]
    assert learning_gate.main(arguments) == 1
    assert "did not solve recall" in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert content["summary"]["recall"]["algorithms"]["ppo"]["solved"] == 0
    assert content["runs"][0]["transitions"] == 5 * TASKS["recall"].transitions_per_iteration
    assert {"cpu", "cpus", "torch", "python"} <= content["hardware"].keys()


def test_command_refuses_bad_numbers(capsys):
    with pytest.raises(SystemExit, match="2"):
        learning_gate.main(["--seeds", "0"])
    assert "--seeds must be at least 1" in capsys.readouterr().err

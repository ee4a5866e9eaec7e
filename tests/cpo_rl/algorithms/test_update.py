# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Hand-computed details of a gradient step that the oracles leave open, and the names of what it reports."""

from __future__ import annotations

import pytest
import torch
from tests.cpo_rl.oracle_support import collect, gradient_step, make_algorithm, prepare

from cpo_rl.formulas import losses


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def test_roles_are_weighted_clipped_and_shared_as_by_hand():
    """One follower row, two of the leader, two borrowed ones; clip 0.2.

    Rows 1.5 (A = 1) and 2.0 (A = 1) are clipped, so no gradient flows there; 0.9 (A = -1) gives 0.9, 1.1 (A = 2) gives
    2.2. With weights 2 and 0.5 the borrowed share is 1.1 / (1.1 + 1.8).
    """
    alg = make_algorithm(follower_weight=1.0, leader_weight=2.0, borrowed_weight=0.5)
    ratio, advantage = _column(1.0, 1.5, 0.9, 2.0, 1.1), _column(1.0, 1.0, -1.0, 1.0, 2.0)
    rows = losses.surrogate(advantage, ratio, 0.2)
    total, parts = alg.policy_update._by_role(rows, ratio, advantage, 1.0, (1, 2, 2, 0), torch.ones(5, 1).double())
    assert total.item() == pytest.approx(1.0 * -1.0 + 2.0 * (-1.2 + 0.9) + 0.5 * (-1.2 - 2.2), abs=1e-12)
    found = {name: value.item() for name, value in parts.items()}
    assert found == pytest.approx({
        "Loss/surrogate_follower": -1.0,
        "Loss/surrogate_leader": -0.15,
        "Loss/surrogate_borrowed": -1.7,
        "Ensemble/clipped_fraction_follower": 0.0,
        "Ensemble/clipped_fraction_leader": 0.5,
        "Ensemble/clipped_fraction_borrowed": 0.5,
        "Ensemble/borrowed_gradient_share": 1.1 / 2.9,
    }, abs=1e-12)  # fmt: skip


@pytest.mark.parametrize("sequence_length", [1, 2, 4])
def test_entropy_counts_steps_of_sequences(sequence_length):
    """12 environments x 4 steps, 3 policies, one borrowed block: every policy has 16 of 64 gradient rows."""
    alg = make_algorithm(
        sequence_length=sequence_length, entropy_coef_scale=0.3, follower_weight=0.0, leader_weight=0.0,
        borrowed_weight=0.0, awac_coef=0.0, adversarial_coef=0.0, value_loss_coef=0.0, bound_loss_coef=0.0,
        max_grad_norm=1.0e9,
    )  # fmt: skip
    collect(alg)
    prepare(alg, [1])
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    alg.policy_update.learning_rate.start()
    gradient_step(alg, batch)
    for i, coef in enumerate([0.15, 0.075, 0.0]):
        expected = torch.full((3,), -coef * 16 / 64, dtype=torch.float64)
        assert torch.allclose(alg.model.log_std.grad[i], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("reference", "borrowed"), [("leader", [2, 2]), ("behavior", [1, 2])])
def test_the_reference_of_borrowed_rows_is_the_follower_in_the_first_pass_only(reference, borrowed):
    alg = make_algorithm(borrowed_reference=reference)
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    rows = batch.rows("borrowed")
    for number in (0, 1):
        policy = alg.policy_update._reference_policy(batch, number)
        assert set(policy[rows].tolist()) == {borrowed[number]}
        assert torch.equal(policy[: rows.start], batch.policy[: rows.start])


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("relabel_state", ["target", "behavior"])
@pytest.mark.parametrize("sequence_length", [1, 2, 4])
@pytest.mark.parametrize("reference", ["leader", "behavior"])
def test_before_the_first_step_no_row_is_clipped_and_no_policy_has_moved(
    recurrent, relabel_state, sequence_length, reference
):
    """With the old leader as the center of the clip range, the ratio of every row is its center at first."""
    alg = make_algorithm(
        model={"rnn_type": "lstm" if recurrent else "none"}, relabel_state=relabel_state, borrowed_reference=reference,
        sequence_length=sequence_length, borrowed_clip_center="old_leader",
    )  # fmt: skip
    with torch.no_grad():
        alg.model.embedding.mul_(3.0)
        alg.model.log_std.add_(torch.tensor([[0.3], [0.1], [-0.2]]))
    collect(alg, seed=0)
    alg.update()
    collect(alg, seed=1)  # starts from a state that is not zero
    prepare(alg, [1])
    alg.policy_update.learning_rate.start()
    gradient_step(alg, alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0])
    found = alg.metrics.read(alg.ranks)[0]
    assert [found[f"Ensemble/clipped_fraction_{role}"] for role in ("follower", "leader", "borrowed")] == [0.0] * 3
    assert (abs(found["Optimization/kl"]) < 1e-12) == (reference == "leader")


def test_an_update_reports_these_names_and_no_others():
    alg = make_algorithm(kl_coef=0.1, adversarial_coef=0.01)
    collect(alg)
    per_policy = [f"Policy_{i}/{name}" for i in range(3) for name in ("std", "entropy", "return", "episode_length")]
    per_follower = [
        f"Ensemble/{name}_{i}"
        for i in range(2)
        for name in ("kl_to_leader", "ess", "importance_deviation", "importance_log_var")
    ]
    assert set(alg.update()) == {
        "Leader/return", "Leader/episode_length", "Leader/std", "Leader/entropy",
        "Ensemble/kl_mean", "Ensemble/ess_pooled", "Ensemble/awac_weight", "Ensemble/awac_saturation",
        "Ensemble/clipped_fraction_follower", "Ensemble/clipped_fraction_leader",
        "Ensemble/clipped_fraction_borrowed", "Ensemble/borrowed_gradient_share",
        "Discriminator/bonus", "Discriminator/loss", "Discriminator/accuracy", "Discriminator/chance",
        "Loss/surrogate_follower", "Loss/surrogate_leader", "Loss/surrogate_borrowed", "Loss/awac", "Loss/kl",
        "Loss/value", "Loss/bound", "Loss/entropy", "Value/explained_variance",
        "Env/quarantined", "Env/quarantined_reward", "Env/quarantined_observation",
        "Optimization/kl", "Optimization/grad_norm", "Optimization/learning_rate", "Optimization/skipped_updates",
        *per_policy, *per_follower,
    }  # fmt: skip

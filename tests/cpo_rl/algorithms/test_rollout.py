# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The rows of a mini-batch: shapes, marks, resets, and what a recorded step may rely on."""

from __future__ import annotations

import pytest
import torch
from tests.cpo_rl.oracle_support import NUM_ACTIONS, collect, make_algorithm, prepare


def _ready(**settings):
    alg = make_algorithm(sequence_length=2, **settings)
    collect(alg)
    prepare(alg, [1])
    return alg, alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]


@pytest.mark.parametrize("rnn_type", ["none", "lstm"])
def test_rows_have_the_shapes_that_they_promise(rnn_type):
    """12 environments x 4 steps in sequences of 2, 3 policies: 24 sequences, 8 borrowed, 16 regression rows."""
    alg, batch = _ready(model={"rnn_type": rnn_type})
    rows = alg.rollout.gather(batch, old_leader=True)
    assert rows.sizes == (16, 8, 8, 16)
    assert rows.policy.shape == (48,)
    assert rows.inputs.shape == (48, 2, alg.model.input_size)
    assert rows.action.shape == (48, 2, NUM_ACTIONS)
    for tensor in (rows.old_log_prob, rows.advantage, rows.old_value, rows.return_):
        assert tensor.shape == (32, 2)
    assert rows.awac_weight.shape == (16, 2)
    assert rows.old_leader_log_prob is not None
    assert rows.old_leader_log_prob.shape == (8, 2)
    if rnn_type == "none":
        assert rows.state is None
        assert rows.resets is None
    else:
        assert [t.shape for t in rows.state[0]] == [(1, 48, 8)] * 2
        assert rows.resets.shape == (48, 2)


def test_rows_are_marked_with_the_policy_that_they_are_evaluated_under_and_the_rollout_is_not():
    alg, batch = _ready()
    before = alg.rollout.inputs.clone()
    rows = alg.rollout.gather(batch)
    marks = rows.inputs[..., alg.model.num_obs : alg.model.num_obs + 3]
    assert torch.equal(marks.argmax(-1), rows.policy[:, None].expand(-1, 2))
    assert torch.equal(marks.sum(-1), torch.ones_like(marks[..., 0]))
    assert torch.equal(alg.rollout.inputs, before)


def test_the_old_leader_is_gathered_only_where_it_is_asked_for():
    alg, batch = _ready()
    assert alg.rollout.gather(batch).old_leader_log_prob is None


def test_the_state_is_cleared_inside_sequences_only_and_never_from_the_last_rollout():
    alg = make_algorithm(sequence_length=2, model={"rnn_type": "lstm"})
    address = alg.rollout.resets.data_ptr()
    for seed in range(3):
        collect(alg, seed, done_rate=0.5)
        alg.rollout.step = 0
        dones, resets = alg.rollout.dones, alg.rollout.resets.view(12, 4)
        assert not resets[:, 0::2].any()
        assert torch.equal(resets[:, 1::2], dones[:, 0::2])
        assert alg.rollout.resets.data_ptr() == address  # a recorded step knows it

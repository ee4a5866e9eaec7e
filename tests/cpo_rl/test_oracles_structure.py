# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The conditioned network and the ensemble's layout."""

from __future__ import annotations

import pytest
import torch
from tests.cpo_rl.oracle_support import make_algorithm
from torch import nn

from cpo_rl.algorithms.roles import RoleTables
from cpo_rl.config import ModelCfg
from cpo_rl.formulas.losses import entropy_ladder
from cpo_rl.models import EnsembleActorCritic

MODELS = [{}, {"rnn_type": "lstm"}, {"separate_critic": True}, {"rnn_type": "lstm", "separate_critic": True}]


def _model(num_policies: int = 4, **settings) -> EnsembleActorCritic:
    torch.manual_seed(0)
    cfg = ModelCfg(**{"hidden_dims": [16, 8], "embedding_dim": 4, "rnn_hidden_dim": 8, **settings})
    model = EnsembleActorCritic(5, 3, num_policies, cfg).double()
    model.log_std.data.normal_()
    return model


def _outputs(model: EnsembleActorCritic, obs: torch.Tensor) -> list[torch.Tensor]:
    """Mean, log-std and value of every policy on the same observations, each [M, n, q, ...]."""
    outs = []
    for policy in range(model.num_policies):
        ids = torch.full((obs.shape[0],), policy)
        outs.append(model.evaluate(obs, ids, model.initial_state(obs.shape[0])))
    return [torch.stack([getattr(o, name) for o in outs]) for name in ("mean", "log_std", "value")]


def test_oracle_01_entropy_ladder_and_leader_block():
    assert entropy_ladder(6, 0.0, 0.005) == pytest.approx([0.0025, 0.002, 0.0015, 0.001, 0.0005, 0.0], abs=1e-15)
    tables = RoleTables(24_576, 6, 1, 1, True, 1.0, "cpu")
    leader = tables.follower_envs(5)
    assert (leader.start, leader.stop) == (20_480, 24_576)
    source, policy, _ = tables.role("leader", [0])
    assert (int(source[0]), int(source[-1]), set(policy.tolist())) == (20_480, 24_575, {5})
    alg = make_algorithm(num_envs=12, num_policies=6)
    assert alg.env_policy.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_oracle_02_shadow_hand_network_size_and_initialization():
    model = EnsembleActorCritic(211, 20, 6, ModelCfg())
    assert sum(p.numel() for p in model.parameters()) == 554_829
    assert model.embedding.shape == (6, 32)
    assert model.log_std.shape == (6, 20)
    assert bool((model.log_std == 0).all())
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert all(bool((m.bias == 0).all()) for m in linears)
    assert model.trunk.layers[0].weight.shape == (512, 243)
    bound = 1.0 / 243**0.5
    assert 0.95 * bound < float(model.trunk.layers[0].weight.detach().abs().max()) <= bound


def test_oracle_02_kuka_network_size():
    cfg = ModelCfg(hidden_dims=[768, 512, 256], rnn_type="lstm")
    size = sum(p.numel() for p in EnsembleActorCritic(117, 23, 6, cfg).parameters())
    assert size == pytest.approx(3.95e6, abs=5e3)


@pytest.mark.parametrize("settings", MODELS)
def test_oracle_03_ids_matter_and_swapping_rows_swaps_policies(settings):
    model = _model(**settings)
    obs = torch.randn(6, 3, 5, dtype=torch.float64)
    before = _outputs(model, obs)
    for quantity in before:
        for i in range(4):
            for j in range(i):
                assert not torch.allclose(quantity[i], quantity[j])
    order = [0, 3, 2, 1]
    with torch.no_grad():
        model.embedding.copy_(model.embedding[order].clone())
        model.log_std.copy_(model.log_std[order].clone())
    for old, new in zip(before, _outputs(model, obs), strict=True):
        assert torch.equal(new, old[order])


@pytest.mark.parametrize("bad", [4, -1, 50])
def test_oracle_04_unknown_id_raises(bad):
    model = _model()
    obs = {"policy": torch.zeros(3, 5, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"policy ids must lie in \[0, 4\)"):
        model(obs, bad)
    with pytest.raises(ValueError, match=r"policy ids must lie in \[0, 4\)"):
        model(obs, torch.tensor([0, 1, bad]))


def test_oracle_04_float_id_raises():
    with pytest.raises(ValueError, match="must be integers"):
        _model()({"policy": torch.zeros(1, 5, dtype=torch.float64)}, torch.tensor([0.0]))


@pytest.mark.parametrize("settings", MODELS)
def test_oracle_05_an_embedding_row_moves_its_own_policy_only(settings):
    model = _model(**settings)
    obs = torch.randn(6, 3, 5, dtype=torch.float64)
    before = _outputs(model, obs)
    with torch.no_grad():
        model.embedding[2] += 1.0
    after = _outputs(model, obs)
    for i in (0, 1, 3):
        assert all(torch.equal(a[i], b[i]) for a, b in zip(after, before, strict=True))
    assert not torch.equal(after[0][2], before[0][2])
    assert not torch.equal(after[2][2], before[2][2])


def test_oracle_05_rows_of_mixed_ids_in_one_batch_equal_separate_batches():
    model = _model()
    obs = torch.randn(8, 1, 5, dtype=torch.float64)
    ids = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    mixed = model.evaluate(obs, ids)
    means, log_stds, values = _outputs(model, obs)
    rows = torch.arange(8)
    assert torch.allclose(mixed.mean, means[ids, rows], rtol=0, atol=1e-14)
    assert torch.allclose(mixed.log_std, log_stds[ids, rows], rtol=0, atol=1e-14)
    assert torch.allclose(mixed.value, values[ids, rows], rtol=0, atol=1e-14)

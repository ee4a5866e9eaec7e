# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Who is told to have done what: roles, relabelled targets, borrowed followers and mini-batches.

The toy of oracles 6 to 9 has T = 2, M = 3, N = 6 and borrows follower 1; the tag of transition (t, n) is 10 t + n.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from tests.cpo_rl.oracle_support import TaggedModel, collect, make_algorithm, prepare

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.roles import ROLES, RoleTables
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.algorithms.row_targets import RowTargets, relabel
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.errors import UserError
from cpo_rl.formulas.targets import generalized_advantages
from cpo_rl.presets import preset

BORROWED = [1]


def _toy(sequence_length: int = 1, **settings):
    """Tables and a filled rollout of the toy, with rewards 0.01 tag."""
    tables = RoleTables(6, 3, 2 // sequence_length, 1, True, 1.0, "cpu")
    model = TaggedModel(3)
    rollout = Rollout(model, 6, 2, sequence_length, tables)
    tags = torch.tensor([[10.0 * t + n for t in range(2)] for n in range(6)], dtype=torch.float64)
    rollout.observations.copy_(tags[..., None])
    rollout.last_observation.copy_(20.0 + torch.arange(6.0)[:, None])
    rollout.rewards.copy_(0.01 * tags)
    # dones that follow an action: after the first action of env 5, after the last of envs 0 and 4
    rollout.dones[5, 0] = rollout.dones[0, 1] = rollout.dones[4, 1] = True
    rollout.values.copy_(tags)
    cfg = EnsembleCfg(
        num_policies=3, gamma=0.9, normalize_values=False, normalize_advantages=False, sequence_length=sequence_length,
        adversarial_coef=0.0, **settings,
    )  # fmt: skip
    return tables, model, rollout, RowTargets(model, cfg, tables, Ranks(None)), tags


def test_oracle_06_roles_in_order_disjoint_and_complete():
    tables = _toy()[0]
    assert tables.num_rows == (2 * 3 - 1 + 1) * 2 * 2 == 24
    sizes = [len(tables.role(name, BORROWED)[0]) for name in ROLES]
    # the notes list F, L, A, O; the library keeps the three roles with a surrogate together
    assert dict(zip(ROLES, sizes, strict=True)) == {"follower": 8, "leader": 4, "borrowed": 4, "awac": 8}
    generator = torch.Generator().manual_seed(0)
    for batch in itertools.chain.from_iterable(tables.passes(BORROWED, 2, 1, generator)):
        assert batch.sizes == (8, 4, 4, 8)
        covered = sorted(i for name in ROLES for i in range(*batch.rows(name).indices(24)))
        assert covered == list(range(24))
        assert sorted(batch.target.tolist()) == list(range(16))
        assert sorted(batch.weight.tolist()) == list(range(8))


def test_oracle_07_source_tags_and_ids():
    tables, _, rollout, _, tags = _toy()
    flat = rollout.sequences(tags).flatten()
    expected = {
        "follower": ([0, 10, 1, 11, 2, 12, 3, 13], [0] * 4 + [1] * 4),
        "leader": ([4, 14, 5, 15], [2] * 4),
        "awac": ([4, 14, 5, 15, 4, 14, 5, 15], [0] * 4 + [1] * 4),
        "borrowed": ([2, 12, 3, 13], [2] * 4),
    }
    for name, (rows, ids) in expected.items():
        source, policy, _ = tables.role(name, BORROWED)
        assert flat[source].tolist() == rows, name
        assert policy.tolist() == ids, name


def test_oracle_08_initial_states_by_env():
    alg = make_algorithm(num_envs=6, horizon=2, sequence_length=2, model={"rnn_type": "lstm"})
    for stored in alg.rollout.states:
        for buffer in stored:
            buffer.copy_(torch.arange(6.0).view(6, 1, 1, 1).expand_as(buffer))
    envs = {}
    for name in ROLES:
        hidden, cell = alg.rollout.start_states(alg.tables.role(name, BORROWED)[0])[0]
        assert torch.equal(hidden, cell)
        assert bool((hidden == hidden[..., :1]).all())
        envs[name] = hidden[0, :, 0].int().tolist()
    assert envs["follower"] + envs["leader"] == [0, 1, 2, 3, 4, 5]
    assert envs["awac"] == [4, 5, 4, 5]
    assert envs["borrowed"] == [2, 3]


@pytest.mark.parametrize("sequence_length", [1, 2])
def test_oracle_09_relabelled_values_and_returns(sequence_length):
    tables, model, rollout, row_targets, _ = _toy(sequence_length)
    row_targets.compute(rollout, BORROWED, None, DeviceMetrics("cpu"))
    borrowed = slice(tables.num_sequences, None)
    assert rollout.target_values[borrowed].flatten().tolist() == pytest.approx([2, 12, 3, 13], abs=1e-12)
    assert rollout.target_returns[borrowed].flatten().tolist() == pytest.approx([10.82, 19.92, 11.73, 20.83], abs=1e-12)
    values, returns = [], []
    for follower in range(2):
        seen = relabel(model, rollout, tables.follower_envs(2), 2, follower, "target").values
        values += seen[:, :-1].flatten().tolist()
        alive = 1.0 - rollout.dones[4:].double()
        returns += (rollout.rewards[4:] + 0.9 * alive * seen[:, 1:]).flatten().tolist()
    assert values == pytest.approx([4.05, 14.05, 5.05, 15.05, 4.025, 14.025, 5.025, 15.025], abs=1e-12)
    assert returns == pytest.approx([12.685, 0.14, 0.05, 22.695, 12.6625, 0.14, 0.05, 22.6725], abs=1e-12)
    # the weights the library stores are those of the advantages R - V
    expected = (torch.tensor(returns) - torch.tensor(values)).div(0.2).exp().clamp(max=100.0)
    assert rollout.awac_weights.flatten().tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_oracle_09_relabelled_targets_are_one_discounted_step_that_ends_with_the_episode():
    """As above, with an end after the first action of env 2, which is borrowed, and weights far from their cap.

    Borrowed rows: env 2 gets its reward 0.02, then 0.12 + 0.9 * 22; env 3 0.03 + 0.9 * 13, then 0.13 + 0.9 * 23. Of the
    regression's rows those of follower 0, whose values are 0.05 above the tag: 0.04 + 0.9 * 14.05 - 4.05, then
    0.14 - 14.05 (the last step of env 4 is an end); 0.05 - 5.05, then 0.15 + 0.9 * 25.05 - 15.05.
    """
    tables, _, rollout, row_targets, _ = _toy(awac_temperature=50.0)
    rollout.dones[2, 0] = True
    row_targets.compute(rollout, BORROWED, None, DeviceMetrics("cpu"))
    borrowed = slice(tables.num_sequences, None)
    expected = [0.02, 19.92, 11.73, 20.83]
    assert rollout.target_returns[borrowed].flatten().tolist() == pytest.approx(expected, abs=1e-12)
    expected = [r - v for r, v in zip(expected, [2, 12, 3, 13], strict=True)]
    assert rollout.target_advantages[borrowed].flatten().tolist() == pytest.approx(expected, abs=1e-12)
    advantages = [8.635, -13.91, -5.0, 7.645]
    weights = [math.exp(a / 50.0) for a in advantages]
    assert rollout.awac_weights[:4].flatten().tolist() == pytest.approx(weights, rel=1e-12)


def test_oracle_10_on_policy_rows_carry_gae_and_relabelled_rows_never_see_the_bonus():
    plain, with_bonus = (make_algorithm(normalize_values=False, normalize_advantages=False) for _ in range(2))
    bonus = torch.rand(12, 4, dtype=torch.float64)
    collect(plain)
    values = plain.rollout.values.clone()
    collect(with_bonus)
    prepare(plain, BORROWED)
    prepare(with_bonus, BORROWED, bonus)
    for alg, extra in ((plain, 0.0), (with_bonus, bonus)):
        r, cfg = alg.rollout, alg.cfg
        gae = generalized_advantages(r.rewards + extra, values, r.dones, r.last_values, cfg.gamma, cfg.lam)
        assert torch.equal(r.values, values)
        assert torch.allclose(r.advantages, gae, rtol=0, atol=1e-12)
        assert torch.allclose(r.returns, gae + values, rtol=0, atol=1e-12)
    relabelled = slice(plain.tables.num_sequences, None)
    assert torch.equal(plain.rollout.target_returns[relabelled], with_bonus.rollout.target_returns[relabelled])
    assert torch.equal(plain.rollout.awac_weights, with_bonus.rollout.awac_weights)
    assert not torch.equal(plain.rollout.returns, with_bonus.rollout.returns)


@pytest.mark.parametrize(
    ("algorithm", "horizon", "sequence", "base", "rows", "steps"),
    [
        ("ppo", 8, 4, 2, 196_608, 2),
        ("sapg", 8, 4, 2, 229_376, 2),
        ("cpo", 8, 4, 2, 393_216, 4),
        ("ppo", 16, 16, 4, 393_216, 4),
        ("sapg", 16, 16, 4, 458_752, 4),
        ("cpo", 16, 16, 4, 786_432, 8),
    ],
)
def test_oracle_11_rows_and_mini_batches_at_full_size(algorithm, horizon, sequence, base, rows, steps):
    """Rows are the reference's; its last mini-batch takes the remainder, ours are dealt evenly."""
    cfg = EnsembleCfg(**preset(algorithm, num_mini_batches=base, sequence_length=sequence))
    m = cfg.num_policies
    awac = cfg.awac_coef > 0 and m > 1
    tables = RoleTables(24_576, m, horizon // sequence, cfg.borrowed_followers, awac, cfg.awac_fraction, "cpu")
    assert tables.num_rows * sequence == rows
    assert cfg.num_mini_batches == steps
    borrowed = list(range(cfg.borrowed_followers))
    sizes = [sum(b.sizes) for b in tables.passes(borrowed, 1, steps, torch.Generator().manual_seed(0))[0]]
    assert sum(sizes) == tables.num_rows
    assert max(sizes) - min(sizes) <= len(ROLES)


def _drawn(alg):
    """The followers that the next iteration would borrow."""
    return alg.random.followers(alg.cfg.num_policies - 1, alg.cfg.borrowed_followers)


def test_oracle_12_borrowed_followers_are_uniform_and_distinct():
    alg = make_algorithm(num_envs=12, num_policies=6)
    draws = 3000
    counts = Counter(_drawn(alg)[0] for _ in range(draws))
    assert sorted(counts) == [0, 1, 2, 3, 4]
    # five equally likely outcomes: chi-square with 4 degrees of freedom, 99.99 % quantile 23.5
    assert sum((c - draws / 5) ** 2 / (draws / 5) for c in counts.values()) < 23.5
    three = make_algorithm(num_envs=12, num_policies=6, borrowed_followers=3)
    pairs = Counter()
    for _ in range(300):
        drawn = _drawn(three)
        assert len(set(drawn)) == 3
        pairs.update(drawn)
    assert set(pairs) == {0, 1, 2, 3, 4}
    everyone = make_algorithm(num_envs=12, num_policies=6, borrowed_followers=5)
    assert sorted(_drawn(everyone)) == [0, 1, 2, 3, 4]
    assert _drawn(make_algorithm(num_envs=12, num_policies=6, borrowed_followers=0)) == []
    with pytest.raises(UserError, match="borrowed_followers"):
        make_algorithm(num_envs=12, num_policies=6, borrowed_followers=6)


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_oracle_13_shuffling_keeps_sequences_whole_and_their_states_beside_them(sequence):
    alg = make_algorithm(num_envs=12, horizon=4, sequence_length=sequence, model={"rnn_type": "lstm"})
    tags = torch.arange(48).view(12, 4)  # env-major: env = tag // 4
    chunks = 4 // sequence
    for stored in alg.rollout.states:
        for buffer in stored:  # [N, C, layers, H]: number the chunks
            buffer.copy_(torch.arange(12.0 * chunks).view(12, chunks, 1, 1).expand_as(buffer))
    generator = torch.Generator().manual_seed(1)
    passes = alg.tables.passes(BORROWED, 2, 2, generator)
    orders = []
    for plan in passes:
        for batch in plan:
            rows = alg.rollout.sequences(tags)[batch.source]
            assert bool((rows.diff(dim=1) == 1).all())
            assert bool((rows // 4 == rows[:, :1] // 4).all())
            states = alg.rollout.start_states(batch.source)[0][0][0, :, 0]
            assert torch.equal(states.long(), rows[:, 0] // sequence)
        orders.append(torch.cat([b.source for b in plan]))
    assert not torch.equal(*orders)

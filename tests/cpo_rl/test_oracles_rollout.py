# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What surrounds the losses: time-outs, normalizers, discriminator, diagnostics, recurrent passes and metrics."""

from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from tests.cpo_rl.oracle_support import NUM_OBS, collect, gradient_step, make_algorithm, prepare

from cpo_rl.algorithms import diversity as diversity_module
from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.row_targets import relabel
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian
from cpo_rl.formulas.coupling import importance_summary, kl_matrix
from cpo_rl.formulas.losses import diversity_bonus
from cpo_rl.models.normalizer import RunningNormalizer

LSTM = {"rnn_type": "lstm"}


@pytest.mark.parametrize(("bootstrap", "stored"), [(True, 2.98), (False, 1.0)])
def test_oracle_15_time_out(bootstrap, stored):
    alg = make_algorithm(num_envs=3, horizon=1, gamma=0.99, bootstrap_time_outs=bootstrap, reward_scale=0.5)
    obs = TensorDict({"policy": torch.zeros(3, NUM_OBS, dtype=torch.float64)}, batch_size=[3])
    alg.act(obs)
    alg.rollout.values.fill_(2.0)
    extras = {"time_outs": torch.tensor([True, False, False])}
    alg.process_env_step(obs, torch.full((3,), 2.0, dtype=torch.float64), torch.tensor([1, 1, 0]), extras)
    assert alg.rollout.rewards[:, 0].tolist() == pytest.approx([stored, 1.0, 1.0], abs=1e-12)
    alg.rollout.last_values.fill_(1.0e3)
    cfg = alg.cfg
    cfg.normalize_values = cfg.normalize_advantages = False
    prepare(alg, [0])
    # where the episode ended the next value is masked, whatever it is
    assert alg.rollout.returns[:, 0].tolist() == pytest.approx([stored, 1.0, 1.0 + 0.99 * 1.0e3], abs=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
def test_oracle_15_values_are_in_reward_units_whether_they_are_normalized_or_not(normalize):
    """Reward 1 for ever and gamma 0.99 are worth 100, which a critic that learns in reward units says as it is."""
    alg = make_algorithm(num_envs=3, horizon=2, gamma=0.99, normalize_values=normalize, adversarial_coef=0.0)
    with torch.no_grad():
        alg.model.value_head.weight.zero_()
        alg.model.value_head.bias.fill_(100.0)
    obs = TensorDict({"policy": torch.zeros(3, NUM_OBS, dtype=torch.float64)}, batch_size=[3])
    for _ in range(2):
        alg.act(obs)
        alg.process_env_step(obs, torch.ones(3, dtype=torch.float64), torch.zeros(3), {})
    alg.compute_returns(obs)
    expected = 5.0 * math.sqrt(1.0 + 1.0e-5) if normalize else 100.0  # normalized units are clipped at 5
    assert alg.rollout.values.flatten().tolist() == pytest.approx([expected] * 6)
    assert alg.rollout.last_values.tolist() == pytest.approx([expected] * 3)
    seen = relabel(alg.model, alg.rollout, slice(1, 2), 1, 2, "target").values
    assert seen.flatten().tolist() == pytest.approx([expected] * 3)
    alg.update()
    assert alg.rollout.target_returns.max() == pytest.approx(100.0) or normalize


def test_oracle_30_statistics_after_one_iteration():
    envs, horizon = 600, 10
    alg = make_algorithm(num_envs=envs, horizon=horizon)
    generator = torch.Generator().manual_seed(0)
    raw = 3.0 + 0.1 * torch.randn(horizon + 1, envs, NUM_OBS, generator=generator, dtype=torch.float64)
    normalizer = alg.model.obs_normalizer
    for t in range(horizon):
        obs = TensorDict({"policy": raw[t]}, batch_size=[envs])
        alg.act(obs)
        alg.process_env_step(obs, torch.randn(envs), torch.zeros(envs, dtype=torch.bool), {})
    alg.compute_returns(TensorDict({"policy": raw[-1]}, batch_size=[envs]))
    assert (float(normalizer.count), float(normalizer.mean.abs().max())) == (1.0, 0.0)
    alg.update()
    samples = raw[:-1].reshape(-1, NUM_OBS)
    n = envs * horizon
    mean, var = samples.mean(0), samples.var(0)
    merged = (1.0 + var * n + mean**2 * n / (n + 1)) / (n + 1)  # prior: one sample, mean 0, variance 1
    assert float(normalizer.count) == 1 + n
    assert torch.allclose(normalizer.mean, mean * n / (n + 1), rtol=1e-12, atol=0)
    assert torch.allclose(normalizer.var, merged, rtol=1e-9, atol=0)
    assert normalizer.mean.tolist() == pytest.approx([3.0] * NUM_OBS, abs=0.01)
    assert normalizer.var.tolist() == pytest.approx([0.01] * NUM_OBS, abs=0.003)


def test_oracle_30_statistics_converge_to_the_datas_own():
    """The released double normalization ends at mean 1.994, std 1.012 instead."""
    normalizer = RunningNormalizer(1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        normalizer.gather(3.0 + 0.1 * torch.randn(4096, 1, generator=generator, dtype=torch.float64))
        normalizer.commit(Ranks(None))
    assert normalizer.mean.item() == pytest.approx(3.0, abs=1e-3)
    assert normalizer.var.sqrt().item() == pytest.approx(0.1, abs=1e-3)


def test_oracle_30_leader_forward_sees_the_followers_inputs_and_changes_no_statistics():
    alg = make_algorithm(kl_coef=0.5, adversarial_coef=0.0)
    collect(alg)
    prepare(alg, [1])
    before = {n: b.clone() for n, b in alg.model.obs_normalizer.state_dict().items()}
    calls = []
    inner = alg.model.evaluate_inputs
    num_obs = alg.model.num_obs

    def record(rows, *args, **kwargs):
        calls.append((rows[..., :num_obs].clone(), rows[:, 0, num_obs : num_obs + 3].argmax(-1)))
        return inner(rows, *args, **kwargs)

    alg.model.evaluate_inputs = record
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    alg.policy_update.learning_rate.start()
    gradient_step(alg, batch)
    (all_obs, all_ids), (leader_obs, leader_ids) = calls
    assert torch.equal(leader_obs, all_obs[batch.rows("follower")])
    assert set(leader_ids.tolist()) == {2}
    assert set(all_ids[batch.rows("follower")].tolist()) == {0, 1}
    for name, buffer in alg.model.obs_normalizer.state_dict().items():
        assert torch.equal(buffer, before[name]), name


def test_oracle_31_labels_come_from_the_environment(monkeypatch):
    """Class i is policy i (the reference counts backwards); the label is n // B at every step."""
    alg = make_algorithm(num_envs=12, horizon=8, adversarial_coef=0.01)
    alg.rollout.observations.copy_(torch.arange(12.0).view(12, 1, 1).expand(12, 8, NUM_OBS))
    seen = []
    inner = diversity_module.F.cross_entropy
    rows = []
    forward = alg.diversity.discriminator.forward

    def record_rows(x):
        rows.append(x[:, 0].long())
        return forward(x)

    def record(logits, labels):
        seen.append(labels.clone())
        return inner(logits, labels)

    alg.diversity.discriminator.forward = record_rows
    monkeypatch.setattr(diversity_module.F, "cross_entropy", record)
    alg.diversity.update(alg.rollout, torch.Generator().manual_seed(0), torch.zeros(()), DeviceMetrics("cpu"))
    envs, labels = torch.cat(rows), torch.cat(seen)
    assert len(labels) == 96
    assert torch.equal(labels, envs // 4)


def test_oracle_31_the_leaders_bonus_is_exactly_zero_at_every_step():
    alg = make_algorithm(num_envs=12, horizon=8, adversarial_coef=0.01)
    collect(alg)
    bonus = alg.diversity.bonus(alg.rollout, alg.metrics)
    assert bonus.shape == (12, 8)
    assert not bonus[8:].any()
    assert bool((bonus[:8] != 0).all())


def test_oracle_32_uninformed_discriminator_gives_no_bonus():
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    uniform = torch.log_softmax(torch.full((6, 6), 3.7, dtype=torch.float64), -1)
    assert diversity_bonus(uniform, labels, 0.01, 5).tolist() == pytest.approx([0.0] * 6, abs=1e-16)
    logits = torch.randn(6, 6, dtype=torch.float64)
    bonus = diversity_bonus(torch.log_softmax(logits, -1), labels, 0.01, 5)
    expected = 0.01 * (logits.softmax(-1).diagonal().log() + math.log(6.0))
    assert bonus[:5].tolist() == pytest.approx(expected[:5].tolist(), abs=1e-15)
    assert bonus[5] == 0.0


def test_oracle_32_the_bonus_is_at_most_coef_log_m():
    certain = torch.log_softmax(1.0e4 * torch.eye(6, dtype=torch.float64), -1)
    bonus = diversity_bonus(certain, torch.arange(6), 0.01, 5)
    assert bonus.tolist() == pytest.approx([0.01 * math.log(6.0)] * 5 + [0.0], abs=1e-15)


def test_oracle_33_disjoint_actions_are_told_apart():
    alg = make_algorithm(
        num_envs=12, horizon=8, adversarial_coef=0.01, discriminator_learning_rate=0.01, adversarial_centered=False
    )
    collect(alg)
    centers = torch.tensor([[-3.0, 0.0, 3.0], [3.0, -3.0, 0.0], [0.0, 3.0, -3.0]], dtype=torch.float64)
    noise = 0.1 * torch.randn(12, 8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alg.rollout.actions.copy_(centers[alg.env_policy].unsqueeze(1) + noise)
    for _ in range(300):
        metrics = DeviceMetrics("cpu")
        alg.diversity.update(alg.rollout, torch.Generator().manual_seed(1), torch.zeros(()), metrics)
    scalars, _ = metrics.read(Ranks(None))
    assert scalars["Discriminator/accuracy"] > 0.99
    assert scalars["Discriminator/chance"] == pytest.approx(1 / 3)
    bonus = alg.diversity.bonus(alg.rollout, metrics)
    assert float(bonus[:8].min()) > 0.97 * 0.01 * math.log(3.0)
    assert float(bonus.max()) <= 0.01 * math.log(3.0)


@pytest.mark.parametrize(
    ("offset", "ess", "deviation"), [(0.25, 0.9394, 0.1990), (0.5, 0.7788, 0.3948), (1.0, 0.3679, 0.7658)]
)
def test_oracle_34_effective_sample_size_of_shifted_gaussians(offset, ess, deviation):
    n = 1_000_001
    z = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    log_ratio = offset * z - 0.5 * offset**2
    summary = importance_summary(log_ratio.unsqueeze(0))
    assert summary["ess"].item() == pytest.approx(math.exp(-(offset**2)), rel=1e-3)
    assert summary["ess"].item() == pytest.approx(ess, abs=3e-4)
    assert summary["importance_deviation"].item() == pytest.approx(deviation, abs=2e-4)
    assert summary["importance_log_var"].item() == pytest.approx(offset**2, rel=1e-3)
    assert summary["ess_pooled"].item() == pytest.approx(summary["ess"].item(), rel=1e-12)
    zero = torch.zeros(1, dtype=torch.float64)
    assert gaussian.kl(zero, zero, zero + offset, zero).item() == pytest.approx(0.5 * offset**2, abs=1e-15)


def test_oracle_35_kl_matrix():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 3, 7, 2, generator=generator, dtype=torch.float64)
    log_std = torch.tensor([[0.0, 0.0], [0.5, 0.2], [-0.3, 0.0]], dtype=torch.float64)
    matrix = kl_matrix(means, log_std)
    assert torch.equal(matrix.diagonal(), torch.zeros(3, dtype=torch.float64))
    assert not torch.allclose(matrix, matrix.T)
    for i in range(3):
        for j in range(3):
            p, q = (torch.distributions.Normal(means[i, k], log_std[k].exp()) for k in (i, j))
            expected = torch.distributions.kl_divergence(p, q).sum(-1).mean()
            assert matrix[i, j].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("model", [{}, LSTM])
def test_oracle_35_equal_policies_are_at_distance_zero(model):
    alg = make_algorithm(model=model, sequence_length=2)
    with torch.no_grad():
        alg.model.embedding.copy_(alg.model.embedding[:1].expand_as(alg.model.embedding).clone())
        alg.model.log_std.fill_(0.3)
    collect(alg)
    alg.update()  # one with the recurrent state at zero, then again from a state that moved
    with torch.no_grad():
        alg.model.embedding.copy_(alg.model.embedding[:1].expand_as(alg.model.embedding).clone())
        alg.model.log_std.fill_(0.3)
    alg._state = alg.model.initial_state(12)
    collect(alg, seed=1)
    prepare(alg, [1])
    alg.coupling.measure(alg.rollout, alg.metrics)
    _, arrays = alg.metrics.read(alg.ranks)
    assert float(arrays["kl_matrix"].abs().max()) < 1e-15
    assert arrays["ess"].tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    assert arrays["importance_deviation"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    # ratio 1 on borrowed rows
    acting = alg.rollout.sequences(alg.rollout.log_probs)[alg.tables.role("borrowed", [1])[0]]
    assert torch.allclose(alg.rollout.borrowed_log_probs, acting, rtol=0, atol=1e-12)


def _states(alg):
    """The behavior policies' state before every step, computed one step at a time from the rollout's start."""
    rollout, model = alg.rollout, alg.model
    state = rollout.start_states(torch.arange(alg.num_envs) * rollout.num_chunks)
    states = []
    for t in range(rollout.horizon + 1):
        states.append(state)
        if t < rollout.horizon:
            state = model.evaluate(rollout.observations[:, t : t + 1], alg.env_policy, state).state
            alive = (~rollout.dones[:, t]).double().view(1, -1, 1)
            state = tuple((h * alive, c * alive) for h, c in state)
    return states


@pytest.mark.parametrize("sequence", [1, 2, 4])
@pytest.mark.parametrize("separate", [False, True])
def test_oracle_38_training_forward_reproduces_the_rollout(sequence, separate):
    alg = make_algorithm(model={**LSTM, "separate_critic": separate}, sequence_length=sequence, adversarial_coef=0.0)
    collect(alg, seed=0)
    alg.update()
    collect(alg, seed=1)  # starts from a state that is not zero
    rollout = alg.rollout
    assert rollout.dones[:, :-1].any(dim=1).sum() >= 4  # resets in mid-sequence
    assert bool((rollout.start_states(torch.arange(12) * rollout.num_chunks)[0][0] != 0).any())
    roles = [alg.tables.role(name, [1]) for name in ("follower", "leader")]
    source, policy, _ = (torch.cat(column) for column in zip(*roles, strict=True))
    out = alg.model.evaluate(
        rollout.sequences(rollout.observations)[source], policy, rollout.start_states(source), rollout.resets[source]
    )
    log_prob = gaussian.log_prob(rollout.sequences(rollout.actions)[source], out.mean, out.log_std)
    old = rollout.sequences(rollout.log_probs)[source]
    assert torch.allclose(log_prob, old, rtol=0, atol=1e-10)
    assert (log_prob - old).exp().sub(1.0).abs().max() < 1e-5
    values = alg.model.denormalize_value(out.value)
    assert torch.allclose(values, rollout.sequences(rollout.values)[source], rtol=0, atol=1e-10)


@pytest.mark.parametrize("sequence", [1, 4])
def test_oracle_38_relabelled_values_from_the_behaviors_states(sequence):
    alg = make_algorithm(model=LSTM, sequence_length=sequence, adversarial_coef=0.0, relabel_state="behavior")
    collect(alg, seed=0)
    alg.update()
    collect(alg, seed=1)
    rollout, model = alg.rollout, alg.model
    states = _states(alg)
    for own, target in ((1, 2), (2, 0), (2, 1)):  # borrowed rows, then regression rows
        envs = alg.tables.follower_envs(own)
        ids = torch.full((4,), target)
        expected = []
        for t, state in enumerate(states):
            last = t == rollout.horizon
            obs = (rollout.last_observation if last else rollout.observations[:, t])[envs].unsqueeze(1)
            part = tuple((h[:, envs], c[:, envs]) for h, c in state)
            expected.append(model.denormalize_value(model.evaluate(obs, ids, part).value))
        seen = relabel(model, rollout, envs, own, target, "behavior")
        assert torch.allclose(seen.values, torch.cat(expected, 1), rtol=0, atol=1e-10)
        assert not torch.allclose(seen.values, relabel(model, rollout, envs, own, target, "target").values)


def test_oracle_38_relabelled_values_from_the_targets_own_pass():
    alg = make_algorithm(model=LSTM, sequence_length=2, adversarial_coef=0.0)
    collect(alg, seed=0)
    alg.update()
    collect(alg, seed=1)
    rollout, model = alg.rollout, alg.model
    envs, ids = alg.tables.follower_envs(1), torch.full((4,), 2)
    state = rollout.start_states(torch.arange(4, 8) * rollout.num_chunks)
    expected = []
    for t in range(rollout.horizon + 1):
        last = t == rollout.horizon
        obs = (rollout.last_observation if last else rollout.observations[:, t])[envs].unsqueeze(1)
        out = model.evaluate(obs, ids, state)
        expected.append(model.denormalize_value(out.value))
        if not last:
            alive = (~rollout.dones[envs, t]).double().view(1, -1, 1)
            state = tuple((h * alive, c * alive) for h, c in out.state)
    seen = relabel(model, rollout, envs, 1, 2, "target")
    assert torch.allclose(seen.values, torch.cat(expected, 1), rtol=0, atol=1e-10)


def test_oracle_39_the_reported_score_is_the_last_blocks():
    def report(returns):
        alg = make_algorithm(num_envs=6, horizon=2)
        obs = TensorDict({"policy": torch.zeros(6, NUM_OBS, dtype=torch.float64)}, batch_size=[6])
        for done in (False, True):
            alg.act(obs)
            alg.process_env_step(
                obs, torch.tensor(returns) / 2, torch.full((6,), done),
                {"episode_metrics": {"successes": torch.tensor(returns) * 10}},
            )  # fmt: skip
        alg.compute_returns(obs)
        return alg.update()

    first = report([1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
    assert first["Leader/return"] == pytest.approx(6.0)
    assert first["Leader/successes"] == pytest.approx(60.0)
    assert [first[f"Policy_{i}/return"] for i in range(3)] == pytest.approx([1.5, 3.5, 6.0])
    other = report([-8.0, 20.0, 30.0, 0.0, 5.0, 7.0])
    assert other["Leader/return"] == pytest.approx(6.0)
    assert other["Leader/episode_length"] == pytest.approx(2.0)
    assert report([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])["Leader/return"] == pytest.approx(7.0)

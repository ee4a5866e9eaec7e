# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A void step is learned from and counted nowhere: weights are those of a run without it."""

from __future__ import annotations

import functools
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.cpo_rl import oracle_support
from tests.cpo_rl.oracle_support import collect, gradient_step, prepare
from tests.cpo_rl.toy import ToyEnv, hashed, iterate, make_algorithm

from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.distributed import Ranks
from cpo_rl.formulas.means import valid_count, valid_mean, valid_variance
from cpo_rl.formulas.targets import generalized_advantages
from cpo_rl.models import RunningNormalizer
from cpo_rl.step_extras import quarantine_reasons, quarantined

NAN, INF, HUGE = math.nan, math.inf, 1.0e30
NONE = torch.zeros(12, dtype=torch.bool)


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_gae_with_a_void_step_by_hand():
    """Discount and decay 0.5, values 1 and then 3: V(s_2) ends the first part, the last part knows nothing of it.

    A_3 = 4 + 0.5 * 1 - 1 = 3.5; A_2 = 0; A_1 = 2 + 0.5 * 3 - 1 = 2.5; A_0 = 1 + 0.5 * 1 - 1 + 0.25 * 2.5 = 1.125.
    """
    rewards, values = torch.tensor([[1.0, 2.0, 0.0, 4.0]]), torch.tensor([[1.0, 1.0, 3.0, 1.0]])
    void = torch.tensor([[False, False, True, False]])
    advantages = generalized_advantages(rewards, values, void, torch.ones(1), 0.5, 0.5, (~void).float())
    assert advantages.tolist() == [[1.125, 2.5, 0.0, 3.5]]


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_what_a_void_step_holds_moves_no_other_advantage(seed, horizon):
    generator = torch.Generator().manual_seed(seed)
    rewards, values = (torch.randn(3, horizon, generator=generator) for _ in range(2))
    void = torch.rand(3, horizon, generator=generator) < 0.3
    done = void | (torch.rand(3, horizon, generator=generator) < 0.2)
    other = torch.where(void, 1.0e6, rewards)
    last = torch.randn(3, generator=generator)
    a, b = (generalized_advantages(r, values, done, last, 0.9, 0.8, (~void).float()) for r in (rewards, other))
    assert torch.equal(a, b) and not a[void].any()


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_means_are_those_of_the_valid_entries(seed, n):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=generator, dtype=torch.float64)
    valid = (torch.rand(n, generator=generator) < 0.7).double()
    kept = x[valid > 0]
    assert valid_count(valid).item() == max(len(kept), 1)
    assert valid_mean(x, valid).item() == pytest.approx(kept.mean().item() if len(kept) else 0.0, abs=1e-12)
    if len(kept) > 1:
        assert valid_variance(x, valid).item() == pytest.approx(kept.var().item(), abs=1e-12)
        by_row = valid_variance(x[None], valid[None], -1, unbiased=False)
        assert by_row.tolist() == pytest.approx([kept.var(unbiased=False).item()], abs=1e-12)
    ones = torch.ones_like(x)
    assert torch.equal(valid_mean(x, ones), x.mean()) and torch.equal(valid_variance(x, ones), x.var())


def test_statistics_leave_void_rows_out():
    x, valid = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 6.0]]), torch.tensor([1.0, 0.0, 1.0])
    with_void, without = RunningNormalizer(2), RunningNormalizer(2)
    with_void.gather(x, valid)
    without.gather(x[valid > 0])
    with_void.gather(x, torch.zeros(3))
    for normalizer in (with_void, without):
        normalizer.commit(Ranks(None))
    assert all(torch.equal(a, b) for a, b in zip(with_void.buffers(), without.buffers(), strict=True))


# -- a run without the environment's rows ------------------------------------------------------------------------------


class BadEnv(ToyEnv):
    """A toy in which environments of id 99 are bad all the time."""

    def __init__(self, ids, where, value):
        super().__init__(ids, torch.float64)
        self.where, self.value, self.bad = where, value, ids == 99

    def get_observations(self):
        obs = super().get_observations()
        if self.where == "observation":
            obs["policy"][self.bad, 3] = self.value
        return obs

    def step(self, actions):
        if self.where == "state":
            self.state[self.bad] = self.value
        obs, rewards, dones, extras = super().step(actions)
        if self.where == "reward":
            rewards = torch.where(self.bad, self.value, rewards)
        if self.where == "declared":
            extras["quarantined"] = self.bad
            dones = dones | self.bad
        return obs, rewards, dones, extras


def trained(name, rnn, ids, block_policies, where="", value=0.0):
    """State of a model after two iterations on environments of these ids, whose noise depends on the id alone."""
    ids = torch.tensor(ids)
    settings = {"num_policies": block_policies, "quarantine_stop_fraction": 1.0, "diagnostics_interval": 1}
    settings["borrowed_followers"] = min(1, block_policies - 1)
    if name == "cpo":
        settings["adversarial_coef"] = 0.1
    alg = make_algorithm(len(ids), 8, name, rnn, double=True, **settings)
    drawn = iter(range(1000))
    alg.random.normal = lambda like: hashed(ids, next(drawn), like.shape[1], 7)
    metrics = iterate(alg, BadEnv(ids, where, value), 2)
    return alg, metrics


@functools.cache
def without_the_rows(name, rnn):
    return trained(name, rnn, range(9), 1 if name == "ppo" else 3)[0].model.state_dict()


@pytest.mark.parametrize(
    ("where", "value"),
    [*itertools.product(("state", "observation", "reward"), (NAN, INF, -INF, HUGE)), ("declared", NAN)],
)
@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize("name", ["ppo", "sapg", "cpo"])
def test_weights_and_statistics_are_those_of_a_run_without_the_environments(name, rnn, where, value):
    ids = [0, 1, 2, 99, 3, 4, 5, 99, 6, 7, 8, 99]
    alg, metrics = trained(name, rnn, ids, 1 if name == "ppo" else 3, where, value)
    for key, expected in without_the_rows(name, rnn).items():
        assert torch.allclose(alg.model.state_dict()[key], expected, rtol=1e-8, atol=1e-10), key
    assert metrics[0]["Optimization/skipped_updates"] == 0.0
    assert metrics[1]["Env/quarantined"] == 3 * 8
    assert all(math.isfinite(v) for n, v in metrics[1].items() if not n.startswith(("Leader/", "Policy_")))


# -- single void steps -------------------------------------------------------------------------------------------------


def reference_loss(alg, batch):
    """Loss of a mini-batch from the rows that are kept, by boolean indexing and torch's own distributions."""
    c, rows = alg.cfg, alg.rollout.gather(batch)
    keep = alg.rollout.sequences(alg.rollout.valid)[batch.source] > 0
    out = alg.model.evaluate_inputs(rows.inputs, rows.state, rows.resets)
    n, sizes = batch.num_gradient, torch.tensor(batch.sizes[:3])
    normal = torch.distributions.Normal(out.mean, out.log_std.exp())
    log_prob = normal.log_prob(rows.action).sum(-1)
    g = keep[:n]
    ratio = (log_prob[:n][g] - rows.old_log_prob[g]).exp()
    advantage = rows.advantage[g]
    surrogate = -torch.min(advantage * ratio, advantage * ratio.clamp(1 - c.clip_param, 1 + c.clip_param))
    weights = torch.tensor([c.follower_weight, c.leader_weight, c.borrowed_weight], dtype=torch.float64)
    surrogate = surrogate * weights.repeat_interleave(sizes)[:, None].expand_as(g)[g]
    value, old, target = out.value[:n][g], rows.old_value[g], rows.return_[g]
    near = old + (value - old).clamp(-c.clip_param, c.clip_param)
    critic = torch.max((value - target) ** 2, (near - target) ** 2)
    over = (out.mean[:n][g].abs() - c.bound_limit).clamp(min=0.0).square().sum(-1)
    m = c.num_policies
    ladder = torch.tensor([0.5 * c.entropy_coef_scale * (m - 1 - i) / (m - 1) for i in range(m)], dtype=torch.float64)
    policy = rows.policy[:n, None].expand_as(g)[g]
    entropy = torch.distributions.Normal(0.0, alg.model.log_std.exp()).entropy().sum(-1)
    regression = -(rows.awac_weight * log_prob[n:])[keep[n:]].sum() * c.awac_coef
    total = surrogate + c.value_loss_coef * critic + c.bound_loss_coef * over - (ladder * entropy)[policy]
    counted = keep if c.loss_normalization == "all_rows" else g
    return (total.sum() + regression) / counted.sum()


@pytest.mark.parametrize("normalization", ["gradient_rows", "all_rows"])
@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_a_gradient_step_is_that_of_the_kept_rows(rnn, normalization):
    alg = oracle_support.make_algorithm(
        sequence_length=2 if rnn == "lstm" else 1, model={"rnn_type": rnn}, awac_coef=0.05, adversarial_coef=0.0,
        bound_loss_coef=0.1, bound_limit=0.1, follower_weight=0.7, borrowed_weight=0.4, max_grad_norm=1.0e9,
        loss_normalization=normalization,
    )  # fmt: skip
    collect(alg, void_rate=0.3)
    void = alg.rollout.valid == 0
    assert 5 < int(void.sum()) < 30 and bool(alg.rollout.dones[void].all())
    prepare(alg, [1])
    assert not alg.rollout.rewards[void].any()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in alg.model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    names, parameters = zip(*alg.model.named_parameters(), strict=True)
    expected = torch.autograd.grad(reference_loss(alg, batch), parameters, allow_unused=True)
    alg.policy_update.learning_rate.start()
    gradient_step(alg, batch)
    for name, parameter, gradient in zip(names, parameters, expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("rows", ["on_policy", "gradient_rows", "all"])
def test_advantages_and_values_are_normalized_over_valid_steps(rows):
    alg = oracle_support.make_algorithm(statistics_rows=rows, adversarial_coef=0.0)
    collect(alg, void_rate=0.3)
    raw = {}
    real = alg.row_targets._normalize_advantages

    def remember(rollout, awac, metrics):
        raw["awac"] = awac.clone()
        real(rollout, awac, metrics)

    alg.row_targets._normalize_advantages = remember
    prepare(alg, [1])
    r = alg.rollout
    keep = r.target_valid > 0
    if rows == "on_policy":
        keep[alg.tables.num_sequences :] = False
    if rows != "all":
        kept = r.target_advantages[keep]
        assert kept.mean().item() == pytest.approx(0.0, abs=1e-9) and kept.std().item() == pytest.approx(1.0, abs=1e-6)
    block = r.valid[alg.tables.follower_envs(1)].reshape(-1, 1)
    assert torch.equal(r.target_valid[alg.tables.num_sequences :], block)
    counted = keep.sum() + (2 * r.valid[alg.tables.follower_envs(2)].sum() if rows == "all" else 0)
    assert alg.model.value_normalizer.count.item() == 1.0 + counted


class OnceEnv(ToyEnv):
    """A toy in which two environments are bad in one step of every iteration, in one of several ways."""

    def __init__(self, how):
        super().__init__(torch.arange(12))
        self.how = how

    def step(self, actions):
        obs, rewards, dones, extras = super().step(actions)
        if self.steps % 8 == 3:
            bad = torch.zeros(12, dtype=torch.bool)
            bad[[4, 7]] = True
            if self.how == "declared":
                extras["quarantined"] = bad
            elif self.how is not None:
                rewards = torch.where(bad, self.how, rewards)
        return obs, rewards, dones, extras


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_it_does_not_matter_why_a_step_is_void(rnn):
    states = {}
    for how in (None, "declared", NAN, INF, -INF, HUGE):
        alg = make_algorithm(rnn=rnn, quarantine_stop_fraction=0.5, adversarial_coef=0.1)
        metrics = iterate(alg, OnceEnv(how), 3)
        assert metrics[2]["Env/quarantined"] == (0.0 if how is None else 2.0)
        states[how] = alg.model.state_dict()
    for how in (NAN, INF, -INF, HUGE):
        for key, tensor in states["declared"].items():
            assert torch.equal(states[how][key], tensor), (how, key)
    assert any(not torch.equal(states[None][key], tensor) for key, tensor in states["declared"].items())


def test_a_bad_observation_voids_the_step_that_led_to_it_and_the_one_from_it():
    alg = make_algorithm(quarantine_stop_fraction=1.0)
    env = ToyEnv(torch.arange(12))
    obs = env.get_observations()
    for step in range(4):
        alg.act(obs)
        obs, rewards, dones, extras = env.step(torch.zeros(12, 2))
        dones = torch.zeros_like(dones)
        if step == 1:
            obs["policy"][[2, 5], 0] = NAN
            dones[5] = 1  # a new episode begins badly: the step that ended the last one is sound
        alg.process_env_step(obs, rewards, dones, extras)
    valid = alg.rollout.valid[:, :4]
    assert valid[2].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert valid[5].tolist() == [1.0, 1.0, 0.0, 1.0]
    assert valid.sum() == 4 * 12 - 3
    assert alg.model.obs_normalizer.pending_count.item() == 4 * 12 - 3
    assert alg.rollout.inputs.isfinite().all()


def test_the_last_observation_of_an_iteration_voids_a_step_of_both():
    alg = make_algorithm(quarantine_stop_fraction=1.0, horizon=8)
    env = ToyEnv(torch.arange(12))
    real, valid = env.get_observations, []

    def observe():
        obs = real()
        if env.steps == 8:
            obs["policy"][1] = NAN
        return obs

    env.get_observations = observe
    inner = alg.policy_update.run
    alg.policy_update.run = lambda *args: (valid.append(alg.rollout.valid.clone()), inner(*args))
    metrics = iterate(alg, env, 2)
    done = (8 % (4 + 1)) == 0
    assert [int(v[1, -1]) for v in valid] == [int(done), 1] and [int(v[1, 0]) for v in valid] == [1, 0]
    assert [m["Env/quarantined_observation"] for m in metrics] == [1.0 - done, 1.0]


# -- counting ----------------------------------------------------------------------------------------------------------


def test_reasons_are_counted_and_too_many_environments_hold_the_update_back():
    class Env(ToyEnv):
        bad = (1, 2)

        def step(self, actions):
            obs, rewards, dones, extras = super().step(actions)
            mask = torch.zeros(12, dtype=torch.bool)
            mask[list(self.bad)] = self.steps % 8 in (3, 4)
            first = mask.clone()
            first[1] = False
            extras.update(quarantined=mask, quarantine_reasons={"joint_velocity": mask, "reward": first})
            return obs, rewards, dones, extras

    alg, env = make_algorithm(quarantine_stop_fraction=2 / 12), Env(torch.arange(12))
    metrics = iterate(alg, env, 1)[0]
    assert metrics["Env/quarantined"] == metrics["Env/quarantined_joint_velocity"] == 4.0
    assert metrics["Env/quarantined_reward"] == 2.0 and metrics["Env/quarantined_observation"] == 0.0
    assert metrics["Optimization/skipped_updates"] == 0.0 and alg.guard_report() is None
    env.bad = (1, 2, 8)
    before = {key: tensor.clone() for key, tensor in alg.model.state_dict().items() if "normalizer" not in key}
    metrics = iterate(alg, env, 1)[0]
    assert metrics["Env/quarantined"] == 6.0 and metrics["Optimization/skipped_updates"] > 0.0
    assert all(torch.equal(alg.model.state_dict()[key], tensor) for key, tensor in before.items())
    assert alg.guard_report() == {
        "tensor": "environment", "step": 2, "env_ids": [1, 2, 8], "reasons": ["reward", "joint_velocity"],
    }  # fmt: skip
    env.bad = ()
    assert iterate(alg, env, 1)[0]["Env/quarantined"] == 0.0 and alg.guard_report() is None


def test_environments_of_all_processes_count():
    alg = make_algorithm(quarantine_stop_fraction=0.25)
    alg.quarantine.ranks = SimpleNamespace(world_size=2, sum=lambda tensor: tensor + torch.tensor([0.0, 5.0]))
    alg.quarantine.touched = NONE.clone().index_fill(0, torch.tensor([3]), True)
    assert alg.quarantine.settle(alg.metrics).item() == 0.0  # 1 + 5 of 24
    alg.quarantine.touched[[4]] = True
    assert alg.quarantine.settle(alg.metrics).item() == 1.0
    assert alg.guard_report() == {"tensor": "environments of another process", "step": None, "env_ids": []}


def test_counts_are_sums_over_processes():
    alg = make_algorithm()
    alg.quarantine.ranks = SimpleNamespace(world_size=2, sum=lambda tensor: 2.0 * tensor)
    alg.quarantine._counts = {("", "reward"): torch.tensor([3.0, 1.0], dtype=torch.float64)}
    metrics = DeviceMetrics("cpu")
    alg.quarantine.settle(metrics)
    # the mean over two processes with as many is 6 and 2
    assert metrics.read(Ranks(None))[0] == {"Env/quarantined": 6.0, "Env/quarantined_reward": 2.0}


# -- contract ----------------------------------------------------------------------------------------------------------


def test_the_contract_answers_for_what_is_absent():
    assert quarantined({}) is None and quarantine_reasons({}) == {}
    assert quarantined({"quarantined": torch.tensor([0, 1])}).tolist() == [False, True]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The total loss and who gets gradient from it, against a plain re-derivation on a materialized batch."""

from __future__ import annotations

import math

import pytest
import torch
from tests.cpo_rl.oracle_support import collect, gradient_step, make_algorithm, prepare
from torch.nn import functional as F

from cpo_rl.errors import UserError

SILENT = {
    "value_loss_coef": 0.0, "entropy_coef_scale": 0.0, "bound_loss_coef": 0.0, "adversarial_coef": 0.0,
    "follower_weight": 0.0, "leader_weight": 0.0, "borrowed_weight": 0.0, "awac_coef": 0.0, "max_grad_norm": 1.0e9,
}  # fmt: skip
"""Settings under which nothing has a gradient; a test switches on what it looks at."""


def _ready(borrowed=(1,), drop_awac=False, moved=0.1, **settings):
    """An algorithm with targets, whose parameters have moved away from the rollout's, and its only mini-batch."""
    settings = {"max_grad_norm": 1.0e9, "adversarial_coef": 0.0, "learning_rate_schedule": "fixed", **settings}
    alg = make_algorithm(**settings)
    alg.model.log_std.data.normal_(std=0.3)
    collect(alg)
    prepare(alg, list(borrowed))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in alg.model.parameters():
            parameter.add_(moved * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    if drop_awac:
        alg.cfg.awac_coef = 0.0  # the rows stay in the batch, the loss does not
    batch = alg.tables.passes(list(borrowed), 1, 1, torch.Generator().manual_seed(0))[0][0]
    return alg, batch


def _library(alg, batch):
    """Loss value and gradients of one gradient step of the library."""
    seen = {}
    inner = alg.policy_update._loss

    def record(*args):
        loss, parts = inner(*args)
        seen["loss"] = loss.detach().clone()
        return loss, parts

    alg.policy_update._loss = record
    before = {name: p.detach().clone() for name, p in alg.model.named_parameters()}
    alg.policy_update.learning_rate.start()
    gradient_step(alg, batch)
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in alg.model.named_parameters()}
    for name, parameter in alg.model.named_parameters():
        parameter.data.copy_(before[name])
    return seen["loss"], gradients


def _forward(model, obs, ids):
    """The network written out: concatenate, multiply, activate. Feed-forward and shared trunk only."""
    x = torch.cat([obs, model.embedding[ids]], -1)
    for layer in model.trunk.layers:
        x = F.elu(F.linear(x, layer.weight, layer.bias))
    mean = F.linear(x, model.mean_head.weight, model.mean_head.bias)
    value = F.linear(x, model.value_head.weight, model.value_head.bias)[:, 0]
    return mean, model.log_std[ids], value


def _materialized(alg, batch, rows=None):
    """Loss of every surrogate row and every regression row, from tensors gathered once; [n] and [n_awac].

    Written from the formulas (algorithm notes, section 4) without any function of the library.
    """
    c, r, model = alg.cfg, alg.rollout, alg.model
    flat = {
        "obs": r.observations.flatten(0, 1), "action": r.actions.flatten(0, 1), "logp": r.log_probs.flatten(),
    }  # fmt: skip
    n = batch.num_gradient
    mean, log_std, value = _forward(model, flat["obs"][batch.source], batch.policy)
    normal = torch.distributions.Normal(mean, log_std.exp())
    log_prob = normal.log_prob(flat["action"][batch.source]).sum(-1)
    ratio = (log_prob[:n] - flat["logp"][batch.source[:n]]).exp()
    advantage = r.target_advantages.flatten()[batch.target]
    clipped = ratio.clamp(1 - c.clip_param, 1 + c.clip_param)
    policy = torch.max(-advantage * ratio, -advantage * clipped)
    weights = [c.follower_weight, c.leader_weight, c.borrowed_weight]
    role_weights = torch.tensor(weights, dtype=torch.float64)
    policy = policy * role_weights.repeat_interleave(torch.tensor(batch.sizes[:3]))
    old, target = r.target_values.flatten()[batch.target], r.target_returns.flatten()[batch.target]
    near = old + (value[:n] - old).clamp(-c.clip_param, c.clip_param)
    critic = torch.max((value[:n] - target) ** 2, (near - target) ** 2)
    m = c.num_policies
    ladder = [0.5 * c.entropy_coef_scale * (m - 1 - i) / (m - 1) for i in range(m)] if m > 1 else [0.0]
    ladder = torch.tensor(ladder, dtype=torch.float64)
    entropy = (0.5 + 0.5 * math.log(2 * math.pi) + log_std[:n]).sum(-1) * ladder[batch.policy[:n]]
    over = (mean[:n] - 1.1).clamp(min=0) ** 2 + (mean[:n] + 1.1).clamp(max=0) ** 2
    surrogate = policy + c.value_loss_coef * critic - entropy + c.bound_loss_coef * over.sum(-1)
    regression = -c.awac_coef * r.awac_weights.flatten()[batch.weight] * log_prob[n:]
    return surrogate, regression


def _gradients(loss, model):
    names, parameters = zip(*model.named_parameters(), strict=True)
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, grads, strict=True)
    }  # fmt: skip


def _agree(ours, reference, factor=1.0):
    for name, gradient in reference.items():
        assert torch.allclose(ours[name], factor * gradient, rtol=1e-9, atol=1e-13), name


@pytest.mark.parametrize("normalization", ["gradient_rows", "all_rows"])
@pytest.mark.parametrize(("borrowed", "fraction"), [((), 1.0), ((1,), 1.0), ((1, 0), 1.0), ((1,), 0.25)])
def test_oracle_37_index_tables_equal_a_materialized_batch(normalization, borrowed, fraction):
    """A regression row that stands for 1 / ``awac_fraction`` of its kind counts as that many, above and below."""
    alg, batch = _ready(
        borrowed, borrowed_followers=len(borrowed), loss_normalization=normalization, awac_coef=0.05,
        bound_loss_coef=0.1, follower_weight=0.7, borrowed_weight=0.4, awac_fraction=fraction,
    )  # fmt: skip
    surrogate, regression = _materialized(alg, batch)
    assert len(regression) == 32 * fraction
    rows = len(surrogate) + (len(regression) / fraction if normalization == "all_rows" else 0)
    reference = (surrogate.sum() + regression.sum() / fraction) / rows
    expected = _gradients(reference, alg.model)
    loss, gradients = _library(alg, batch)
    assert loss.item() == pytest.approx(reference.item(), rel=1e-12)
    _agree(gradients, expected)
    assert all(float(g.abs().max()) > 0 for g in gradients.values())


def test_oracle_22_without_coupling_the_gradient_is_sapgs():
    """On a batch that still holds A rows: equal with ``gradient_rows``, times |F+L+O| / n with ``all_rows``."""
    sapg, sapg_batch = _ready(awac_coef=0.0)
    surrogate, regression = _materialized(sapg, sapg_batch)
    assert len(regression) == 0
    expected = _gradients(surrogate.mean(), sapg.model)
    _agree(_library(sapg, sapg_batch)[1], expected)
    for normalization, factor in (("gradient_rows", 1.0), ("all_rows", len(surrogate) / (len(surrogate) + 32))):
        alg, batch = _ready(drop_awac=True, loss_normalization=normalization)
        assert batch.sizes == (32, 16, 16, 32)
        _agree(_library(alg, batch)[1], expected, factor)


@pytest.mark.parametrize("form", ["closed_form", "sampled"])
def test_oracle_19_kl_term_gives_the_leader_no_gradient(form):
    settings = {**SILENT, "kl_coef": 0.5, "kl_form": form, "follower_weight": 1.0}
    alg, batch = _ready(**settings)
    _, gradients = _library(alg, batch)
    for name in ("embedding", "log_std"):
        assert torch.equal(gradients[name][-1], torch.zeros_like(gradients[name][-1])), name
        assert bool((gradients[name][:-1].abs().sum(-1) > 0).all()), name


def test_oracle_19_closed_form_kl_value():
    """With the surrogate's advantages at zero only the penalty is left."""
    alg, batch = _ready(**{**SILENT, "kl_coef": 0.5, "follower_weight": 1.0})
    alg.rollout.target_advantages.zero_()
    count = batch.sizes[0]
    obs = alg.rollout.observations.flatten(0, 1)[batch.source[:count]]
    mean, log_std, _ = _forward(alg.model, obs, batch.policy[:count])
    leader_mean, leader_log_std, _ = _forward(alg.model, obs, torch.full((count,), 2))
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mean, log_std.exp()), normal(leader_mean, leader_log_std.exp()))
    loss, _ = _library(alg, batch)
    assert loss.item() == pytest.approx(0.5 * kl.sum().item() / batch.num_gradient, rel=1e-12)


def test_oracle_21_awac_reaches_followers_only():
    alg, batch = _ready(**{**SILENT, "awac_coef": 1.0})
    _, gradients = _library(alg, batch)
    assert not gradients["value_head.weight"].any()
    assert not gradients["value_head.bias"].any()
    for name in ("embedding", "log_std"):
        assert not gradients[name][-1].any(), name
        assert bool((gradients[name][:-1].abs().sum(-1) > 0).all()), name
    assert gradients["trunk.layers.0.weight"].any()


def test_oracle_21_awac_touches_no_other_row():
    alg, batch = _ready(**{**SILENT, "awac_coef": 1.0})
    seen = {}
    inner = alg.policy_update._loss

    def record(rows, out, leader_mean):
        out.mean.retain_grad()
        seen["mean"] = out.mean
        return inner(rows, out, leader_mean)

    alg.policy_update._loss = record
    _library(alg, batch)
    per_row = seen["mean"].grad.abs().sum((1, 2))
    assert not per_row[: batch.num_gradient].any()
    assert bool((per_row[batch.rows("awac")] > 0).all())


def test_oracle_25_entropy_counts_followers_own_rows_only():
    alg, batch = _ready(**{**SILENT, "entropy_coef_scale": 0.3, "awac_coef": 1.0})
    alg.cfg.awac_coef = 0.0
    _, gradients = _library(alg, batch)
    rows, per_policy = batch.num_gradient, 16
    for i, coef in enumerate([0.15, 0.075, 0.0]):
        # d entropy / d log_std = 1 per action dimension, once per row of the policy; borrowed rows carry coefficient 0
        expected = torch.full((3,), -coef * per_policy / rows, dtype=torch.float64)
        assert torch.allclose(gradients["log_std"][i], expected, rtol=1e-12, atol=0.0)
    assert not gradients["embedding"].any()


def test_oracle_28_regression_rows_do_not_move_the_learning_rate():
    alg, batch = _ready()
    measured = []
    for drift in (0.0, 100.0):
        alg.policy_update.learning_rate.start()
        means = alg.rollout.target_means.clone()
        out = alg.model.evaluate(alg.rollout.sequences(alg.rollout.observations)[batch.source], batch.policy)
        mean = out.mean.detach().clone()
        mean[batch.rows("awac")] += drift
        policy = alg.policy_update._reference_policy(batch, 0)
        measured.append(alg.policy_update.learning_rate.measure(batch, out._replace(mean=mean), alg.rollout, policy))
        alg.rollout.target_means.copy_(means)
    assert measured[0].item() == measured[1].item() > 0.0


def test_oracle_28_a_learning_rate_driven_by_regression_rows_is_refused():
    with pytest.raises(UserError, match="learning_rate_rows"):
        make_algorithm(learning_rate_rows="all")


@pytest.mark.parametrize("rows", ["on_policy", "gradient_rows", "all"])
def test_oracle_29_advantages_are_normalized_over_the_named_rows(rows):
    raw = make_algorithm(normalize_advantages=False, normalize_values=False, adversarial_coef=0.0, awac_weight_max=1e30)
    collect(raw)
    prepare(raw, [1])
    advantages = raw.rollout.target_advantages.flatten()
    uncapped = raw.cfg.awac_temperature * raw.rollout.awac_weights.log().flatten()
    counted = {
        "on_policy": advantages[: 12 * 4], "gradient_rows": advantages, "all": torch.cat([advantages, uncapped]),
    }[rows]  # fmt: skip
    alg = make_algorithm(statistics_rows=rows, normalize_values=False, adversarial_coef=0.0)
    collect(alg)
    prepare(alg, [1])
    expected = (advantages - counted.mean()) / (counted.std() + 1e-8)
    assert torch.allclose(alg.rollout.target_advantages.flatten(), expected, rtol=1e-7, atol=1e-9)
    weights = ((uncapped - counted.mean()) / (counted.std() + 1e-8) / 0.2).exp().clamp(max=100.0)
    assert torch.allclose(alg.rollout.awac_weights.flatten(), weights, rtol=1e-6)
    if rows == "gradient_rows":
        normalized = alg.rollout.target_advantages
        assert normalized.mean().item() == pytest.approx(0.0, abs=1e-12)
        assert normalized.std().item() == pytest.approx(1.0, abs=1e-6)


def _hand_written_ppo(alg, plans, rate):
    """PPO's updates with torch's own Adam on the materialized batch."""
    optimizer = torch.optim.Adam(alg.model.parameters(), lr=rate)
    for batch in [b for plan in plans for b in plan]:
        surrogate, regression = _materialized(alg, batch)
        assert len(regression) == 0
        optimizer.zero_grad()
        surrogate.mean().backward()
        torch.nn.utils.clip_grad_norm_(alg.model.parameters(), alg.cfg.max_grad_norm)
        optimizer.step()
    return {n: p.detach().clone() for n, p in alg.model.named_parameters()}


def test_oracle_36_one_policy_is_ppo():
    settings = {
        "num_policies": 1, "borrowed_followers": 0, "num_mini_batches": 2, "num_learning_epochs": 3,
        "learning_rate_schedule": "fixed", "learning_rate": 2.0**-7, "max_grad_norm": 0.5, "bound_loss_coef": 0.1,
    }  # fmt: skip
    algs = [make_algorithm(**settings) for _ in range(2)]
    for alg in algs:
        collect(alg)
    by_hand = algs[1]
    prepare(by_hand, [])
    start = {n: p.detach().clone() for n, p in by_hand.model.named_parameters()}
    plans = by_hand.tables.passes([], 3, 2, torch.Generator().manual_seed(0))
    assert all(b.sizes == (0, 24, 0, 0) for plan in plans for b in plan)
    expected = _hand_written_ppo(by_hand, plans, 2.0**-7)
    metrics = algs[0].update()
    for name, parameter in algs[0].model.named_parameters():
        assert torch.allclose(parameter, expected[name], rtol=1e-9, atol=1e-12), name
        assert not torch.equal(parameter, start[name]), name
    assert not [k for k in metrics if k.startswith(("Ensemble/ess", "Discriminator", "Policy_", "Loss/awac"))]


def test_oracle_36_no_borrowing_and_no_coupling_is_independent_learners_on_one_trunk():
    alg, batch = _ready((), borrowed_followers=0, awac_coef=0.0)
    assert batch.sizes == (32, 16, 0, 0)
    _, gradients = _library(alg, batch)
    alone = []
    for policy in range(3):
        surrogate, _ = _materialized(alg, batch)
        alone.append(_gradients(surrogate[batch.policy == policy].mean(), alg.model))
        others = [i for i in range(3) if i != policy]
        assert not alone[-1]["embedding"][others].any()
        assert not alone[-1]["log_std"][others].any()
    _agree(gradients, {n: (alone[0][n] + alone[1][n] + alone[2][n]) / 3 for n in gradients})


def test_borrowed_rows_count_as_clipped_around_their_own_center():
    """Before any step the leader is the old leader, so the ratio equals the center and no borrowed row is clipped."""
    fractions = {}
    for center in ("one", "old_leader"):
        alg, batch = _ready(moved=0.0, borrowed_clip_center=center)
        alg.metrics.read(alg.ranks)
        gradient_step(alg, batch)
        scalars, _ = alg.metrics.read(alg.ranks)
        fractions[center] = scalars["Ensemble/clipped_fraction_borrowed"]
    assert fractions["old_leader"] == 0.0 < fractions["one"]

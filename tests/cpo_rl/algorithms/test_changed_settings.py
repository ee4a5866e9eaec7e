# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A setting changed between two iterations acts as if it had always been so, or is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tests.cpo_rl.toy import ToyEnv, iterate, make_algorithm

from cpo_rl.algorithms.cuda_graph import RecordedStep
from cpo_rl.config import EnsembleCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import limits_of

NUM_ENVS = 12


def another(name: str, value: Any) -> Any:
    """Another value that a field accepts, for whatever fields there will be."""
    limits = limits_of(EnsembleCfg)[name]
    if limits.choices:
        return next(choice for choice in limits.choices if choice != value)
    if isinstance(value, bool):
        return not value
    return next(v for v in (2 * value, 0.5 * value, type(value)(1)) if v != value and limits.allow(v))


@pytest.mark.parametrize("name", [n for n, limits in limits_of(EnsembleCfg).items() if not limits.fixed])
def test_a_changed_setting_acts_as_if_it_had_always_been_so(name):
    """Every field acts or is refused: here those that act, compared with an algorithm that was made with the value."""
    base = {"kl_coef": 0.01, "learning_rate_update": "mini_batch", "num_mini_batches": 2, "sequence_length": 2}
    base.pop(name, None)
    if name in ("coupling_target_kl", "coupling_rate"):
        base = {**base, "kl_coef": 0.0, "coupling_target_kl": 0.001}
    changed = make_algorithm(NUM_ENVS, rnn="lstm", **base)
    value = another(name, getattr(changed.cfg, name)) if name != "action_std_max" else 1.0  # acts on the initial noise
    made = make_algorithm(NUM_ENVS, rnn="lstm", **{**base, name: value})
    changed.set_hyperparameters({name: value})
    metrics = [iterate(alg, ToyEnv(torch.arange(NUM_ENVS)), 2) for alg in (changed, made)]
    assert str(metrics[0]) == str(metrics[1])
    for key, tensor in made.model.state_dict().items():
        assert torch.equal(changed.model.state_dict()[key], tensor), key


@pytest.mark.parametrize(("name", "value"), [
    ("num_policies", 4), ("num_mini_batches", 2), ("sequence_length", 2), ("borrowed_followers", 2),
    ("awac_fraction", 0.5), ("discriminator_hidden_dims", [4]), ("compile", True), ("cuda_graph", False),
    ("fit_mini_batches", True), ("algorithm", "mine"),
])  # fmt: skip
def test_a_setting_that_cannot_act_any_more_is_refused(name, value):
    algorithm = make_algorithm(NUM_ENVS)
    before = dataclasses.asdict(algorithm.cfg)
    with pytest.raises(UserError, match=f"algorithm field {name}=.* cannot change in a run"):
        algorithm.set_hyperparameters({"gamma": 0.5, name: value})
    assert dataclasses.asdict(algorithm.cfg) == before
    algorithm.set_hyperparameters({name: before[name]})  # saying what is so is no change
    assert {n for n, limits in limits_of(EnsembleCfg).items() if limits.fixed} >= {name}


@pytest.mark.parametrize("name", ["awac_coef", "adversarial_coef"])
def test_a_coupling_can_be_switched_off_but_not_on(name):
    with pytest.raises(UserError, match=f"algorithm field {name}=0.1 cannot change in a run"):
        make_algorithm(NUM_ENVS, **{name: 0.0}).set_hyperparameters({name: 0.1})
    algorithm, env = make_algorithm(NUM_ENVS), ToyEnv(torch.arange(NUM_ENVS))
    metrics = iterate(algorithm, env, 1)[0]
    assert "Loss/awac" in metrics and metrics["Discriminator/bonus"] != 0.0
    algorithm.set_hyperparameters({name: 0.0})
    metrics = iterate(algorithm, env, 1)[0]
    assert ("Loss/awac" in metrics) == (name != "awac_coef")
    assert (metrics["Discriminator/bonus"] == 0.0) == (name == "adversarial_coef")


@pytest.mark.parametrize(
    ("preset", "rnn"), [("ppo", "none"), ("sapg", "none"), ("independent", "lstm"), ("cpo", "none")]
)
def test_every_change_acts_or_is_refused(preset, rnn):
    """For every field that can change: refused, or other weights, other metrics, or a rule that is asked elsewhere."""
    elsewhere = {  # rules that nothing in these two iterations asks, and thresholds that nothing crosses
        "desired_kl", "diagnostics_interval",
        "non_finite", "max_skipped_updates", "absurd_reward", "absurd_observation", "quarantine_stop_fraction",
        "absurd_output",
        "learning_rate_min", "learning_rate_max", "kl_form", "max_grad_norm", "awac_weight_max",
        "action_std_max",
    }  # fmt: skip
    base: dict[str, Any] = {"num_learning_epochs": 3, "clip_param": 0.02, "bound_limit": 0.02}
    base |= {"num_policies": 1 if preset == "ppo" else 3, "borrowed_followers": int(preset in ("sapg", "cpo"))}
    plain = make_algorithm(NUM_ENVS, name=preset, rnn=rnn, **base)
    unchanged = [str(iterate(plain, ToyEnv(torch.arange(NUM_ENVS)), 2))]
    unchanged += [p.tolist() for p in plain.model.parameters()]
    for name, limits in limits_of(EnsembleCfg).items():
        if limits.fixed or name in elsewhere:
            continue
        algorithm = make_algorithm(NUM_ENVS, name=preset, rnn=rnn, **base)
        refusal = None
        try:
            algorithm.set_hyperparameters({name: another(name, getattr(algorithm.cfg, name))})
        except UserError as error:
            refusal = str(error)
        if refusal is not None:
            assert refusal.startswith(f"algorithm field {name}=") and "cannot change in a run" in refusal
            continue
        found = [str(iterate(algorithm, ToyEnv(torch.arange(NUM_ENVS)), 2))]
        assert [*found, *(p.tolist() for p in algorithm.model.parameters())] != unchanged, name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 0.9}, "Unknown algorithm field 'gama'; did you mean 'gamma'"),
        ({"gamma": 2.0}, "algorithm field gamma=2.0 must lie in"),
        ({"learning_rate_min": 1.0}, "learning_rate_max=0.01 must be at least learning_rate_min"),
        ({"discriminator_mini_batches": 97}, "must not exceed the 96 transitions"),
    ],
)
def test_a_bad_change_changes_nothing(values, message):
    algorithm = make_algorithm(NUM_ENVS)
    before = dataclasses.asdict(algorithm.cfg)
    with pytest.raises(UserError, match=message):
        algorithm.set_hyperparameters({"lam": 0.5, **values})
    assert dataclasses.asdict(algorithm.cfg) == before


def test_changed_settings_are_recorded_anew():
    """What a recorded step holds as a constant must not outlive it."""
    algorithm = make_algorithm(NUM_ENVS)
    recorded = algorithm.policy_update.recorded = RecordedStep(lambda *args: None, torch.device("cpu"))
    for change in (
        lambda: algorithm.set_hyperparameters({"entropy_coef": 0.1}),
        lambda: algorithm.load(algorithm.save()),
    ):
        recorded._seen[(1,)] = 3
        change()
        assert recorded._seen == {}


def test_entropy_coefficients_keep_their_address():
    algorithm = make_algorithm(NUM_ENVS)
    address = algorithm.policy_update._entropy_coefs.data_ptr()
    algorithm.set_hyperparameters({"entropy_coef": 0.1, "entropy_coef_scale": 0.2})
    assert algorithm.policy_update._entropy_coefs.tolist() == pytest.approx([0.2, 0.15, 0.1])
    assert algorithm.policy_update._entropy_coefs.data_ptr() == address

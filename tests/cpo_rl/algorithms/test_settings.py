# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every setting trains, does what it says, and random settings train or are refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_rl.toy import NUM_ACTIONS, NUM_OBS, ToyEnv, iterate, make_algorithm

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import limits_of
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.presets import PRESETS, preset

NUM_ENVS = 12
CHOICES = {name: limits.choices for name, limits in limits_of(EnsembleCfg).items() if limits.choices}


def train(iterations: int = 2, **options: Any) -> tuple[EnsemblePPO, list[dict[str, float]]]:
    algorithm = make_algorithm(NUM_ENVS, **options)
    metrics = iterate(algorithm, ToyEnv(torch.arange(NUM_ENVS)), iterations)
    assert all(p.isfinite().all() for p in algorithm.model.parameters())
    return algorithm, metrics


def moved(algorithm: EnsemblePPO, **options: Any) -> bool:
    """Whether training changed the parameters."""
    start = make_algorithm(NUM_ENVS, **options).model.state_dict()
    return any(not torch.equal(v, start[k]) for k, v in algorithm.model.state_dict().items() if "normalizer" not in k)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize(
    "options",
    [
        *({"name": name} for name in PRESETS),
        *({field: value} for field, values in CHOICES.items() for value in values),
        {"kl_coef": 0.1, "kl_form": "sampled"},
        {"kl_coef": 0.1, "kl_form": "closed_form"},
        {"borrowed_reference": "behavior", "learning_rate_reference": "rollout"},
        {"statistics_rows": "all", "normalize_advantages": False},
        {"normalize_values": False, "use_clipped_value_loss": False},
        {"awac_fraction": 0.3, "loss_normalization": "all_rows"},
        {"bootstrap_time_outs": False},
        {"borrowed_followers": 2},
        {"num_mini_batches": 3},
        {"model": {"separate_critic": True}},
        {"model": {"normalize_observations": False, "embedding_dim": 0}},
        {"model": {"rnn_num_layers": 2, "rnn_layer_norm": False}},
    ],
    ids=str,
)
def test_every_setting_trains(options, rnn):
    algorithm, metrics = train(rnn=rnn, **options)
    assert moved(algorithm, rnn=rnn, **options)
    named = {k: v for k, v in metrics[-1].items() if not k.startswith("Value/")}
    assert all(math.isfinite(v) for v in named.values()), named
    assert metrics[-1]["Optimization/skipped_updates"] == 0.0


def test_settings_that_should_change_learning_do():
    """Guards against a field that is read nowhere."""
    base, _ = train()
    for options in (
        {"learning_rate": 1.0e-3}, {"num_learning_epochs": 3}, {"gamma": 0.9}, {"lam": 0.5}, {"clip_param": 1.0e-4},
        {"value_loss_coef": 1.0}, {"use_clipped_value_loss": False, "clip_param": 0.01}, {"normalize_values": False},
        {"normalize_advantages": False}, {"statistics_rows": "on_policy"}, {"statistics_rows": "all"},
        {"entropy_coef": 0.1}, {"entropy_coef_scale": 0.1}, {"bound_limit": 0.01}, {"reward_scale": 1.0},
        {"bootstrap_time_outs": False}, {"borrowed_followers": 2}, {"awac_coef": 0.1}, {"awac_temperature": 0.1},
        {"awac_weight_max": 2.0}, {"awac_fraction": 0.5}, {"kl_coef": 1.0}, {"kl_coef": 1.0, "kl_form": "sampled"},
        {"adversarial_coef": 1.0}, {"discriminator_hidden_dims": [4]}, {"loss_normalization": "all_rows"},
        {"follower_weight": 0.5}, {"leader_weight": 0.5}, {"borrowed_weight": 0.5}, {"max_grad_norm": 0.01},
        {"model": {"observation_clip": 0.1}}, {"model": {"init_log_std": -1.0}}, {"model": {"activation": "tanh"}},
        {"mixed_precision": True},
    ):  # fmt: skip
        other, _ = train(**options)
        assert not torch.equal(other.model.mean_head.weight, base.model.mean_head.weight), options


def test_the_state_of_relabelled_rows_matters_to_a_recurrent_model():
    parameters = [train(rnn="lstm", relabel_state=value)[0].model.mean_head.weight for value in ("target", "behavior")]
    assert not torch.equal(*parameters)


def test_reward_in_metrics_is_unscaled():
    _, metrics = train()
    _, scaled = train(reward_scale=1.0)
    assert metrics[0]["Leader/return"] == pytest.approx(scaled[0]["Leader/return"])


def test_a_fixed_learning_rate_stays():
    algorithm, metrics = train(learning_rate_schedule="fixed", desired_kl=1.0e-9)
    assert algorithm.learning_rate == pytest.approx(5.0e-4)
    assert metrics[-1]["Optimization/learning_rate"] == pytest.approx(5.0e-4)


@pytest.mark.parametrize(("update", "steps"), [("epoch", 2), ("mini_batch", 6)])
def test_the_rate_adapts_once_per_pass_or_per_step(update, steps):
    """With an unreachable target every adaptation divides by 1.5; the first step of all has a KL of zero and adds."""
    algorithm, _ = train(1, learning_rate_update=update, desired_kl=1.0e-12, num_mini_batches=3)
    downs = 0 if update == "epoch" else 1
    expected = 5.0e-4 * 1.5 ** -(steps - 2 * downs)
    assert algorithm.learning_rate == pytest.approx(expected, rel=1.0e-5)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_mixed_precision_stays_near_full_precision(rnn):
    full, _ = train(1, rnn=rnn, num_learning_epochs=1)
    mixed, _ = train(1, rnn=rnn, num_learning_epochs=1, mixed_precision=True)
    assert mixed.model.mean_head.weight.dtype == torch.float32
    for name, parameter in full.model.named_parameters():
        gap = (parameter - mixed.model.get_parameter(name)).abs().max()
        assert gap <= 2.1 * 5.0e-4, name  # one step of Adam moves a parameter by at most the learning rate


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"kl_coef": 0.1, "rnn": "lstm"}], ids=["mlp", "lstm_kl"])
def test_compiling_changes_nothing_but_rounding(options):
    eager, _ = train(2, **options)
    compiled, _ = train(2, **options, compile=True)
    for name, parameter in eager.model.named_parameters():
        torch.testing.assert_close(compiled.model.get_parameter(name), parameter, rtol=1.0e-3, atol=2.0e-5, msg=name)


def test_diagnostics_come_at_their_interval():
    algorithm = make_algorithm(NUM_ENVS, diagnostics_interval=2)
    env = ToyEnv(torch.arange(NUM_ENVS))
    seen = []
    for _ in range(4):
        metrics = iterate(algorithm, env, 1)[0]
        seen.append("Ensemble/kl_mean" in metrics)
        assert (algorithm.diagnostics() is not None) == seen[-1]
    assert seen == [True, False, True, False]


def test_one_policy_has_no_matrix_and_no_policy_columns():
    algorithm, metrics = train(1, name="ppo")
    assert algorithm.diagnostics() in (None, {}, {"borrowed": []})
    assert not [k for k in metrics[0] if k.startswith(("Policy_", "Ensemble/kl", "Discriminator/"))]


@pytest.mark.parametrize("where", ["observations", "rewards"])
def test_a_bad_number_never_reaches_the_weights_and_is_located(where):
    algorithm = make_algorithm(NUM_ENVS)
    before = {k: v.clone() for k, v in algorithm.model.named_parameters()}
    judge = {k: v.clone() for k, v in algorithm.diversity.discriminator.named_parameters()}
    env = ToyEnv(torch.arange(NUM_ENVS))
    genuine = env.step

    def broken(actions: torch.Tensor) -> Any:
        obs, rewards, dones, extras = genuine(actions)
        if env.steps == 3:
            (obs["policy"] if where == "observations" else rewards)[5] = float("nan")
        return obs, rewards, dones, extras

    env.step = broken  # type: ignore[method-assign]
    metrics = iterate(algorithm, env, 1)[0]
    assert metrics["Optimization/skipped_updates"] == 2.0
    step = 3 if where == "observations" else 2
    assert algorithm.guard_report() == {"tensor": where, "step": step, "env_ids": [5]}
    assert all(torch.equal(v, before[k]) for k, v in algorithm.model.named_parameters())
    assert all(torch.equal(v, judge[k]) for k, v in algorithm.diversity.discriminator.named_parameters())
    assert iterate(algorithm, ToyEnv(torch.arange(NUM_ENVS)), 1)[0]["Optimization/skipped_updates"] == 0.0
    assert algorithm.guard_report() is None
    assert any(not torch.equal(v, before[k]) for k, v in algorithm.model.named_parameters())


# -- built by rsl_rl's runner ------------------------------------------------------------------------------------------


def runner_cfg(name: str = "cpo", **changes: Any) -> dict[str, Any]:
    cfg = {
        "seed": 1,
        "num_steps_per_env": 8,
        "save_interval": 1000,
        "obs_groups": {"actor": ["policy"]},
        "check_for_nan": False,
        "model": {"hidden_dims": [8]},
        "algorithm": {
            "class_name": "cpo_rl.algorithms:EnsemblePPO",
            **preset(name, num_policies=3, discriminator_hidden_dims=[8]),
        },
    }
    return {**cfg, **changes}


@pytest.mark.parametrize("name", PRESETS)
def test_the_stock_runner_trains_saves_and_loads(tmp_path, name):
    runner = OnPolicyRunner(ToyEnv(torch.arange(NUM_ENVS)), runner_cfg(name), log_dir=None, device="cpu")
    runner.learn(2)
    path = str(tmp_path / "model.pt")
    torch.save({**runner.alg.save(), "iter": 1, "infos": None}, path)
    second = OnPolicyRunner(ToyEnv(torch.arange(NUM_ENVS)), runner_cfg(name), log_dir=None, device="cpu")
    second.load(path)
    policy = second.get_inference_policy(device="cpu")
    obs = ToyEnv(torch.arange(NUM_ENVS)).get_observations()
    assert torch.equal(policy(obs), runner.alg.get_policy()(obs))
    assert second.alg.get_policy().output_std.shape == (NUM_ACTIONS,)


def test_the_stock_runner_exports(tmp_path):
    runner = OnPolicyRunner(ToyEnv(torch.arange(NUM_ENVS)), runner_cfg(), log_dir=None, device="cpu")
    runner.export_policy_to_jit(str(tmp_path))
    runner.export_policy_to_onnx(str(tmp_path))
    obs = ToyEnv(torch.arange(NUM_ENVS)).get_observations()
    module = torch.jit.load(str(tmp_path / "policy.pt"))
    torch.testing.assert_close(module(obs["policy"]), runner.alg.get_policy()(obs))
    assert (tmp_path / "policy.onnx").stat().st_size > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs_groups": {"actor": ["vision"]}}, "obs_groups names 'vision', but the environment gives policy"),
        ({"obs_groups": {"actor": ["policy"], "critic": ["vision"]}}, "obs_groups names 'vision'"),
        ({"obs_groups": {"policy": ["policy"]}}, "obs_groups names 'policy'"),
        ({"model": {"hidden": [8]}}, "Unknown model field 'hidden'"),
        ({"num_steps_per_env": 7, "algorithm": {"sequence_length": 2, "num_policies": 3}}, "sequence_length=2"),
        ({"algorithm": {"num_policies": 5}}, "num_envs=12"),
    ],
)
def test_bad_configurations_are_refused_before_a_network_exists(monkeypatch, changes, message):
    changes = {
        k: {"class_name": "cpo_rl.algorithms:EnsemblePPO", **v} if k == "algorithm" else v for k, v in changes.items()
    }

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a network was made")

    monkeypatch.setattr(EnsembleActorCritic, "__init__", forbidden)
    with pytest.raises(UserError, match=message):
        OnPolicyRunner(ToyEnv(torch.arange(NUM_ENVS)), runner_cfg(**changes), log_dir=None, device="cpu")


def test_missing_groups_and_seed_have_defaults():
    cfg = runner_cfg(obs_groups={}, seed=None)
    runner = OnPolicyRunner(ToyEnv(torch.arange(NUM_ENVS)), cfg, log_dir=None, device="cpu")
    assert runner.alg.model.obs_groups == ["policy"]
    runner.learn(1)


# -- random settings ---------------------------------------------------------------------------------------------------


@st.composite
def any_settings(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], int, int]:
    """Settings of which most fit each other, and sizes of a rollout."""
    algorithm: dict[str, Any] = {
        "num_policies": draw(st.integers(1, 4)),
        "num_learning_epochs": draw(st.integers(1, 2)),
        "num_mini_batches": draw(st.integers(1, 5)),
        "sequence_length": draw(st.sampled_from([1, 1, 2, 4, 3])),
        "borrowed_followers": draw(st.integers(0, 3)),
        "discriminator_hidden_dims": [4],
        "discriminator_mini_batches": draw(st.integers(1, 3)),
    }
    ranges: dict[str, tuple[float, float]] = {
        "learning_rate": (1e-6, 1e-2), "desired_kl": (1e-4, 0.1), "gamma": (0.5, 1.0), "lam": (0.0, 1.0),
        "clip_param": (0.01, 0.5), "entropy_coef": (0.0, 0.1), "entropy_coef_scale": (0.0, 0.1),
        "reward_scale": (1e-3, 10.0), "awac_coef": (0.0, 0.1), "awac_temperature": (0.01, 2.0),
        "awac_weight_max": (1.0, 200.0), "awac_fraction": (0.01, 1.0), "kl_coef": (0.0, 1.0),
        "adversarial_coef": (0.0, 0.1), "borrowed_weight": (0.0, 2.0), "max_grad_norm": (0.01, 10.0),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        if draw(st.booleans()):
            algorithm[name] = draw(st.one_of(st.just(low), st.floats(low, high)))
    algorithm |= {name: draw(st.sampled_from(values)) for name, values in CHOICES.items()}
    switches = [f.name for f in dataclasses.fields(EnsembleCfg) if f.type == "bool" and f.name != "compile"]
    algorithm |= {name: draw(st.booleans()) for name in switches}
    model = {
        "hidden_dims": draw(st.lists(st.integers(1, 6), min_size=1, max_size=2)),
        "activation": draw(st.sampled_from(limits_of(ModelCfg)["activation"].choices)),
        "embedding_dim": draw(st.integers(0, 3)),
        "rnn_type": draw(st.sampled_from(["none", "lstm"])),
        "rnn_hidden_dim": draw(st.integers(1, 4)),
        "rnn_num_layers": draw(st.integers(1, 2)),
        **{name: draw(st.booleans()) for name in ("rnn_layer_norm", "separate_critic", "normalize_observations")},
    }
    return algorithm, model, draw(st.sampled_from([12, 12, 12, 24, 10])), draw(st.sampled_from([4, 8, 2]))


def train_or_refuse(case: tuple[dict[str, Any], dict[str, Any], int, int]) -> None:
    algorithm, model, num_envs, horizon = case
    try:
        cfg = EnsembleCfg(**algorithm)
        cfg.validate()
        cfg.validate_batch(num_envs, horizon)
    except UserError:
        return
    network = EnsembleActorCritic(NUM_OBS, NUM_ACTIONS, cfg.num_policies, ModelCfg(**model))
    learner = EnsemblePPO(network, cfg, num_envs, horizon)
    metrics = iterate(learner, ToyEnv(torch.arange(num_envs)), 1)[0]
    assert all(p.isfinite().all() for p in network.parameters())
    assert metrics["Optimization/skipped_updates"] == 0.0


COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


@settings(max_examples=100, **COMMON)
@given(any_settings())
def test_random_settings_train_or_are_refused(case):
    train_or_refuse(case)


@pytest.mark.slow
@settings(max_examples=500, **{**COMMON, "derandomize": False})
@given(any_settings())
def test_500_random_settings_train_or_are_refused(case):
    train_or_refuse(case)

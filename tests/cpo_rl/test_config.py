# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import ast
import dataclasses
import inspect
from typing import Any

import pytest

from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.fields import Limits, build_cfg, limits_of
from cpo_rl.formulas.losses import entropy_ladder
from cpo_rl.presets import MINI_BATCH_FACTOR, PRESETS, preset

OUT_OF_RANGE = {
    "algorithm": {
        "num_policies": [0, -1],
        "num_learning_epochs": [0],
        "num_mini_batches": [0],
        "sequence_length": [0],
        "discriminator_mini_batches": [0],
        "diagnostics_interval": [0],
        "learning_rate": [0.0, -1.0],
        "desired_kl": [0.0],
        "learning_rate_min": [0.0],
        "learning_rate_max": [1.0e-7],
        "max_grad_norm": [0.0],
        "bound_limit": [0.0],
        "reward_scale": [0.0],
        "awac_temperature": [0.0, -0.2],
        "awac_weight_max": [0.0],
        "discriminator_learning_rate": [0.0],
        "value_loss_coef": [-1.0],
        "entropy_coef": [-1.0],
        "entropy_coef_scale": [-1.0],
        "bound_loss_coef": [-1.0],
        "awac_coef": [-1.0e-3],
        "kl_coef": [-0.1],
        "coupling_target_kl": [-0.1],
        "coupling_rate": [0.0],
        "action_std_max": [0.0],
        "adversarial_coef": [-0.01],
        "follower_weight": [-1.0],
        "leader_weight": [-1.0],
        "borrowed_weight": [-1.0],
        "max_skipped_updates": [-1],
        "absurd_reward": [0.0],
        "absurd_observation": [-1.0],
        "absurd_output": [0.0],
        "quarantine_stop_fraction": [-0.1, 1.1],
        "borrowed_followers": [-1, 6],
        "gamma": [0.0, 1.1],
        "lam": [-0.1, 1.1],
        "clip_param": [0.0, 1.0],
        "awac_fraction": [0.0, 1.1],
        "discriminator_hidden_dims": [[], [0], [8.0], 8],
        **{name: ["something_else"] for name, limits in limits_of(EnsembleCfg).items() if limits.choices},
    },
    "model": {
        "hidden_dims": [[], [0], [8.0], 8],
        "activation": ["sigmoid"],
        "embedding_dim": [-1],
        "rnn_type": ["gru"],
        "rnn_hidden_dim": [0],
        "rnn_num_layers": [0],
        "observation_clip": [0.0],
    },
}
CLASSES = {"algorithm": EnsembleCfg, "model": ModelCfg}
WRONG_KIND = {"int": 1.5, "float": float("nan"), "bool": 1, "str": 3}

UNBOUNDED = {"algorithm": {"algorithm"}, "model": set()}
"""Fields that take any value of their kind."""


def outside(limits: Limits) -> list[Any]:
    """Values just beyond each end of a range."""
    ends = [(limits.at_least, -1), (limits.above, 0), (limits.at_most, 1), (limits.below, 0)]
    values = [end + step for end, step in ends if end is not None]
    return [[value] for value in values] if limits.entries else [*values, *(["no choice"] if limits.choices else [])]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [(s, n, v) for s, fields in OUT_OF_RANGE.items() for n, values in fields.items() for v in values],
)
def test_a_value_out_of_range_is_refused_by_name(section, name, value):
    with pytest.raises(UserError, match=f"{name}=") as error:
        build_cfg(CLASSES[section], {name: value}, section)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        (section, f.name, WRONG_KIND[str(f.type)])
        for section, cls in CLASSES.items()
        for f in dataclasses.fields(cls)
        if str(f.type) in WRONG_KIND
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(section, name, value):
    with pytest.raises(UserError, match=f"{name}="):
        build_cfg(CLASSES[section], {name: value}, section)


@pytest.mark.parametrize("section", CLASSES)
def test_every_field_has_a_range_that_is_checked(section):
    """What stands beside a field's default is what is refused, whatever fields there will be."""
    switches = {f.name for f in dataclasses.fields(CLASSES[section]) if f.type == "bool"}
    for name, limits in limits_of(CLASSES[section]).items():
        assert bool(outside(limits)) != (name in switches | UNBOUNDED[section]), name
        for value in outside(limits):
            with pytest.raises(UserError, match=f"{name}="):
                build_cfg(CLASSES[section], {name: value}, section)


@pytest.mark.parametrize("section", CLASSES)
def test_every_field_is_described(section):
    """The text under a field is what documentation and colleagues read."""
    for cls in CLASSES[section].__mro__:
        if dataclasses.is_dataclass(cls):
            body = ast.parse(inspect.getsource(cls)).body[0].body
            for field, text in zip(body, [*body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), ast.unparse(
                        field.target
                    )


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(UserError, match="Unknown algorithm field 'awac_beta'"):
        build_cfg(EnsembleCfg, {"awac_beta": 0.1}, "algorithm")


def test_the_class_name_is_none_of_its_business():
    assert build_cfg(EnsembleCfg, {"class_name": "x:Y", "gamma": 0.9}, "algorithm").gamma == 0.9


@pytest.mark.parametrize(
    ("settings", "num_envs", "horizon", "message"),
    [
        ({}, 13, 8, "num_envs=13 must be a positive multiple of num_policies=6; use 12 or 18."),
        ({}, 3, 8, "use 6 or 12"),
        ({}, 0, 8, "num_envs=0"),
        ({"sequence_length": 3}, 12, 8, "sequence_length=3 must divide num_steps_per_env=8"),
        ({}, 12, 0, "num_steps_per_env=0"),
        ({"num_mini_batches": 17}, 12, 8, "num_mini_batches=17 must not exceed the 16 sequences of one policy"),
        ({"discriminator_mini_batches": 97, "adversarial_coef": 0.1}, 12, 8, "must not exceed the 96 transitions"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(settings, num_envs, horizon, message):
    with pytest.raises(UserError, match=message):
        EnsembleCfg(**settings).validate_batch(num_envs, horizon)


@pytest.mark.parametrize(
    ("num_envs", "horizon", "sequence_length", "wanted", "fitted", "needed"),
    [
        (12, 16, 16, 8, 2, 48),  # two environments of each of six policies give two whole sequences each
        (12, 8, 1, 17, 16, 18),
        (48, 16, 16, 8, 8, None),  # enough
        (6, 16, 8, 8, 2, 24),
    ],
)
def test_mini_batches_are_lowered_to_what_the_rollout_fills(num_envs, horizon, sequence_length, wanted, fitted, needed):
    cfg = EnsembleCfg(num_mini_batches=wanted, sequence_length=sequence_length, fit_mini_batches=True)
    line = cfg.fit_batch(num_envs, horizon)
    assert cfg.num_mini_batches == fitted
    assert line == (
        None if needed is None else f"mini-batches: {fitted} instead of {wanted}, which need {needed} environments"
    )
    cfg.adversarial_coef = 0.0
    cfg.validate_batch(num_envs, horizon)
    if needed is not None:  # the line tells the truth
        EnsembleCfg(num_mini_batches=wanted, sequence_length=sequence_length).validate_batch(needed, horizon)


def test_mini_batches_are_not_lowered_unless_allowed():
    cfg = EnsembleCfg(num_mini_batches=17)
    assert cfg.fit_batch(12, 8) is None
    assert cfg.num_mini_batches == 17


def test_sizes_that_nothing_fits_are_left_to_the_refusal():
    cfg = EnsembleCfg(num_mini_batches=4, sequence_length=16, fit_mini_batches=True)
    assert cfg.fit_batch(3, 16) is None
    assert cfg.fit_batch(12, 8) is None


def test_discriminator_mini_batches_do_not_matter_without_a_discriminator():
    EnsembleCfg(discriminator_mini_batches=97, adversarial_coef=0.0).validate_batch(12, 8)


def test_entropy_ladder():
    assert entropy_ladder(6, 0.1, 0.005) == pytest.approx([0.1025, 0.102, 0.1015, 0.101, 0.1005, 0.1])
    assert entropy_ladder(1, 0.0, 0.005) == [0.0]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_and_name_themselves(name):
    cfg = build_cfg(EnsembleCfg, preset(name), "algorithm")
    assert cfg.algorithm == name
    assert cfg.num_mini_batches == 2 * MINI_BATCH_FACTOR.get(name, 1)


def test_what_a_preset_fixes_wins_over_the_task():
    assert preset("sapg", awac_coef=0.1, gamma=0.9)["awac_coef"] == 0.0
    assert preset("ppo", num_policies=6)["num_policies"] == 1
    assert preset("cpo", awac_coef=0.1)["awac_coef"] == 0.1


@pytest.mark.parametrize("name", PRESETS)
def test_only_one_preset_pays_for_diversity(name):
    """The released code in effect pays nothing, so nothing is the default, also where a task has a coefficient."""
    assert EnsembleCfg().adversarial_coef == 0.0
    given = preset(name, adversarial_coef=0.5)["adversarial_coef"]
    assert given == (0.5 if name == "cpo_diversity" else 0.0)
    assert (preset(name)["adversarial_coef"] > 0.0) == (name == "cpo_diversity")


@pytest.mark.parametrize("name", PRESETS)
def test_only_one_preset_is_regulated(name):
    assert EnsembleCfg().coupling_target_kl == 0.0
    given = preset(name, coupling_target_kl=0.5)["coupling_target_kl"]
    assert given == (0.5 if name == "cpo_regulated" else 0.0)
    assert (preset(name)["coupling_target_kl"] > 0.0) == (name == "cpo_regulated")
    assert preset("cpo_regulated", kl_coef=0.1)["kl_coef"] == 0.0, "one coefficient per penalty"


def test_gradient_steps_can_be_compared():
    """CPO makes twice PPO's steps, and each side has a variant that makes them equal."""
    steps = {name: preset(name, num_mini_batches=3)["num_mini_batches"] for name in PRESETS}
    assert steps["cpo"] == steps["sapg_double_steps"] == 2 * steps["sapg"]
    assert steps["cpo_equal_steps"] == steps["sapg"] == steps["ppo"] == 3


def test_unknown_presets_and_fields_are_refused():
    with pytest.raises(UserError, match="Unknown preset 'cop'"):
        preset("cop")
    with pytest.raises(UserError, match="Unknown algorithm field 'gama'"):
        preset("cpo", gama=0.9)

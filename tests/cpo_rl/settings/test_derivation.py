# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An ensemble's settings follow from rsl_rl's PPO configuration field by field, or are refused by name."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from cpo_rl import derivation
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.derivation import derive, refusal
from cpo_rl.errors import UserError
from cpo_rl.presets import PRESETS, preset

PAGE = Path(__file__).parents[3] / "docs" / "your_own_task.md"


def ppo(**changes: Any) -> dict[str, Any]:
    """A configuration in which no value is anybody's default; ``changes`` by path with ``__`` for dots."""
    noise = {"class_name": "GaussianDistribution", "init_std": 0.5, "std_range": (1e-6, 1e6)}
    layers = {"class_name": "MLPModel", "hidden_dims": [48, 24], "activation": "tanh", "obs_normalization": False}
    values: dict[str, Any] = {
        "num_steps_per_env": 20,
        "max_iterations": 77,
        "save_interval": 11,
        "seed": 9,
        "clip_actions": 2.0,
        "init_at_random_ep_len": False,
        "experiment_name": "walk",
        "logger": "wandb",
        "obs_groups": {"actor": ["policy", "scan"], "critic": ["policy", "scan", "truth"]},
        "actor": {**layers, "distribution_cfg": noise},
        "critic": {**layers, "distribution_cfg": None},
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 3,
            "num_mini_batches": 7,
            "learning_rate": 2e-4,
            "schedule": "fixed",
            "desired_kl": 0.02,
            "gamma": 0.97,
            "lam": 0.9,
            "clip_param": 0.3,
            "entropy_coef": 0.004,
            "max_grad_norm": 0.7,
            "value_loss_coef": 0.4,
            "use_clipped_value_loss": False,
            "use_mixed_precision": True,
            "optimizer": "adam",
            "rnd_cfg": None,
            "symmetry_cfg": None,
        },
    }
    for path, value in changes.items():
        *sections, field = path.split("__")
        place = values
        for section in sections:
            place = place[section]
        place[field] = value
    return values


def test_every_value_is_taken():
    given = ppo()
    before = copy.deepcopy(given)
    found = derive(given)
    assert given == before, "the function is pure"
    assert {name: found.algorithm[name] for name in given["algorithm"].keys() & found.algorithm.keys()} == {
        "num_learning_epochs": 3, "num_mini_batches": 7, "learning_rate": 2e-4, "desired_kl": 0.02, "gamma": 0.97,
        "lam": 0.9, "clip_param": 0.3, "entropy_coef": 0.004, "max_grad_norm": 0.7, "value_loss_coef": 0.4,
        "use_clipped_value_loss": False,
    }  # fmt: skip
    assert found.algorithm["learning_rate_schedule"] == "fixed" and found.algorithm["mixed_precision"] is True
    assert found.model == {
        "hidden_dims": [48, 24], "activation": "tanh", "normalize_observations": False, "separate_critic": True,
        "rnn_layer_norm": False, "init_log_std": math.log(0.5),
    }  # fmt: skip
    assert found.runner == {
        "num_steps_per_env": 20, "max_iterations": 77, "save_interval": 11, "seed": 9, "clip_actions": 2.0,
        "init_at_random_ep_len": False, "experiment_name": "walk", "logger": "wandb",
        "obs_groups": {"actor": ["policy", "scan"], "critic": ["policy", "scan", "truth"]},
    }  # fmt: skip
    assert found.otherwise == ()


def test_no_field_of_ours_is_misspelt():
    known = {
        "algorithm": {f.name for f in dataclasses.fields(EnsembleCfg)},
        "model": {f.name for f in dataclasses.fields(ModelCfg)},
    }
    for name in (*derivation.TAKEN.values(), *derivation.AS_RSL_RL):
        section, _, field = name.rpartition(".")
        assert not section or field in known[section], name


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_made_of_it(name):
    found = derive(ppo())
    EnsembleCfg(**preset(name, **found.algorithm)).validate()
    ModelCfg(**found.model).validate()


def test_a_recurrent_network_is_kept_and_learns_through_whole_rollouts():
    lstm = {"actor__class_name": "RNNModel", "actor__rnn_type": "lstm", "actor__rnn_hidden_dim": 33}
    found = derive(ppo(**lstm, actor__rnn_num_layers=2, critic__class_name="RNNModel"))
    assert found.model["rnn_type"] == "lstm"
    assert (found.model["rnn_hidden_dim"], found.model["rnn_num_layers"]) == (33, 2)
    assert found.algorithm["sequence_length"] == 20 and found.model["rnn_layer_norm"] is False


@pytest.mark.parametrize(
    ("given", "critic_group", "groups"),
    [
        ({}, False, {"actor": ["policy"], "critic": ["policy"]}),
        (None, True, {"actor": ["policy"], "critic": ["critic"]}),
        ({"actor": ["a"]}, False, {"actor": ["a"], "critic": ["policy"]}),
        ({"actor": ["a"], "critic": ["b"]}, True, {"actor": ["a"], "critic": ["b"]}),
    ],
)
def test_observation_groups_are_those_that_rsl_rl_would_choose(given, critic_group, groups):
    assert derive(ppo(obs_groups=given), critic_group=critic_group).runner["obs_groups"] == groups
    rsl_rl = pytest.importorskip("rsl_rl.utils")
    obs = dict.fromkeys(("policy", "a", "b", *(["critic"] if critic_group else [])))
    with warnings.catch_warnings(action="ignore"):  # it warns of every default
        assert rsl_rl.resolve_obs_groups(obs, dict(given or {}), ["actor", "critic"]) == groups


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"actor__class_name": "CNNModel"}, "actor.class_name=CNNModel reads images"),
        ({"critic__class_name": "CNNModel"}, "critic.class_name=CNNModel reads images"),
        ({"actor__class_name": "my.models:TwoHeads"}, "actor.class_name=my.models:TwoHeads"),
        ({"actor__class_name": "my.models:MLPModel"}, "a network of the task's own"),
        ({"actor__class_name": "RNNModel", "actor__rnn_type": "gru"}, "actor.rnn_type=gru is not lstm"),
        ({"algorithm__class_name": "Distillation"}, "algorithm.class_name=Distillation"),
        ({"algorithm__class_name": "my.ppo:PPO"}, "algorithm.class_name=my.ppo:PPO"),
        ({"algorithm__rnd_cfg": {"weight": 1.0}}, "algorithm.rnd_cfg"),
        ({"algorithm__symmetry_cfg": {"use_data_augmentation": True}}, "algorithm.symmetry_cfg"),
        ({"algorithm__symmetry_cfg": {"use_mirror_loss": True}}, "algorithm.symmetry_cfg"),
        ({"algorithm__optimizer": "sgd"}, "algorithm.optimizer=sgd"),
        ({"actor__distribution_cfg__class_name": "my.noise:Beta"}, "actor.distribution_cfg.class_name=my.noise:Beta"),
    ],
)
def test_what_an_ensemble_cannot_do_is_refused_by_name(changes, named):
    with pytest.raises(UserError) as refused:
        derive(ppo(**changes))
    message = str(refused.value)
    assert named in message and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm__class_name": "rsl_rl.algorithms:PPO"},
        {"actor__class_name": "rsl_rl.models:MLPModel"},
        {"algorithm__symmetry_cfg": {"use_data_augmentation": False, "use_mirror_loss": False}},
    ],
)
def test_other_words_for_the_same_are_accepted(changes):
    assert refusal(ppo(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"critic__hidden_dims": [96]}, "PPO's has [96]"),
        ({"critic__obs_normalization": True}, "not normalized, as the actor's are"),
        ({"actor__distribution_cfg__class_name": "HeteroscedasticGaussianDistribution"}, "not depend on the state"),
        ({"actor__distribution_cfg__std_range": (0.1, 0.9)}, "not held within [0.1, 0.9]"),
        ({"algorithm__normalize_advantage_per_mini_batch": True}, "not over each mini-batch"),
        ({"torch_compile_mode": "default"}, "not compiled"),
    ],
)
def test_what_stays_otherwise_is_told(changes, told):
    (line,) = derive(ppo(**changes)).otherwise
    assert told in line


def test_the_page_shows_the_tables():
    page = PAGE.read_text(encoding="utf-8")
    taken, fixed = (
        dict(re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", page.split(heading)[1].split("\n\n")[0], flags=re.MULTILINE))
        for heading in ("| rsl_rl's configuration | ours (`agent.`) | |\n", "| ours (`agent.`) | value | |\n")
    )
    assert taken == derivation.TAKEN
    assert fixed == {name: str(value) for name, value in derivation.AS_RSL_RL.items()}
    for phrase in derivation.OTHERWISE:
        assert phrase in " ".join(page.split()), phrase

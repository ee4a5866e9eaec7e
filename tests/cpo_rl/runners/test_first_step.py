# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A custom environment gets the sentence it needs: what its first step returns is checked, with the key named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from rsl_rl.utils.logger import Logger
from tests.cpo_rl.runners.support import NUM_ENVS, NoisyTrackingEnv, ensemble_cfg, make_env, make_runner, stock_ppo_cfg
from tests.envs.tracking import TrackingEnv

from cpo_rl.errors import UserError
from cpo_rl.runners.extras import ExtrasMeans
from cpo_rl.runs.tables import read_metrics

N = NUM_ENVS


def env_that(change: Any) -> TrackingEnv:
    """An environment whose steps are changed: ``change(obs, rewards, dones, extras)`` returns the four."""

    class Changed(NoisyTrackingEnv):
        def step(self, actions: torch.Tensor) -> Any:
            return change(*super().step(actions))

    return make_env(Changed)


def with_extras(**more: Any) -> Any:
    return lambda obs, rewards, dones, extras: (obs, rewards, dones, {**extras, **more})


WRONG = {
    "three things": (lambda obs, rewards, dones, extras: (obs, rewards, dones), "must return four things"),
    "nothing": (lambda *four: None, "must return four things"),
    "a missing group": (lambda obs, r, d, e: (obs.exclude("policy"), r, d, e), "lack the group 'policy'"),
    "another size": (
        lambda obs, r, d, e: (obs.apply(lambda t: t[:, :-1]), r, d, e),
        "in group 'policy' have the shape",
    ),
    "no observations": (lambda obs, r, d, e: (None, r, d, e), "lack the group"),
    "rewards as a list": (lambda obs, r, d, e: (obs, r.tolist(), d, e), "rewards of step() must be a tensor"),
    "rewards in a column": (lambda obs, r, d, e: (obs, r[:, None], d, e), "not shape [12, 1]"),
    "dones of others": (lambda obs, r, d, e: (obs, r, d[:-1], e), "dones of step() must be a tensor"),
    "extras": (lambda obs, r, d, e: (obs, r, d, None), "extras must be a dictionary, not a NoneType"),
    "time_outs": (with_extras(time_outs=[False] * N), "extras['time_outs'] must be a tensor with one entry per"),
    "no time_outs": (with_extras(time_outs=None), "extras['time_outs']"),
    "quarantined": (with_extras(quarantined=torch.zeros(N - 1)), "extras['quarantined']"),
    "reasons": (with_extras(quarantine_reasons=[1]), "extras['quarantine_reasons'] must be a dictionary of tensors"),
    "a reason": (with_extras(quarantine_reasons={"far": True}), "extras['quarantine_reasons']['far']"),
    "metrics": (with_extras(episode_metrics={"length": 3.0}), "extras['episode_metrics']['length']"),
    "log": (with_extras(log=[1.0]), "extras['log'] must be a dictionary of numbers by name"),
    "episode": (with_extras(episode="x"), "extras['episode'] must be a dictionary"),
    "a text in the log": (with_extras(log={"phase": "reach"}), "reports 'phase' as a str in extras"),
    "none in the log": (with_extras(log={"phase": None}), "reports 'phase' as a NoneType in extras"),
    "a dictionary in the log": (with_extras(log={"a": {"b": 1}}), "reports 'a' as a dict in extras"),
    "a key that is no text": (with_extras(log={3: 1.0}), "extras['log'] must be a dictionary of numbers by name"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_what_a_first_step_gets_wrong_is_named(change, told):
    runner = make_runner(ensemble_cfg(), env=env_that(change))
    with pytest.raises(UserError) as refusal:
        runner.learn(1)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("cfg", [ensemble_cfg(), stock_ppo_cfg()], ids=["cpo", "stock"])
def test_a_sound_environment_is_asked_once_and_trains_as_before(cfg):
    runner = make_runner(cfg)
    runner.learn(1)
    assert "step" not in vars(runner.env)
    assert runner.outcome.status == "finished"
    runner.learn(0)
    assert "step" not in vars(runner.env)


LOGGED = {
    "int": 3,
    "float": 0.5,
    "bool": True,
    "numpy scalar": np.float32(1.5),
    "numpy integer": np.int64(2),
    "numpy array": np.array([1.0, 2.0]),
    "list": [1.0, 2.0],
    "tuple": (1, 2),
    "tensor": torch.tensor([1.0, 3.0]),
    "0-d tensor": torch.tensor(2.0),
    "integer tensor": torch.tensor([1, 2]),
    "bool tensor": torch.tensor([True, False]),
    "half": torch.tensor([1.0], dtype=torch.float16),
    "not finite": float("nan"),
}
"""What rsl_rl's logger takes, which a test below asks it."""


def stock_mean(value: Any) -> float:
    """What rsl_rl's own logger makes of a value."""
    written: dict[str, float] = {}

    class Writer:
        def add_scalar(self, name: str, scalar: Any, step: int) -> None:
            written[name] = float(scalar)

    cfg = {"algorithm": {"rnd_cfg": None}, "num_steps_per_env": 1}
    logger = Logger(None, cfg, {}, 1, False, 1, 0, "cpu")
    logger.writer = Writer()  # type: ignore[assignment]
    logger.ep_extras.append({"value": value})
    logger.log(0, 0, 1, 1.0, 1.0, {}, 0.1, torch.ones(1), None)
    return written["Episode/value"]


@pytest.mark.parametrize("value", LOGGED.values(), ids=LOGGED)
def test_everything_that_the_stock_logger_takes_is_taken(value, capsys):
    means = ExtrasMeans()
    for _ in range(2):
        means.step({"log": {"value": value}})
    assert float(means.read()["Task/value"]) == pytest.approx(stock_mean(value), nan_ok=True)


def test_a_key_that_comes_later_is_checked_as_well():
    means = ExtrasMeans()
    means.step({"log": {"a": 1.0}})
    with pytest.raises(UserError, match="reports 'b' as a str"):
        means.step({"log": {"a": 1.0, "b": "x"}})


def test_what_is_logged_reaches_the_table(tmp_path):
    log = {"list": [1.0, 2.0], "array": np.array([3.0]), "Env/flag": True, "empty": torch.zeros(0)}
    runner = make_runner(ensemble_cfg(), tmp_path / "run", env=env_that(with_extras(log=log)))
    runner.learn(1)
    columns = read_metrics(tmp_path / "run" / "metrics.csv")
    assert (columns["Task/list"], columns["Task/array"], columns["Env/flag"]) == ([1.5], [3.0], [1.0])
    assert all(math.isnan(x) for x in columns.get("Task/empty", []))


@pytest.mark.parametrize("value", [torch.zeros(N, 3, 3), torch.zeros(N, 3, dtype=torch.int64), torch.zeros(N)])
def test_observations_that_are_no_rows_of_numbers_are_refused_before_training(value):
    class Odd(NoisyTrackingEnv):
        def get_observations(self) -> Any:
            obs = super().get_observations()
            obs["picture"] = value
            return obs

    cfg = {**ensemble_cfg(), "obs_groups": {"actor": ["policy", "picture"]}}
    with pytest.raises(UserError, match="observation group 'picture' must hold a row of floating point numbers"):
        make_runner(cfg, env=make_env(Odd))

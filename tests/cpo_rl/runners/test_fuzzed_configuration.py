# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Random configurations either train an iteration or are refused in one sentence before anything is allocated."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from tests.cpo_rl.runners.support import ensemble_cfg, make_env, make_runner

from cpo_rl.algorithms import ensemble_ppo
from cpo_rl.config import EnsembleCfg, ModelCfg, RunnerOptions
from cpo_rl.errors import UserError
from cpo_rl.fields import limits_of
from cpo_rl.presets import PRESETS

ODD = [
    None,
    "",
    "x",
    "1",
    True,
    False,
    [],
    [1],
    {},
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e30,
    -1e-30,
    "nan",
]
"""Values that users and scripts pass by accident."""

CHOICES = {n: limits.choices for c in (EnsembleCfg, ModelCfg) for n, limits in limits_of(c).items() if limits.choices}

SKIPPED = {"class_name", "compile"}
"""``compile`` would spend minutes compiling; its type is checked like that of the other switches."""


def plausible(rng: random.Random, name: str, kind: str) -> Any:
    """Return a value of the right type, near or at the edges of what makes sense."""
    if name in CHOICES:
        return rng.choice(CHOICES[name])
    if name == "algorithm":
        return rng.choice([*PRESETS, "mine"])
    if "list" in kind:
        return [rng.choice([1, 3, 16]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))]
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "int":
        return rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 8, 12, 13, 100])
    return rng.choice([0.0, 1e-6, 0.01, 0.2, 0.2, 0.5, 0.5, 0.999, 1.0, 1.5, 1e4])


def random_cfg(rng: random.Random) -> dict[str, Any]:
    """Return a small valid configuration with one to four random changes."""
    cfg = ensemble_cfg(rng.choice(list(PRESETS)), rng.choice(["none", "none", "lstm"]))
    fields = [("algorithm", f) for f in dataclasses.fields(EnsembleCfg)] + [
        ("model", f) for f in dataclasses.fields(ModelCfg)
    ]
    fields = [(section, f) for section, f in fields if f.name not in SKIPPED]
    for _ in range(rng.randint(1, 4)):
        section, field = rng.choice(fields)
        odd = rng.random() < 0.1
        cfg[section][field.name] = rng.choice(ODD) if odd else plausible(rng, field.name, str(field.type))
    runner = {
        "num_steps_per_env": [1, 2, 3, 8, 0, -8, "8", None],
        "save_interval": [1, 5, 0, "a"],
        "keep_last": [0, 1, -1, 2.5],
        "keep_best": [0, 3, -1],
        "best_metric": ["auto", "Leader/return", "nothing", 3],
        "progress": [*limits_of(RunnerOptions)["progress"].choices, "loud"],
        "stop_grace_s": [0, 1.0, -1, "x"],
        "seed": [0, 1, 2**31 - 1, None, "s", -5],
        "obs_groups": [{"actor": ["policy"]}, {}, None, {"actor": ["vision"]}, {"actor": []}],
        "unknown_to_everyone": [1],
    }
    if rng.random() < 0.3:
        name = rng.choice(list(runner))
        cfg[name] = rng.choice(runner[name])
    if rng.random() < 0.05:
        cfg[rng.choice(["algorithm", "model"])][rng.choice(["gama", "hidden", "lr"])] = 1
    return cfg


def check(seed: int, monkeypatch) -> str:
    """Try one configuration; return ``ran``, ``stopped`` or ``refused``."""
    rng = random.Random(seed)
    cfg, num_envs = random_cfg(rng), rng.choice([12, 12, 12, 12, 24, 6, 7, 1])
    allocated = []
    real = ensemble_ppo.EnsembleActorCritic

    def counted(*args, **kwargs):
        allocated.append(1)
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ensemble_ppo, "EnsembleActorCritic", counted)
        try:
            runner = make_runner(cfg, env=make_env(num_envs=num_envs))
        except UserError as error:
            text = str(error)
            assert not allocated, f"seed {seed}: refused only after the network was made: {text}"
            assert "\n" not in text and 10 < len(text) < 1500 and text.rstrip()[-1] in ".;?", f"seed {seed}: {text!r}"
            return "refused"
    runner.learn(1)
    assert runner.outcome.status in ("finished", "stopped"), f"seed {seed}"
    return "ran" if runner.outcome.status == "finished" else "stopped"


def run_many(seeds, monkeypatch) -> None:
    results = []
    for seed in seeds:
        try:
            results.append(check(seed, monkeypatch))
        except (UserError, AssertionError):
            raise
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}\n{random_cfg(random.Random(seed))}")
    counts = {kind: results.count(kind) for kind in ("ran", "stopped", "refused")}
    assert counts["ran"] > 0.2 * len(results) and counts["refused"] > 0.2 * len(results), counts


def test_100_random_configurations(monkeypatch):
    run_many(range(100), monkeypatch)


@pytest.mark.slow
def test_1000_random_configurations(monkeypatch):
    run_many(range(1000, 2000), monkeypatch)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments that break at a chosen step, and what is asked of a run in which one did."""

from __future__ import annotations

import copy
import math

import torch
from tests.cpo_rl.runners.support import NoisyTrackingEnv, ensemble_cfg, make_env, make_runner
from torch.overrides import TorchFunctionMode

HORIZON = 8
NAN, INF, HUGE = float("nan"), float("inf"), 3.0e38


class InjectingEnv(NoisyTrackingEnv):
    """Tracking that puts a value into a tensor of some environments at one step, counted from 1."""

    at = -1
    where = ""
    value = 0.0
    env_ids = (4, 7)
    every_iteration = False
    steps = 0

    def step(self, actions):
        self.steps += 1
        obs, rewards, dones, extras = super().step(actions)
        due = self.steps == self.at or (
            self.every_iteration and self.steps >= self.at and self.steps % HORIZON == self.at % HORIZON
        )
        if due:
            ids = list(self.env_ids)
            if self.where == "observations":
                obs = obs.clone()
                obs["policy"][ids, 2] = self.value
            elif self.where == "rewards":
                rewards = rewards.clone()
                rewards[ids] = self.value
            elif self.where == "declared":
                bad = torch.zeros(self.num_envs, dtype=torch.bool)
                bad[ids] = True
                extras |= {"quarantined": bad, "quarantine_reasons": {"spin": bad}}
            elif self.where == "log":
                extras["log"] = {"broken": torch.tensor(self.value)}
            elif self.where == "episode metrics":
                extras["episode_metrics"] = {"solved": torch.full((self.num_envs,), self.value)}
        return obs, rewards, dones, extras


def learned(runner):
    """Return everything that learning changes, as copies."""
    saved = runner.alg.save()
    return copy.deepcopy({name: saved[name] for name in ("model", "optimizer", "adversary", "regulator")})


def all_finite(value):
    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    if isinstance(value, dict):
        return all(all_finite(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return all(all_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def weights(state):
    """Return parameters and optimizer moments, without the running statistics."""
    model = {n: t for n, t in state["model"].items() if "normalizer" not in n}
    moments = {i: {n: t for n, t in s.items()} for i, s in state["optimizer"]["state"].items()}
    return {
        "model": model,
        "moments": moments,
        "discriminator": state["adversary"] and state["adversary"]["discriminator"],
    }


def run(tmp_path, where, value, step, *, rnn="none", iterations=4, env_ids=(4, 7), **algorithm):
    """Train two iterations, then on with an injection; return the runner and what was learned before it."""
    env = make_env(InjectingEnv)
    runner = make_runner(ensemble_cfg("cpo", rnn, **algorithm), tmp_path / "run", env=env)
    runner.learn(2)
    before = learned(runner)
    env.where, env.value, env.at, env.env_ids = where, value, env.steps + step, env_ids
    runner.learn(iterations - 2)
    return runner, before


class CountReads(TorchFunctionMode):
    """Counts calls that make the host wait for the device."""

    READS = frozenset(
        {
            "item",
            "tolist",
            "cpu",
            "numpy",
            "nonzero",
            "masked_select",
            "unique",
            "equal",
            "allclose",
            "__bool__",
            "__float__",
            "__int__",
            "__index__",
            "__contains__",
            "__iter__",
        }
    )

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += getattr(func, "__name__", "") in self.READS
        return func(*args, **(kwargs or {}))

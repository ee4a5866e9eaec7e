# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tasks, algorithms and single runs of the learning gate."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from tests.envs.base import TorchVecEnv
from tests.envs.deceptive import DeceptiveEnv, DeceptiveEnvCfg
from tests.envs.fork import ForkEnv, ForkEnvCfg
from tests.envs.memory import MemoryEnv, MemoryEnvCfg

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.presets import preset

__all__ = ["ALGORITHMS", "TASKS", "GateTask", "Run", "train"]


@dataclass(frozen=True)
class GateTask:
    """An environment, the settings every algorithm is given on it, and a budget."""

    name: str
    """Name on the command line and in results."""

    make_env: Callable[[int, int, bool], TorchVecEnv]
    """Builds the environment from number of environments, seed and ``stagger``."""

    num_envs: int
    """Environments of all policies together; equal for every algorithm, so equal iterations are equal transitions."""

    horizon: int
    """Steps per environment and iteration."""

    max_iterations: int
    """Budget of a run."""

    model: dict[str, Any]
    """Fields of ``ModelCfg`` for the algorithms of this project."""

    algorithm: dict[str, Any]
    """Fields of ``EnsembleCfg`` for CPO; presets fix the rest. ``num_mini_batches`` is PPO's number."""

    eval_envs: int = 64
    """Episodes of an evaluation."""

    eval_interval: int = 5
    """Iterations between evaluations."""

    @property
    def transitions_per_iteration(self) -> int:
        """Environment steps of one iteration, over all policies."""
        return self.num_envs * self.horizon


@dataclass
class Run:
    """Outcome of one training run."""

    task: str
    """Name of the task."""

    algorithm: str
    """Name of the algorithm."""

    seed: int
    """Seed of network, environment and algorithm."""

    solved: bool = False
    """Whether two evaluations in a row reached the task's ``solved_return``."""

    transitions_to_solve: int | None = None
    """Environment steps, of all policies together, at the first of these two evaluations; None if not solved."""

    transitions: int = 0
    """Environment steps made."""

    final_return: float = 0.0
    """Return of the last evaluation: mean over episodes of the noise-free leader (or only policy)."""

    training_return: float = 0.0
    """Mean return of the leader's (or only policy's) last training episodes, with its action noise."""

    gradient_steps: int = 0
    """Optimizer steps made."""

    policy_kl: float | None = None
    """Mean KL divergence between the policies of the ensemble [nat], over the whole run; None for a single policy."""

    ess_pooled: float | None = None
    """Effective sample size of all followers' data for the leader, as a share, over the whole run."""

    coupling_kl: float | None = None
    """Mean KL of the followers' means to the leader [nat], over the whole run; None where it is not regulated."""

    leader_std: float | None = None
    """Standard deviation of the leader's (or only policy's) actions at the end, mean over actions."""

    wall_clock_s: float = 0.0
    """Duration of the run in s."""

    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """Transitions, evaluation return and training return at every evaluation."""


_SHARED: dict[str, Any] = {
    "num_policies": 6,
    "num_learning_epochs": 4,
    "num_mini_batches": 2,
    "learning_rate": 1.0e-3,
    "reward_scale": 0.2,
    "discriminator_hidden_dims": [64, 64],
}
"""What the tasks have in common."""

TASKS = {
    task.name: task
    for task in (
        GateTask(
            name="deceptive",
            make_env=lambda n, seed, stagger: DeceptiveEnv(DeceptiveEnvCfg(num_envs=n, seed=seed, stagger=stagger)),
            num_envs=384,
            horizon=16,
            max_iterations=160,
            model={"hidden_dims": [64, 64], "embedding_dim": 8, "init_log_std": -0.5},
            algorithm={
                **_SHARED,
                "bound_limit": 3.3,
                "entropy_coef_scale": 0.5,
            },
        ),
        GateTask(
            name="recall",
            make_env=lambda n, seed, stagger: MemoryEnv(MemoryEnvCfg(num_envs=n, seed=seed, stagger=stagger)),
            num_envs=384,
            horizon=16,
            max_iterations=80,
            model={"hidden_dims": [32], "embedding_dim": 8, "rnn_type": "lstm", "rnn_hidden_dim": 32},
            algorithm={
                **_SHARED,
                "sequence_length": 16,
                "entropy_coef_scale": 0.005,
            },
        ),
        GateTask(
            name="fork",
            make_env=lambda n, seed, stagger: ForkEnv(ForkEnvCfg(num_envs=n, seed=seed, stagger=stagger)),
            num_envs=384,
            horizon=16,
            max_iterations=80,
            model={"hidden_dims": [64, 64], "embedding_dim": 8, "init_log_std": -0.5},
            algorithm={
                **_SHARED,
                "bound_limit": 1.5,
                "entropy_coef_scale": 0.05,
            },
        ),
    )
}
"""Tasks by name.

Learning rate, network sizes and reward scale fit small tasks; the entropy scale of ``deceptive`` is what its action
cost asks for, and the initial noise is small enough that no policy meets the hill before it learned to explore. All
else is the preset's. Nothing was searched for to favor CPO over SAPG or the reverse.
"""


def _ensemble(name: str, **changes: Any) -> Callable[[GateTask], dict[str, Any]]:
    def settings(task: GateTask) -> dict[str, Any]:
        values = {**task.algorithm, **{k: v(task) if callable(v) else v for k, v in changes.items()}}
        return {"model": dict(task.model), "algorithm": preset(name, **values)}

    return settings


def _feed_forward(task: GateTask) -> dict[str, Any]:
    settings = _ensemble("ppo")(task)
    settings["model"]["rnn_type"] = "none"
    return settings


def _stock_ppo(task: GateTask) -> dict[str, Any]:
    """rsl_rl's own PPO at the same sizes, for an opinion that does not depend on this project's code."""
    c, m = task.algorithm, task.model
    network: dict[str, Any] = {
        "class_name": "rsl_rl.models:MLPModel",
        "hidden_dims": m["hidden_dims"],
        "activation": "elu",
    }
    if m.get("rnn_type") == "lstm":
        network |= {"class_name": "rsl_rl.models:RNNModel", "rnn_type": "lstm", "rnn_hidden_dim": m["rnn_hidden_dim"]}
    noise = {
        "class_name": "rsl_rl.modules:GaussianDistribution",
        "init_std": math.exp(m.get("init_log_std", 0.0)),
        "std_type": "log",
    }
    return {
        "actor": {**network, "distribution_cfg": noise},
        "critic": dict(network),
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "algorithm": {
            "class_name": "rsl_rl.algorithms:PPO",
            "num_learning_epochs": c["num_learning_epochs"],
            "num_mini_batches": c["num_mini_batches"],
            "learning_rate": c["learning_rate"],
            "entropy_coef": 0.0,
            "desired_kl": 0.016,
        },
    }


ALGORITHMS: dict[str, Callable[[GateTask], dict[str, Any]]] = {
    "ppo": _ensemble("ppo"),
    "ppo_entropy": _ensemble("ppo", entropy_coef=lambda task: 0.5 * task.algorithm["entropy_coef_scale"]),
    "ppo_mlp": _feed_forward,
    "rsl_rl_ppo": _stock_ppo,
    "independent": _ensemble("independent"),
    "sapg": _ensemble("sapg"),
    "sapg_double_steps": _ensemble("sapg_double_steps"),
    "cpo": _ensemble("cpo"),
    "cpo_equal_steps": _ensemble("cpo_equal_steps"),
    "cpo_regulated": _ensemble("cpo_regulated"),
    "cpo_bonus": _ensemble("cpo_diversity", adversarial_coef=0.01),
    "cpo_weak_bonus": _ensemble("cpo_diversity", adversarial_coef=0.001),
    "cpo_strong_regression": _ensemble("cpo", awac_coef=0.01),
    "cpo_strong_regression_bonus": _ensemble("cpo_diversity", awac_coef=0.01, adversarial_coef=0.01),
}
"""Run settings by algorithm. ``ppo_entropy`` has the entropy bonus of the most exploring follower; ``ppo_mlp`` has no
memory. Of CPO's variants ``bonus`` has the diversity reward that CPO had by default until November 2026, ``weak_bonus``
a tenth of it, and ``strong_regression`` ten times the weight of the regression that couples followers to the leader."""


def _construct(task: GateTask, algorithm: str, seed: int, env: TorchVecEnv) -> PPO | EnsemblePPO:
    cfg = {
        "obs_groups": {"actor": ["policy"]},
        **ALGORITHMS[algorithm](task),
        "num_steps_per_env": task.horizon,
        "seed": seed,
        "multi_gpu": None,
    }
    kind = PPO if algorithm == "rsl_rl_ppo" else EnsemblePPO
    with contextlib.redirect_stdout(io.StringIO()):  # rsl_rl prints its networks
        alg = kind.construct_algorithm(env.get_observations(), env, cfg, "cpu")
    alg.train_mode()
    return alg


def _evaluate(alg: PPO | EnsemblePPO, env: TorchVecEnv) -> float:
    """Mean return of one noise-free episode per environment; leaves the state of the training episodes alone."""
    policy = alg.get_policy()
    training_state = policy.get_hidden_state()
    policy.reset()
    env.restart()
    obs = env.get_observations()
    total = torch.zeros(env.num_envs)
    for _ in range(int(env.max_episode_length)):
        obs, rewards, dones, _ = env.step(policy(obs))
        policy.reset(dones)
        total += rewards
    if isinstance(alg, PPO):  # rsl_rl's model acts in training with the same state; ours keeps that in the algorithm
        policy.reset(hidden_state=training_state)
    else:
        policy.reset()
    return float(total.mean())


def train(
    task: GateTask, algorithm: str, seed: int, max_iterations: int | None = None, stop_when_solved: bool = True
) -> Run:
    """Train and evaluate in turns.

    Args:
        task: what to learn.
        algorithm: key of :data:`ALGORITHMS`.
        seed: seed of network, environment and algorithm.
        max_iterations: budget; the task's if None.
        stop_when_solved: end the run once it counts as solved instead of using the whole budget.

    Returns:
        The outcome.
    """
    torch.manual_seed(seed)
    env = task.make_env(task.num_envs, seed, True)
    eval_env = task.make_env(task.eval_envs, 10_000 + seed, False)
    alg = _construct(task, algorithm, seed, env)
    leader = slice(-(task.num_envs // getattr(getattr(alg, "cfg", None), "num_policies", 1)), None)
    optimizer = alg.optimizer if isinstance(alg, PPO) else alg.policy_update.optimizer
    steps = [0]
    optimizer.register_step_post_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    run = Run(task.name, algorithm, seed)
    started = time.perf_counter()
    obs = env.get_observations()
    above: int | None = None
    coupling: dict[str, list[float]] = {
        "Ensemble/kl_mean": [],
        "Ensemble/ess_pooled": [],
        "Ensemble/coupling_kl": [],
        "Leader/std": [],
    }
    for iteration in range(1, (max_iterations or task.max_iterations) + 1):
        with torch.inference_mode():
            for _ in range(task.horizon):
                actions = alg.act(obs)
                obs, rewards, dones, extras = env.step(actions)
                alg.process_env_step(obs, rewards, dones, extras)
            alg.compute_returns(obs)
        metrics = alg.update()
        for name in coupling.keys() & metrics.keys():
            coupling[name].append(metrics[name])
        if iteration % task.eval_interval:
            continue
        run.transitions = iteration * task.transitions_per_iteration
        with torch.inference_mode():
            run.final_return = _evaluate(alg, eval_env)
        run.training_return = float(env.last_return[leader].mean())
        run.curve.append((run.transitions, round(run.final_return, 3), round(run.training_return, 3)))
        if run.final_return < env.solved_return:
            above = None
        elif above is None:
            above = run.transitions
        elif not run.solved:
            run.solved, run.transitions_to_solve = True, above
            if stop_when_solved:
                break
    run.gradient_steps = steps[0]
    *over_the_run, stds = coupling.values()
    run.policy_kl, run.ess_pooled, run.coupling_kl = (round(mean(v), 4) if v else None for v in over_the_run)
    run.leader_std = round(stds[-1], 4) if stds else None
    run.wall_clock_s = round(time.perf_counter() - started, 1)
    return run

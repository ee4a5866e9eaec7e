# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A class named by ``class_name`` runs with settings, terms of the loss and metrics of its own, or is refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner, stock_ppo_cfg
from tests.cpo_rl.toy import ToyEnv, iterate, make_algorithm

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.algorithms.class_name import algorithm_class, construction, own_keywords
from cpo_rl.algorithms.rollout import Rows
from cpo_rl.config import EnsembleCfg
from cpo_rl.contracts import Algorithm
from cpo_rl.errors import UserError
from cpo_rl.fields import setting
from cpo_rl.models.actor_critic import Evaluation

HERE = __name__


@dataclass
class PullCfg(EnsembleCfg):
    """CPO with one more coefficient."""

    pull_coef: float = setting(0.1, at_least=0.0)
    """Weight of the mean's distance to 1."""


class PullPPO(EnsemblePPO):
    """CPO with one more term."""

    settings_class = PullCfg

    def extra_losses(self, rows: Rows, out: Evaluation) -> dict[str, torch.Tensor]:
        count = sum(rows.sizes[:3])
        return {"pull": self.cfg.pull_coef * (out.mean[:count] - 1.0).square().mean()}

    def update(self) -> dict[str, float]:
        self.metrics.add("Pull/reward", self.rollout.rewards.abs().mean())
        return super().update()


class KeywordPPO(PPO):
    """rsl_rl's PPO with one more keyword."""

    def __init__(self, *args: Any, extra_coef: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra_coef = extra_coef

    def update(self) -> dict[str, float]:
        return {**super().update(), "extra": self.extra_coef}


class BrokenPPO(EnsemblePPO):
    """Cannot be made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("nothing to divide by")


class LooseCfg(EnsembleCfg):
    """No dataclass of its own, so its field would be none."""

    loose_coef: float = setting(0.1)


class LoosePPO(EnsemblePPO):
    settings_class = LooseCfg


@dataclass
class UncheckedCfg:
    coef: float = 1.0


class UncheckedPPO(EnsemblePPO):
    settings_class = UncheckedCfg


class Wanderer:
    """Nothing but rsl_rl's interface, written from scratch."""

    learning_rate = 0.0

    def __init__(self, num_actions: int) -> None:
        self.policy = torch.nn.Linear(1, num_actions)
        self.policy.output_std = torch.ones(num_actions)

    @staticmethod
    def construct_algorithm(obs: Any, env: Any, cfg: dict[str, Any], device: str) -> Wanderer:
        return Wanderer(env.num_actions)

    def act(self, obs: Any) -> torch.Tensor:
        return torch.randn(obs.batch_size[0], self.policy.out_features)

    def process_env_step(self, *args: Any) -> None: ...

    def compute_returns(self, obs: Any) -> None: ...

    def update(self) -> dict[str, float]:
        return {"wandering": 1.0}

    def get_policy(self) -> Any:
        return self.policy

    def train_mode(self) -> None: ...

    def eval_mode(self) -> None: ...

    def save(self) -> dict[str, Any]:
        return {"policy": self.policy.state_dict()}

    def load(self, loaded: dict[str, Any], load_cfg: dict | None = None, strict: bool = True) -> bool:
        self.policy.load_state_dict(loaded["policy"])
        return True


def named(cls: type) -> str:
    return f"{HERE}:{cls.__name__}"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Tests are imported by path; a class name needs a module."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules[PullPPO.__module__])


def cfg_of(cls: type, **algorithm: Any) -> dict[str, Any]:
    cfg = ensemble_cfg()
    cfg["algorithm"] |= {"class_name": named(cls), **algorithm}
    return cfg


@pytest.mark.parametrize("make", [make_runner, None], ids=["ours", "stock"])
def test_the_named_class_trains_with_its_own_setting_term_and_metric(make):
    cfg = cfg_of(PullPPO, pull_coef=0.25)
    if make is None:
        runner = OnPolicyRunner(ToyEnv(torch.arange(12)), {**cfg, "check_for_nan": False}, None, "cpu")
        runner.alg.rollout.step = 0
        metrics = iterate(runner.alg, runner.env, 1)[0]
    else:
        runner = make(cfg)
        runner.learn(1)
        metrics = runner.logger._last_metrics
    assert type(runner.alg) is PullPPO
    assert type(runner.alg.cfg) is PullCfg
    assert runner.alg.cfg.pull_coef == 0.25
    assert metrics["Loss/pull"] > 0.0
    assert metrics["Pull/reward"] > 0.0


def test_the_term_is_added_to_the_loss_as_it_is():
    """A term whose gradient is known by hand: the mean over n rows of (mean - 1)^2 has gradient 2 (mean - 1) / n."""
    plain, pulled = (make_algorithm(name="ppo") for _ in range(2))
    pulled.cfg = pulled.policy_update.cfg = PullCfg(**asdict(pulled.cfg), pull_coef=0.25)
    pulled.policy_update.extra_losses = lambda rows, out: PullPPO.extra_losses(pulled, rows, out)
    found = []
    for alg in (plain, pulled):
        env = ToyEnv(torch.arange(12))
        obs = env.get_observations()
        for _ in range(alg.rollout.horizon):
            obs, rewards, dones, extras = env.step(alg.act(obs))
            alg.process_env_step(obs, rewards, dones, extras)
        alg.compute_returns(obs)
        alg.row_targets.compute(alg.rollout, [], None, alg.metrics)
        batch = alg.tables.passes([], 1, 1, torch.Generator().manual_seed(0))[0][0]
        rows = alg.rollout.gather(batch)
        out = alg.model.evaluate_inputs(rows.inputs, num_values=len(rows.policy))
        out.mean.retain_grad()
        loss, parts = alg.policy_update._loss(rows, out, None)
        loss.backward()
        found.append((loss.detach(), out.mean.grad, out.mean.detach(), parts))
    (loss, grad, mean, parts), (pulled_loss, pulled_grad, _, pulled_parts) = found
    term = 0.25 * (mean - 1.0).square().mean()
    assert pulled_loss == pytest.approx(float(loss + term), abs=1e-6)
    assert torch.allclose(pulled_grad - grad, 0.25 * 2.0 * (mean - 1.0) / mean.numel(), atol=1e-7)
    assert set(pulled_parts) - set(parts) == {"Loss/pull"}
    assert float(pulled_parts["Loss/pull"]) == pytest.approx(float(term), abs=1e-6)


@pytest.mark.slow
def test_the_term_survives_compiling():
    metrics = []
    for compiled in (False, True):
        runner = make_runner(cfg_of(PullPPO, compile=compiled))
        runner.learn(2)
        metrics.append(runner.logger._last_metrics["Loss/pull"])
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-3)


def test_its_own_setting_can_change_in_a_run():
    runner = make_runner(cfg_of(PullPPO))
    runner.alg.set_hyperparameters({"pull_coef": 0.0})
    runner.learn(1)
    assert runner.logger._last_metrics["Loss/pull"] == 0.0


def test_records_name_the_class_that_trained(tmp_path):
    runner = make_runner(cfg_of(PullPPO), tmp_path / "run")
    runner.learn(1)
    assert runner.folder.manifest["algorithm_class"] == named(PullPPO)
    assert Algorithm(runner.alg).class_name == named(PullPPO)
    resumed = make_runner(cfg_of(PullPPO), tmp_path / "run")
    assert resumed.resume()
    resumed.learn(1)
    assert resumed.completed_iterations == 2


def test_any_class_with_the_interface_of_rsl_rl_trains():
    cfg = stock_ppo_cfg()
    cfg["algorithm"] |= {"class_name": named(KeywordPPO), "extra_coef": 0.75}
    runner = make_runner(cfg)
    runner.learn(1)
    assert type(runner.alg) is KeywordPPO
    assert runner.logger._last_metrics["Loss/extra"] == 0.75
    assert own_keywords(KeywordPPO) == {"extra_coef": 0.5}
    assert own_keywords(PPO) == own_keywords(EnsemblePPO) == {}


def test_a_class_with_nothing_but_the_interface_trains_saves_and_resumes(tmp_path):
    runner = make_runner(cfg_of(Wanderer), tmp_path / "run")
    runner.learn(2)
    assert runner.logger._last_metrics["Loss/wandering"] == 1.0
    assert runner.folder.manifest["algorithm"] == "Wanderer"
    resumed = make_runner(cfg_of(Wanderer), tmp_path / "run")
    assert resumed.resume()
    assert torch.equal(resumed.alg.policy.weight, runner.alg.policy.weight)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (cfg_of(PullPPO, pull_coef=-1.0), "algorithm field pull_coef=-1.0 must not be negative."),
        (cfg_of(PullPPO, pul_coef=1.0), "Unknown algorithm field 'pul_coef'; did you mean 'pull_coef'?"),
        (cfg_of(EnsemblePPO, class_name="nowhere:Mine"), "agent.algorithm.class_name=nowhere:Mine cannot be imported "
         "(ModuleNotFoundError: No module named 'nowhere'); correct it or extend PYTHONPATH."),
        (cfg_of(EnsemblePPO, class_name="cpo_rl.algorithms:Mine"), "cannot be imported (AttributeError: module "),
        (cfg_of(EnsemblePPO, class_name="Mine"), "agent.algorithm.class_name=Mine cannot be imported (ValueError: "),
        (cfg_of(EnsemblePPO, class_name=5), "agent.algorithm.class_name=5 cannot be imported (ValueError: "),
        (cfg_of(EnsemblePPO, class_name="json:JSONDecoder"), "agent.algorithm.class_name=json:JSONDecoder is no "
         "algorithm, it lacks construct_algorithm, act, process_env_step, "),
        (cfg_of(EnsemblePPO, class_name="json:dumps"), "is no algorithm, it lacks a class; derive it from "),
        (cfg_of(BrokenPPO), f"agent.algorithm.class_name={HERE}:BrokenPPO cannot be built from this agent's settings "
         "(ZeroDivisionError: nothing to divide by, test_own_algorithm.py, line "),
        (cfg_of(LoosePPO), f"agent.algorithm.class_name={HERE}:LoosePPO has settings that are no dataclass; write "
         "@dataclass above LooseCfg."),
        (cfg_of(UncheckedPPO), f"agent.algorithm.class_name={HERE}:UncheckedPPO has settings without validate(); "
         "derive UncheckedCfg from EnsembleCfg."),
        (cfg_of(EnsemblePPO, class_name="PPO"), "agent.algorithm.class_name=PPO cannot be built from this agent's "
         "settings (KeyError: 'actor', "),
    ],
)  # fmt: skip
def test_what_cannot_run_ends_in_one_sentence(cfg, message):
    with pytest.raises(UserError) as error:
        make_runner(cfg)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and str(error.value)[-1] in ".?"


def test_an_error_that_is_not_the_algorithms_stays_what_it_is():
    with pytest.raises(KeyError), construction("x:Y"):
        raise KeyError("of the environment")


def test_the_class_itself_is_found():
    assert algorithm_class("cpo_rl.algorithms:EnsemblePPO") is EnsemblePPO
    assert algorithm_class("PPO") is PPO

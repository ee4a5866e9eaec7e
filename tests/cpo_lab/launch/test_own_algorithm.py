# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Fields of an algorithm class of one's own are settings like any other, checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("isaaclab")

from isaaclab.utils import to_dict

from cpo_lab.launch.configuration import Request, resolve
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RunFolder

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
MODULE = """
from dataclasses import dataclass
from rsl_rl.algorithms import PPO
from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.config import EnsembleCfg
from cpo_rl.fields import setting

@dataclass
class OwnCfg(EnsembleCfg):
    own_coef: float = setting(0.5, at_least=0.0)
    own_way: str = setting("a", choices=("a", "b"))

class Own(EnsemblePPO):
    settings_class = OwnCfg

class Same(EnsemblePPO):
    pass

class Keyword(PPO):
    def __init__(self, *args, own_coef=0.5, **kwargs):
        super().__init__(*args, **kwargs)

class Other:
    construct_algorithm = act = process_env_step = compute_returns = update = get_policy = print
    train_mode = eval_mode = save = load = print
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "own_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


def resolved(*overrides: str, agent: str = "cpo"):
    return resolve(Request(TASK, agent, device="cpu", num_envs=12, overrides=list(overrides)))


def named(name: str) -> str:
    return f"agent.algorithm.class_name=own_module:{name}"


def test_own_fields_are_settings_with_defaults():
    algorithm = to_dict(resolved(named("Own"), "agent.algorithm.own_coef=0.25").agent_cfg)["algorithm"]
    assert (algorithm["own_coef"], algorithm["own_way"]) == (0.25, "a")
    assert algorithm["class_name"] == "own_module:Own"
    ours = to_dict(resolved().agent_cfg)["algorithm"]
    assert {name: algorithm[name] for name in ours if name != "class_name"} == {
        name: value for name, value in ours.items() if name != "class_name"
    }


def test_the_order_of_settings_does_not_matter_and_the_last_class_counts():
    found = resolved("agent.algorithm.own_coef=0.25", named("Same"), named("Own"))
    assert found.agent_cfg.algorithm.own_coef == 0.25
    assert found.algorithm == "Own"


def test_a_class_without_fields_of_its_own_needs_nothing():
    found = resolved(named("Same"))
    assert str(found.agent_cfg.algorithm.class_name) == "own_module:Same"
    assert found.algorithm == "Same"
    assert found.num_policies == 6


def test_keywords_of_a_class_of_rsl_rls_are_settings():
    found = resolved(named("Keyword"), "agent.algorithm.own_coef=0.25", agent="stock_ppo")
    assert found.agent_cfg.algorithm.own_coef == 0.25
    assert found.agent_cfg.keep_last == 5
    assert "device" not in to_dict(found.agent_cfg.algorithm)


def test_a_class_that_only_has_the_interface_gets_the_agents_settings_as_they_are():
    assert to_dict(resolved(named("Other")).agent_cfg)["algorithm"]["gamma"] == 0.99


@pytest.mark.parametrize(
    ("overrides", "agent", "message"),
    [
        ([named("Own"), "agent.algorithm.own_coef=-1"], "cpo", "algorithm field own_coef=-1 must not be negative"),
        ([named("Own"), "agent.algorithm.own_way=c"], "cpo", "algorithm field own_way='c' must be one of a, b"),
        ([named("Own"), "agent.algorithm.own_coef=x"], "cpo", "agent.algorithm.own_coef=x must be a number"),
        ([named("Own"), "agent.algorithm.own_cef=1"], "cpo", "did you mean 'own_coef'"),
        ([named("Keyword"), "agent.algorithm.own_cef=1"], "stock_ppo", "did you mean 'own_coef'"),
        (["agent.algorithm.own_coef=1"], "cpo", "agent.algorithm.own_coef names no field"),
        ([named("Own")], "stock_ppo", "own_module:Own is an ensemble; use it with --agent cpo or sapg"),
        ([named("Keyword")], "cpo", "own_module:Keyword is a PPO of rsl_rl; use it with --agent stock_ppo"),
        ([named("Nobody")], "cpo", "own_module:Nobody cannot be imported"),
        (["agent.algorithm.class_name=nowhere:X"], "cpo", "nowhere:X cannot be imported"),
        (["agent.algorithm.class_name=json:dumps"], "cpo", "json:dumps is no algorithm"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(overrides, agent, message):
    with pytest.raises(UserError) as error:
        resolved(*overrides, agent=agent)
    assert message in str(error.value)


def test_a_run_of_the_stock_launcher_is_continued_with_its_class_and_values(tmp_path):
    """The stock launcher keeps no request, only the values of its configuration."""
    overrides = [
        named("Own"),
        "agent.algorithm.own_coef=0.25",
        "agent.model.hidden_dims=[8]",
        "agent.model.rnn_type=lstm",
    ]
    before = resolved(*overrides).agent_cfg
    (tmp_path / "run" / "params").mkdir(parents=True)
    (tmp_path / "run" / "params" / "agent.yaml").write_text(yaml.safe_dump(to_dict(before)))
    folder = RunFolder.read(Path(tmp_path / "run"))
    with pytest.raises(UserError, match="--trust"):
        Request.of_run(folder, TASK, "cpo")
    request = Request.of_run(folder, TASK, "cpo", trust=True)
    request.device, request.num_envs = "cpu", 12
    request.overrides.append("agent.algorithm.gamma=0.9")
    after = resolve(request).agent_cfg
    changed = {**to_dict(before)["algorithm"], "gamma": 0.9}
    assert to_dict(after)["algorithm"] == changed
    assert to_dict(after)["model"] == to_dict(before)["model"]
    assert folder.algorithm == "Own"

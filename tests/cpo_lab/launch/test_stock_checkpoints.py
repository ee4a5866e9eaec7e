# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab evaluate`` measures checkpoints that rsl_rl's own runner wrote beside ours, with an environment in the
simulator's place."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner
from tests.cpo_lab.launch.test_train_without_simulator import run_in, world
from tests.cpo_rl.runners.support import make_env, stock_ppo_cfg
from tests.envs.tracking import TrackingEnv

from cpo_lab.cli import evaluate, main
from cpo_lab.launch.policies import OnePolicy
from cpo_lab.launch.stock_networks import networks_in
from cpo_rl.errors import UserError

__all__ = ["world"]  # a fixture: no simulator for training, and an empty working folder


class Watched(TrackingEnv):
    """What is evaluated in; nothing in it is random, so that a return can be computed again."""

    def reset(self):
        self.restart()
        return self.get_observations(), {}


@pytest.fixture(autouse=True)
def measured_in(world, monkeypatch):
    @contextlib.contextmanager
    def env(resolved):
        yield make_env(Watched, num_envs=resolved.env_cfg.scene.num_envs, random_start=False)

    monkeypatch.setattr(evaluate, "simulation", lambda *args: contextlib.nullcontext())
    monkeypatch.setattr(evaluate, "make_env", env)


def stock_cfg(kind: str = "none", **network) -> dict:
    cfg = stock_ppo_cfg()
    for name in ("actor", "critic"):
        cfg[name] |= {"hidden_dims": [7, 5], **network}
        if kind != "none":
            cfg[name] |= {"class_name": "RNNModel", "rnn_type": kind, "rnn_hidden_dim": 6, "rnn_num_layers": 2}
    return cfg


def stock_run(folder: Path, cfg: dict) -> tuple[Path, OnPolicyRunner]:
    """A checkpoint of rsl_rl's runner, alone in its folder, after two iterations."""
    torch.manual_seed(3)
    runner = OnPolicyRunner(make_env(TrackingEnv, random_start=False), copy.deepcopy(cfg), None, "cpu")
    runner.learn(2)
    folder.mkdir()
    runner.save(str(folder / "model_1.pt"))
    return folder / "model_1.pt", runner


def returns_of(policy, num_envs: int) -> list[float]:
    """Return of one episode in every environment, acting by the mean."""
    env = make_env(Watched, num_envs=num_envs, random_start=False)
    obs, _ = env.reset()
    policy.reset()
    total, running = torch.zeros(num_envs), torch.ones(num_envs)
    with torch.inference_mode():
        for _ in range(int(env.max_episode_length)):
            obs, rewards, dones, _ = env.step(policy(obs))
            total += running * rewards
            running *= 1 - dones
    return total.tolist()


def test_a_checkpoint_of_rsl_rl_is_measured_beside_ours(tmp_path, capsys):
    ours = run_in("ours", "--iterations", "2")
    file, runner = stock_run(tmp_path / "elsewhere", stock_cfg())
    command = ["evaluate", str(ours), str(file), "--episodes", "6", "--num_envs", "6", "--device", "cpu"]
    assert main([*command, "--json", "scores.json"]) == 0
    out = capsys.readouterr().out
    assert "model_1.pt is alone and does not name its activation; elu, that of agent stock_ppo, is assumed" in out
    result = json.loads(Path("scores.json").read_text())
    assert [entry["file"] for entry in result["episodes"]] == ["model_2.pt", "model_1.pt"]
    assert [c["quantity"] for c in result["comparisons"]] == ["return"]
    runner.alg.eval_mode()
    assert result["episodes"][1]["return"] == pytest.approx(returns_of(runner.alg.get_policy(), 6), rel=1e-4)


def test_an_activation_that_is_given_is_not_assumed(tmp_path, capsys):
    file, runner = stock_run(tmp_path / "elsewhere", stock_cfg(activation="tanh"))
    task = ["--task", "CpoLab-Reorient-Cube-Shadow-Direct", "--device", "cpu", "--num_envs", "3", "--episodes", "3"]
    given = ["agent.actor.activation=tanh", "agent.critic.activation=tanh"]
    assert main(["evaluate", str(file), *task, *given, "--json", "scores.json"]) == 0
    assert "assumed" not in capsys.readouterr().out
    runner.alg.eval_mode()
    found = json.loads(Path("scores.json").read_text())["episodes"][0]["return"]
    assert found == pytest.approx(returns_of(runner.alg.get_policy(), 3), rel=1e-4)


def test_alone_it_needs_a_task(tmp_path, capsys):
    file, _ = stock_run(tmp_path / "elsewhere", stock_cfg())
    assert main(["evaluate", str(file)]) == 2
    assert "does not say which task it was trained on; add --task." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["none", "lstm", "gru"])
def test_sizes_and_kinds_are_those_of_the_tensors(tmp_path, kind):
    cfg = stock_cfg(kind, obs_normalization=kind != "gru")
    file, _ = stock_run(tmp_path / "elsewhere", cfg)
    found = networks_in(file)
    for name in ("actor", "critic"):
        own = {key: value for key, value in cfg[name].items() if key in found[name] and key != "distribution_cfg"}
        assert own == {key: value for key, value in found[name].items() if key != "distribution_cfg"}
        assert {"hidden_dims", "obs_normalization"} <= own.keys() and ("rnn_type" in own) == (kind != "none")
    assert found["actor"]["distribution_cfg"] == {"std_type": "scalar"} and "distribution_cfg" not in found["critic"]


def test_a_recurrent_policy_acts_on_what_it_remembers(tmp_path):
    """Ids would be taken for the masks of a padded batch."""
    _, runner = stock_run(tmp_path / "elsewhere", stock_cfg("lstm"))
    policy, ids = runner.alg.get_policy(), torch.zeros(12, dtype=torch.long)
    obs = runner.env.get_observations()
    with torch.inference_mode():
        policy.reset()
        expected = [policy(obs), policy(obs)]
        one = OnePolicy(policy)
        one.reset()
        found = [one(obs, ids), one(obs, ids)]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True)) and not torch.equal(*found)


def test_other_files_are_told_apart(tmp_path):
    ours = run_in("ours", "--iterations", "1")
    shutil.copy(ours / "model_1.pt", tmp_path / "alone.pt")
    assert networks_in(tmp_path / "alone.pt") == {}
    old = {"model_state_dict": {"actor.0.weight": torch.zeros(2, 2)}, "iter": 3, "infos": None}
    torch.save(old, tmp_path / "old.pt")
    with pytest.raises(UserError, match="is of rsl_rl before version 5"):
        networks_in(tmp_path / "old.pt")

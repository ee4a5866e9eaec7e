# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A run that begins with another one's weights: which are taken, which are not, and that it says so."""

from __future__ import annotations

import math

import pytest
import torch
from tests.cpo_rl.runners.support import ensemble_cfg, make_env, stock_ppo_cfg
from tests.envs.tracking import TrackingEnv

from cpo_rl.errors import UserError
from cpo_rl.models.actor_critic import PER_POLICY
from cpo_rl.runners import EnsembleRunner
from cpo_rl.runners.initial_weights import mix_weights, same_units


class OtherTask(TrackingEnv):
    """The same sizes under another name."""


def runner(folder=None, *, kind=TrackingEnv, cfg=None, **env) -> EnsembleRunner:
    torch.manual_seed(0)
    return EnsembleRunner(make_env(kind, **env), cfg or ensemble_cfg(), folder and str(folder), "cpu")


@pytest.fixture
def trained(tmp_path):
    """A run of two iterations; its weights differ from those that every runner here begins with."""
    run = runner(tmp_path / "first")
    run.learn(2)
    return run


def weights(run: EnsembleRunner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.alg.get_policy().state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], *prefixes: str) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a if name.startswith(prefixes or ("",)))


def begin_from(trained: EnsembleRunner, run: EnsembleRunner, **kwargs):
    return run.init_from(str(trained.folder.path / "model_2.pt"), **kwargs)


def test_layers_by_hand():
    shapes = {"a.w": (2, 2), "a.b": (2,), "b.w": (1, 3), "b.b": (1,)}
    mine = {name: torch.zeros(*shape) for name, shape in shapes.items()}
    theirs = {name: torch.ones_like(tensor) for name, tensor in mine.items()} | {"b.w": torch.ones(1, 2)}
    state, taken, left = mix_weights(mine, theirs, {})
    assert (taken, left) == (["a"], {"b": "w [1, 2] there, [1, 3] here"})
    assert [float(state[name].sum()) for name in mine] == [4.0, 2.0, 0.0, 0.0]  # nor a bias of a layer that is new
    assert mix_weights(mine, theirs, {"a": "no"})[2]["a"] == "no"
    del theirs["a.b"]
    assert mix_weights(mine, theirs, {})[2]["a"] == "is not in it"


def test_rows_are_counted_from_the_leader():
    table = torch.tensor([[1.0], [2.0], [3.0]])
    new = torch.zeros(5, 1)
    state, taken, _ = mix_weights({"embedding": new}, {"embedding": table}, {})
    assert state["embedding"].flatten().tolist() == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert taken == ["embedding of the last 3 policies"] and not new.any()
    state, taken, _ = mix_weights({"embedding": torch.zeros(1, 1)}, {"embedding": table}, {})
    assert state["embedding"].tolist() == [[3.0]] and taken == ["embedding of the leader"]
    assert "embedding" in mix_weights({"embedding": torch.zeros(3, 2)}, {"embedding": table}, {})[2]


def test_the_same_kind_of_run_gets_all_weights_and_nothing_else(trained, tmp_path):
    run = runner(tmp_path / "second")
    before = weights(run)
    taken = begin_from(trained, run)
    assert not equal(before, weights(trained)) and equal(weights(run), weights(trained)) and not taken.left
    assert run.completed_iterations == 0 and not run.alg.policy_update.optimizer.state
    assert run.alg.learning_rate == ensemble_cfg()["algorithm"].get("learning_rate", 5.0e-4)
    run.learn(1)
    assert run.completed_iterations == 1


def test_the_record_says_what_was_taken(trained, tmp_path, capsys):
    cfg = ensemble_cfg()
    cfg["model"]["hidden_dims"] = [8, 4]
    cfg["progress"] = "plain"
    run = runner(tmp_path / "second", cfg=cfg)
    begin_from(trained, run)
    told = run.folder.manifest["initialized_from"]
    assert (told["run"], told["file"], told["iteration"]) == (str(trained.folder.path), "model_2.pt", 2)
    assert "trunk.layers.0" in told["taken"] and told["left"]["mean_head"] == "weight [2, 8] there, [2, 4] here"
    assert told["left"]["trunk.layers.1"] == "is not in it"
    run.learn(1)
    log = (run.folder.path / "run.log").read_text()
    assert "Begins with weights of" in log and "Not taken: trunk.layers.1 (is not in it)" in log
    assert run.folder.read(run.folder.path).initialized_from == {name: told[name] for name in ("run", "file", "sha256")}


def test_where_only_the_ends_fit_nothing_is_taken(trained):
    cfg = ensemble_cfg()
    run = runner(num_axes=3, cfg=cfg)
    with pytest.raises(UserError, match=r"holds no weights that fit this agent: log_std \[3, 2\] there, \[3, 3\] here"):
        begin_from(trained, run)  # one hidden layer: nothing lies between


def test_deeper_networks_of_other_sizes_share_what_lies_between(tmp_path):
    cfg = ensemble_cfg()
    cfg["model"]["hidden_dims"] = [8, 6]
    first, second = runner(tmp_path / "first", cfg=cfg), runner(num_axes=3, cfg=cfg)
    first.learn(2)
    before = weights(second)
    taken = begin_from(first, second)
    after = weights(second)
    assert equal(after, weights(first), "trunk.layers.1", "embedding")
    assert equal(after, before, "trunk.layers.0", "mean_head", "log_std", "obs_normalizer")
    assert {"trunk.layers.0", "mean_head", "log_std", "obs_normalizer"} <= taken.left.keys()


def test_values_of_another_task_or_scale_are_not_taken(trained):
    cfg = ensemble_cfg(reward_scale=0.5)
    for run in (runner(kind=OtherTask), runner(cfg=cfg)):
        before = weights(run)
        taken = begin_from(trained, run)
        assert taken.left == dict.fromkeys(("value_head", "value_normalizer"), "its values are in other units")
        assert equal(weights(run), before, "value_head", "value_normalizer")
        assert equal(weights(run), weights(trained), "trunk", "mean_head", "obs_normalizer")
    assert any(
        "task 'TrackingEnv' instead of 'OtherTask'" in note
        for note in begin_from(trained, runner(kind=OtherTask)).sentences()
    )
    assert same_units({}, {"algorithm": {"reward_scale": 1.0}}, [])


@pytest.mark.parametrize("count", [1, 2, 6])
def test_ensembles_of_other_sizes_share_policies_from_the_leader_on(trained, count):
    cfg = ensemble_cfg(num_policies=count) if count > 1 else ensemble_cfg("ppo")
    cfg["model"]["embedding_dim"] = 4
    run = runner(cfg=cfg)
    begin_from(trained, run)
    theirs, own = weights(trained), weights(run)
    assert all(torch.equal(own[name][-1], theirs[name][-1]) for name in PER_POLICY)
    obs = run.env.get_observations()
    assert torch.allclose(run.alg.get_policy()(obs), trained.alg.get_policy()(obs), atol=1e-6), "the leader acts alike"


def test_what_a_setting_says_is_not_taken(trained):
    run = runner()
    before = weights(run)["log_std"]
    assert begin_from(trained, run, own=["log_std"]).left == {"log_std": "a setting says how it begins"}
    assert torch.equal(weights(run)["log_std"], before) and not torch.equal(before, weights(trained)["log_std"])


def test_networks_of_rsl_rl_go_to_their_kind_only(trained, tmp_path):
    stock = runner(tmp_path / "stock", cfg=stock_ppo_cfg())
    stock.learn(2)
    other = runner(cfg=stock_ppo_cfg())
    taken = begin_from(stock, other)
    assert equal(weights(other), weights(stock)) and "actor.mlp.0" in taken.taken and "critic.mlp.0" in taken.taken
    for source, run in ((stock, runner()), (trained, runner(cfg=stock_ppo_cfg()))):
        with pytest.raises(UserError, match="holds no weights that fit this agent"):
            begin_from(source, run)


def end_in_the_first_step(run: EnsembleRunner) -> None:
    run.logger._on_step = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run.learn(2)


def test_the_record_is_of_the_start_that_trains(trained, tmp_path):
    """A run killed in its first step goes on with what it began with; another start in its folder does not."""
    begun = runner(tmp_path / "second")
    begin_from(trained, begun)
    end_in_the_first_step(begun)
    resumed = runner(tmp_path / "second")
    assert resumed.resume() and equal(weights(resumed), weights(trained))
    end_in_the_first_step(resumed)
    assert resumed.folder.read(resumed.folder.path).initialized_from["file"] == "model_2.pt"
    anew = runner(tmp_path / "second")
    anew.learn(1)
    assert anew.folder.read(anew.folder.path).initialized_from is None
    assert "initialized_from" in anew.folder.manifest["history"][-1]["changes"]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(trained, tmp_path, number):
    payload = torch.load(trained.folder.path / "model_2.pt", weights_only=True)
    payload["model"]["trunk.layers.0.weight"][0, 0] = number
    torch.save(payload, tmp_path / "bad.pt")
    run = runner()
    before = weights(run)
    with pytest.raises(UserError, match=r"bad.pt': trunk.layers.0.weight holds a number that is not finite; choose"):
        run.init_from(str(tmp_path / "bad.pt"))
    assert equal(weights(run), before)


def test_a_beginning_that_is_not_finite_is_not_written(tmp_path):
    run = runner(tmp_path / "run")
    with torch.no_grad():
        next(run.alg.get_policy().parameters()).fill_(math.nan)
    end_in_the_first_step(run)
    assert not list((tmp_path / "run").glob("model_*"))

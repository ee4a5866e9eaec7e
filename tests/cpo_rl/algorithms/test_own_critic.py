# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A critic that reads an observation of its own: what it sees helps the values and never reaches the policy."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict
from tests.cpo_rl.toy import NUM_ACTIONS, NUM_OBS, ToyEnv

from cpo_rl.algorithms import EnsemblePPO
from cpo_rl.errors import UserError
from cpo_rl.export import export_policy
from cpo_rl.formulas import gaussian
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.presets import preset
from cpo_rl.runs.payload import from_bytes, to_bytes

NUM_ENVS, NUM_HIDDEN = 12, 3
GROUPS = {"actor": ["policy"], "critic": ["policy", "hidden"]}


class PrivilegedEnv(ToyEnv):
    """The toy with two more groups: ``hidden`` [n, 3] of wide numbers, and ``copy``, the policy's group again."""

    hidden: torch.Tensor | None = None
    blind = False
    """Whether the policy's group says nothing."""

    def get_observations(self) -> TensorDict:
        obs = super().get_observations()
        place = torch.arange(NUM_HIDDEN) + self.ids[:, None]
        hidden = 50.0 + 20.0 * torch.sin(place + self.steps) if self.hidden is None else self.hidden
        if self.blind:
            obs["policy"].zero_()
        groups = {"policy": obs["policy"], "hidden": hidden.to(self.dtype), "copy": obs["policy"].clone()}
        return TensorDict(groups, batch_size=[self.num_envs])


def make_runner(
    groups: dict[str, list[str]], rnn: str = "none", model: dict[str, Any] | None = None, **algorithm: Any
) -> OnPolicyRunner:
    settings = {
        "num_policies": 3, "num_mini_batches": 2, "num_learning_epochs": 2, "adversarial_coef": 0.0,
        "sequence_length": 4 if rnn == "lstm" else 1, **algorithm,
    }  # fmt: skip
    cfg = {
        "seed": 1, "num_steps_per_env": 8, "save_interval": 1000, "check_for_nan": False, "obs_groups": groups,
        "model": {"hidden_dims": [8], "embedding_dim": 4, "rnn_type": rnn, "rnn_hidden_dim": 6, **(model or {})},
        "algorithm": {"class_name": "cpo_rl.algorithms:EnsemblePPO", **preset("cpo", **settings)},
    }  # fmt: skip
    torch.manual_seed(0)
    return OnPolicyRunner(PrivilegedEnv(torch.arange(NUM_ENVS)), cfg, log_dir=None, device="cpu")


def collect(alg: EnsemblePPO, env: PrivilegedEnv) -> None:
    obs = env.get_observations()
    with torch.inference_mode():
        for _ in range(alg.rollout.horizon):
            obs, rewards, dones, extras = env.step(alg.act(obs))
            alg.process_env_step(obs, rewards, dones, extras)
        alg.compute_returns(obs)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_a_critic_that_reads_a_copy_of_the_policys_group_learns_what_a_separate_one_does(rnn):
    """Two rows, two normalizers, two trunks: the same numbers in them must give the same weights."""
    own, separate = (
        make_runner({"actor": ["policy"], "critic": ["copy"]}, rnn),
        make_runner({}, rnn, {"separate_critic": True}),
    )
    for runner in (own, separate):
        runner.learn(3)
    found = dict(own.alg.model.state_dict())
    for name in ("mean", "var", "count"):
        assert torch.equal(found[f"critic_normalizer.{name}"], found[f"obs_normalizer.{name}"]), name
    for name, value in separate.alg.model.state_dict().items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("rnn", ["none", "lstm"])
@pytest.mark.parametrize("separate", [False, True])
def test_the_critics_observation_moves_values_only(rnn, separate):
    runner = make_runner(GROUPS, rnn, {"separate_critic": separate})
    runner.learn(2)
    model = runner.alg.model
    assert (model.num_obs, model.num_critic_obs) == (NUM_OBS, NUM_OBS + NUM_HIDDEN)
    obs = model.read_obs(runner.env.get_observations())
    ids, other = torch.arange(NUM_ENVS) % 3, obs.clone()
    other[:, NUM_OBS:] += 10.0
    first, second = (
        model.evaluate(model.normalize_obs(x).unsqueeze(1), ids, model.initial_state(NUM_ENVS)) for x in (obs, other)
    )
    assert torch.equal(first.mean, second.mean)
    assert not torch.isclose(first.value, second.value).any()
    actor_only = model.evaluate(
        model.normalize_obs(obs[:, :NUM_OBS]).unsqueeze(1), ids, model.initial_state(NUM_ENVS), num_values=0
    )
    assert torch.equal(actor_only.mean, first.mean)
    with pytest.raises(ValueError, match="the critic reads 15 numbers, not 6"):
        model.evaluate(obs[:, :NUM_OBS].unsqueeze(1), ids, model.initial_state(NUM_ENVS))


def test_each_has_statistics_of_its_own():
    runner = make_runner(GROUPS)
    seen = []
    gather = runner.alg.model.gather_statistics
    runner.alg.model.gather_statistics = lambda obs, valid: (seen.append(obs.clone()), gather(obs, valid))
    runner.learn(1)
    rows = torch.cat(seen).double()
    count = len(rows)
    assert count == NUM_ENVS * 8
    for normalizer, part in (
        (runner.alg.model.obs_normalizer, rows[:, :NUM_OBS]), (runner.alg.model.critic_normalizer, rows[:, NUM_OBS:])
    ):  # fmt: skip
        assert float(normalizer.count) == count + 1
        torch.testing.assert_close(normalizer.mean, part.mean(0) * count / (count + 1))
    assert runner.alg.model.critic_normalizer.mean[-1] > 20.0


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_a_training_forward_reproduces_the_rollout(rnn):
    runner = make_runner(GROUPS, rnn)
    runner.learn(2)
    alg, rollout = runner.alg, runner.alg.rollout
    collect(alg, runner.env)
    batch = alg.tables.passes([1], 1, 1, torch.Generator().manual_seed(0))[0][0]
    rows = rollout.gather(batch)
    own = slice(0, sum(batch.sizes[:2]))
    out = alg.model.evaluate_inputs(rows.inputs, rows.state, rows.resets, num_values=batch.num_gradient)
    log_prob = gaussian.log_prob(rows.action, out.mean, out.log_std)[own]
    torch.testing.assert_close(log_prob, rows.old_log_prob[own], rtol=0.0, atol=1e-5)
    values = alg.model.denormalize_value(out.value)[own]
    torch.testing.assert_close(values, rollout.target_values[batch.target[own]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_the_critic_explains_what_the_policy_cannot_see(rnn):
    """The reward is 1 or -1, and only the critic is told which."""
    explained = []
    for groups in ({}, GROUPS):
        runner = make_runner(groups, rnn, learning_rate=3.0e-3, learning_rate_schedule="fixed")
        env, runner.env.blind = runner.env, True
        env.hidden = torch.tensor([[1.0], [-1.0]]).repeat(NUM_ENVS // 2, NUM_HIDDEN)
        step = env.step

        def rewarded(actions, step=step, hidden=env.hidden):
            obs, _, dones, extras = step(actions)
            return obs, 100.0 * hidden[:, 0], dones, extras

        env.step = rewarded
        for _ in range(20):
            collect(runner.alg, env)
            metrics = runner.alg.update()
        explained.append(metrics["Value/explained_variance"])
    assert explained[1] > 0.7 > 0.3 > explained[0], explained


def test_a_group_full_of_nan_is_no_group_to_learn_from():
    runner = make_runner(GROUPS, quarantine_stop_fraction=1.0)
    runner.env.hidden = torch.full((NUM_ENVS, NUM_HIDDEN), torch.nan)
    collect(runner.alg, runner.env)
    assert runner.alg.update()["Env/quarantined_observation"] == NUM_ENVS * 8
    assert all(p.isfinite().all() for p in runner.alg.model.parameters())


@pytest.mark.parametrize(
    "groups", [{"actor": ["policy"], "critic": ["policy"]}, {"critic": ["policy"]}, {"critic": []}]
)
def test_a_critic_that_reads_what_the_actor_reads_shares_its_trunk(groups):
    model = make_runner(groups).alg.model
    assert (model.critic_trunk, model.critic_normalizer, model.num_critic_obs) == (None, None, 0)


@pytest.mark.parametrize(
    ("groups", "name"),
    [({"critic": ["privileged"]}, "privileged"), ({"actor": ["x"]}, "x"), ({"student": ["policy"]}, "student")],
)
def test_unknown_groups_and_sets_are_refused(groups, name):
    with pytest.raises(UserError, match=f"obs_groups names '{name}'"):
        make_runner(groups)


@pytest.mark.parametrize("rnn", ["none", "lstm"])
def test_it_continues_exactly_and_is_deployed_without_its_privileges(tmp_path, rnn):
    runner = make_runner(GROUPS, rnn)
    runner.learn(2)
    state = from_bytes(to_bytes(runner.alg.save()), "state")
    other = make_runner(GROUPS, rnn)
    other.alg.load(state)
    for runs in (runner, other):
        env = PrivilegedEnv(torch.arange(NUM_ENVS))
        collect(runs.alg, env)
        runs.alg.update()
    for name, value in runner.alg.model.state_dict().items():
        assert torch.equal(other.alg.model.state_dict()[name], value), name
    settings = {"hidden_dims": [8], "embedding_dim": 4, "rnn_type": rnn, "rnn_hidden_dim": 6}
    model = EnsembleActorCritic.from_checkpoint(runner.alg.save()["model"], settings, ["policy"])
    assert model.num_critic_obs == NUM_OBS + NUM_HIDDEN
    written = export_policy(model, tmp_path, formats=["jit"])
    assert (written["observation"]["size"], written["observation"]["groups"]) == (NUM_OBS, ["policy"])
    module = torch.jit.load(io.BytesIO((tmp_path / "policy.pt").read_bytes()))
    obs = runner.env.get_observations()["policy"]
    actions = module(obs)
    assert actions.shape == (NUM_ENVS, NUM_ACTIONS)
    torch.testing.assert_close(actions, model(TensorDict({"policy": obs}, batch_size=[NUM_ENVS])))
    assert not any("critic" in name for name, _ in module.named_buffers())

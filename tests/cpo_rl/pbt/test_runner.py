# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Members of a population in one process: copying, skipping what cannot be copied, exact resume."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import pytest
import torch
from tests.cpo_rl.pbt.pbt_job import HORIZON, NUM_ENVS, STEPS, member_cfg, member_runner
from tests.cpo_rl.runners.support import ForgetfulEnv, differing, ensemble_cfg, final_state, make_env, make_runner
from tests.envs.tracking import TrackingEnv

from cpo_rl.errors import UserError
from cpo_rl.pbt import MUTABLE, PbtCfg, Workspace
from cpo_rl.runs.checkpoints import read_complete, write_checkpoint
from cpo_rl.runs.payload import from_bytes, shape_difference, to_bytes

EAGER = PbtCfg(interval_steps=2 * STEPS, start_after=0, initial_delay=0, mutation_rate=0.5)
"""Decides every second iteration."""


def events(workspace: Workspace, member: int) -> list[dict]:
    """Return a member's history without times."""
    return [{k: v for k, v in event.items() if k != "time"} for event in workspace.history(member).read()]


def learned(runner) -> dict:
    """Return a copy of what a donor would give away."""
    state = final_state(runner)
    return {name: state[name] for name in ("model", "optimizer", "adversary", "regulator")}


def publish_donors(workspace: Workspace, objective: float | None = 1e3, **cfg) -> None:
    """Let members 1 and 2 train for two iterations; say that they reached ``objective`` in the first interval."""
    for member in (1, 2):
        runner = member_runner(workspace, member, member_cfg(member, **cfg), EAGER)
        runner.learn(2)
        (state,) = (workspace.folder(member) / "published").glob("state_*.json")
        content = json.loads(state.read_text())
        state.write_text(json.dumps({**content, "objective": objective}))


def newcomer(workspace: Workspace, pbt: PbtCfg = EAGER, **cfg):
    """Return member 0, which is behind the donors at its every decision."""
    return member_runner(workspace, 0, member_cfg(0, **cfg), pbt)


@pytest.mark.long
def test_a_bad_member_takes_over_the_weights_of_a_good_one_and_its_return_jumps(tmp_path):
    pbt = PbtCfg(
        interval_steps=10 * STEPS, start_after=25 * STEPS, initial_delay=0, mutation_rate=0.0,
        donor_parameters_probability=1.0,
    )  # fmt: skip
    workspace = Workspace(tmp_path, 3)
    good, other, bad = (
        member_runner(workspace, i, member_cfg(i, desired_kl=kl), pbt) for i, kl in enumerate((0.02, 0.02, 1e-7))
    )
    for total in (10, 20, 30):
        for runner in (good, other, bad):
            runner.learn_until(total)
    before = events(workspace, 2)[-1]
    assert (before["event"], before["changed"]) == ("copy", {"desired_kl": [1e-7, 0.02]})
    donor = (good, other)[before["donor"]]
    assert before["objective"] < 0.6 * donor.alg.episodes.objective()
    published = workspace.checkpoint(workspace.published(before["donor"])[-1])
    stored = from_bytes(read_complete(published)[0])
    assert differing({n: stored[n] for n in ("model", "optimizer", "adversary", "regulator")}, learned(bad)) == []
    assert bad.alg.learning_rate == donor.alg.learning_rate  # Adam's step size comes with its moments
    assert bad.alg.cfg.desired_kl == 0.02
    assert bad.alg.episodes.objective() is None  # until every environment has finished an episode
    assert (bad.completed_iterations, bad.member.restarts) == (30, 1)
    bad.learn_until(40)
    assert bad.alg.episodes.objective() > 0.85 * donor.alg.episodes.objective()
    assert [len(events(workspace, i)) for i in range(3)] == [4, 4, 5]
    assert {e["event"] for i in (0, 1) for e in events(workspace, i)} == {"start", "keep"}


@pytest.mark.parametrize(("rnn", "cut"), [("none", 3), ("none", 4), ("lstm", 5)])
def test_interrupted_equals_uninterrupted(tmp_path, rnn, cut):
    """In the middle of an interval, right at a decision, and with recurrent states."""
    publish_donors(Workspace(tmp_path / "whole", 3), rnn=rnn)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    whole = newcomer(Workspace(tmp_path / "whole", 3), rnn=rnn)
    whole.learn(8)
    newcomer(Workspace(tmp_path / "parts", 3), rnn=rnn).learn(cut)
    second = newcomer(Workspace(tmp_path / "parts", 3), rnn=rnn)
    assert second.resume()
    second.learn(8 - cut)
    assert differing(final_state(whole), final_state(second)) == []
    assert events(whole.workspace, 0) == events(second.workspace, 0)
    kinds = [event["event"] for event in events(whole.workspace, 0)]
    assert kinds[0] == "start"
    assert kinds.count("copy") >= 2
    assert whole.member.restarts == kinds.count("copy") + kinds.count("mutate")
    assert dataclasses.asdict(whole.alg.cfg) == dataclasses.asdict(second.alg.cfg)


def test_decisions_after_a_lost_checkpoint_are_taken_again(tmp_path):
    """A process killed after its last save leaves records of what its continuation does anew."""
    publish_donors(Workspace(tmp_path, 3))
    first = newcomer(Workspace(tmp_path, 3))
    first.learn(4)
    saved = first.folder.path / "model_4.pt"
    first.learn(4)
    for later in first.folder.path.glob("model_8.*"):
        later.unlink()
    lines = events(first.workspace, 0)
    second = newcomer(Workspace(tmp_path, 3))
    assert second.resume() and second.completed_iterations == 4 and saved.exists()
    second.learn(0)
    assert events(second.workspace, 0) == [line for line in lines if line["iteration"] <= 4]
    assert [state.iteration for state in second.workspace.published(0)] == [2, 4]
    second.learn(4)
    assert events(second.workspace, 0) == lines
    assert differing(final_state(first), final_state(second)) == []


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _rewrite(change):
    """Replace a checkpoint by a changed one with a sound checksum."""

    def apply(path):
        data, manifest = read_complete(path)
        payload = from_bytes(data)
        write_checkpoint(path, to_bytes(change(payload) or payload), manifest)

    return apply


def _nan(payload):
    payload["model"]["log_std"][0, 0] = math.nan


def _other_task(payload):
    payload["runner"]["identity"]["task"] = "Other"


def _flat_moments(payload):
    payload["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.with_suffix(".json").unlink(), "missing or damaged"),
        (_truncate, "damaged"),
        (_flip, "damaged"),
        (_rewrite(lambda payload: {"model": torch.zeros(2)}), "lacks the entries"),
        (_rewrite(lambda payload: {"model": torch.zeros(2), "iter": 2, "format": 1}), "not written by a member"),
        (_rewrite(_nan), "not finite in model.log_std"),
        (_rewrite(_other_task), "task 'Other'"),
        (_rewrite(_flat_moments), "exp_avg has another shape"),
    ],
    ids=["gone", "no sidecar", "torn", "flipped", "foreign", "made up", "nan", "other task", "other shape"],
)
def test_a_donor_that_cannot_be_copied_is_skipped(tmp_path, damage, reason):
    sound = newcomer(Workspace(tmp_path / "alone", 3))
    sound.learn(2)  # two more members are unknown, so nothing happens
    workspace = Workspace(tmp_path / "damaged", 3)
    publish_donors(workspace)
    for member in (1, 2):
        damage(workspace.checkpoint(workspace.published(member)[-1]))
    runner = newcomer(workspace)
    runner.learn(2)
    skipped = events(workspace, 0)[-1]
    assert skipped["event"] == "skip"
    assert reason in skipped["reason"]
    assert runner.member.restarts == 0
    assert runner.member.parameters == sound.member.parameters
    assert differing(learned(runner), learned(sound)) == []


def test_a_donor_with_another_network_is_skipped(tmp_path):
    workspace = Workspace(tmp_path, 3)
    publish_donors(workspace)
    cfg = member_cfg(0)
    cfg["model"]["hidden_dims"] = [16]
    member_runner(workspace, 0, cfg, EAGER).learn(2)
    assert "does not fit this agent" in events(workspace, 0)[-1]["reason"]


def test_hyper_parameters_out_of_range_are_skipped(tmp_path):
    workspace = Workspace(tmp_path, 3)
    publish_donors(workspace)
    for member in (1, 2):
        (state,) = (workspace.folder(member) / "published").glob("state_*.json")
        content = json.loads(state.read_text())
        state.write_text(json.dumps({**content, "parameters": {**content["parameters"], "gamma": 7.0}}))
    runner = newcomer(workspace, dataclasses.replace(EAGER, mutation_rate=0.0, donor_parameters_probability=1.0))
    runner.learn(2)
    assert "gamma=7.0" in events(workspace, 0)[-1]["reason"]
    assert runner.alg.cfg.gamma == 0.99


def test_torn_and_foreign_states_count_as_unknown(tmp_path):
    workspace = Workspace(tmp_path, 3)
    publish_donors(workspace)
    for member, text in ((1, '{"member": 1, "inter'), (2, '{"member": 9}')):
        (state,) = (workspace.folder(member) / "published").glob("state_*.json")
        state.write_text(text)
    assert workspace.newest(10**9) == [None, None, None]
    newcomer(workspace).learn(2)
    assert [event["event"] for event in events(workspace, 0)] == ["start", "keep"]


def test_a_member_whose_donor_leads_by_too_little_mutates_and_keeps_its_weights(tmp_path):
    sound = newcomer(Workspace(tmp_path / "alone", 3), rnn="lstm")
    sound.learn(2)
    workspace = Workspace(tmp_path / "close", 3)
    publish_donors(workspace, rnn="lstm")
    runner = newcomer(workspace, dataclasses.replace(EAGER, replace_threshold_frac_std=1e6), rnn="lstm")
    runner.learn(2)
    last = events(workspace, 0)[-1]
    assert (last["event"], last["donor"], runner.member.restarts) == ("mutate", None, 1)
    assert last["changed"].keys() == {n for n, v in runner.member.parameters.items() if v != sound.member.parameters[n]}
    assert last["changed"]
    assert differing(learned(runner), learned(sound)) == []
    assert differing(runner.alg._state, sound.alg._state) == []  # the same network made them
    assert runner.alg.episodes.objective() is None
    assert sound.alg.episodes.objective() is not None


@pytest.mark.parametrize(
    ("mine", "theirs", "difference"),
    [
        ({"a": torch.zeros(2), "b": [1]}, {"a": torch.ones(2), "b": [7]}, None),
        (None, {"a": 1}, None),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, "x.a has another shape"),
        ({"a": torch.zeros(2)}, {"a": 5}, "x.a has another shape"),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, "x.a has other entries"),
        ({"a": 1}, None, "x has other entries"),
        ([torch.zeros(1), torch.zeros(2)], [torch.zeros(1), torch.zeros(1)], "x[1] has another shape"),
        ([1], [1, 2], "x has another length"),
        ([1], 1, "x has another length"),
    ],
)
def test_states_of_another_shape_are_told_by_their_place(mine, theirs, difference):
    assert shape_difference(mine, theirs, "x") == difference


def test_recurrent_states_begin_anew_with_another_network():
    runner, donor = (make_runner(ensemble_cfg("cpo", "lstm"), seed=seed) for seed in (1, 2))
    runner.learn(2)
    donor.learn(2)
    assert learned(donor)["adversary"]
    assert any(bool(part.any()) for pair in runner.alg._state for part in pair)
    generators = final_state(runner)["generators"]
    runner.alg.adopt(donor.alg.save())
    assert not any(bool(part.any()) for pair in runner.alg._state for part in pair)
    assert differing(learned(runner), learned(donor)) == []
    assert differing(generators, final_state(runner)["generators"]) == []
    runner.learn(1)


def test_the_curriculum_follows_the_weights(tmp_path):
    """A simulator's task state is the donor's; an environment that restores exactly keeps its episodes."""
    workspace = Workspace(tmp_path, 3)
    cfg = {**ensemble_cfg("ppo"), "num_steps_per_env": HORIZON}
    pbt = dataclasses.replace(EAGER, interval_steps=2 * 12 * HORIZON)
    runners = [
        member_runner(workspace, member, cfg, pbt, make_env(ForgetfulEnv, max_episode_length=5)) for member in range(3)
    ]
    for runner, tolerance in zip(runners, (0.1, 0.2, 0.3), strict=True):
        runner.env.tolerance = tolerance
    for runner in reversed(runners):
        if runner is runners[0]:
            for member in (1, 2):
                (state,) = (workspace.folder(member) / "published").glob("state_*.json")
                state.write_text(json.dumps({**json.loads(state.read_text()), "objective": 1e3}))
        runner.learn(2)
    copied = events(workspace, 0)[-1]
    assert copied["event"] == "copy"
    assert runners[0].env.tolerance == runners[copied["donor"]].env.tolerance != pytest.approx(0.1 * 0.99**32)


class PayingEnv(TrackingEnv):
    """Tracking with a bonus that a population may change."""

    def __init__(self, cfg=None):
        super().__init__(cfg)
        self.bonus = 1.0
        self.paid = []

    def reward_settings(self):
        return {"bonus": self.bonus}

    def set_reward_settings(self, values):
        self.bonus = values["bonus"]

    def step(self, actions):
        self.paid.append(self.bonus)
        return super().step(actions)


def test_settings_of_the_reward_mutate_and_follow_a_donor(tmp_path):
    workspace = Workspace(tmp_path, 3)

    def member(number, pbt):
        env = make_env(PayingEnv, num_envs=NUM_ENVS, max_episode_length=5, seed=number)
        return member_runner(workspace, number, member_cfg(number), pbt, env)

    for number in (1, 2):
        donor = member(number, dataclasses.replace(EAGER, mutation_rate=1.0))
        donor.learn(2)
        assert donor.env.paid[0] == donor.member.parameters["env.bonus"] != 1.0
        (state,) = (workspace.folder(number) / "published").glob("state_*.json")
        state.write_text(json.dumps({**json.loads(state.read_text()), "objective": 1e3}))
    copying = member(0, dataclasses.replace(EAGER, mutation_rate=0.0, donor_parameters_probability=1.0))
    assert copying.env.bonus == 1.0
    copying.learn(3)
    copied = events(workspace, 0)[-1]
    bonus = workspace.published(copied["donor"])[-1].parameters["env.bonus"]
    assert copied["changed"]["env.bonus"] == [1.0, bonus]
    assert copying.env.paid == [1.0] * (2 * HORIZON) + [bonus] * HORIZON
    resumed = member(0, EAGER)
    assert resumed.resume()
    resumed.learn(1)
    assert resumed.env.paid[0] == bonus
    fixed = member_runner(
        Workspace(tmp_path / "b", 3),
        0,
        member_cfg(0),
        dataclasses.replace(EAGER, mutate_rewards=False),
        make_env(PayingEnv),
    )
    assert "env.bonus" not in fixed.member.parameters


def test_members_start_from_different_mutations_and_draw_alike_with_one_seed(tmp_path):
    runners = [newcomer(Workspace(tmp_path / name, 3)) for name in ("a", "b")]
    others = member_runner(Workspace(tmp_path / "a", 3), 1, member_cfg(0), EAGER)
    assert runners[0].member.parameters == runners[1].member.parameters != others.member.parameters
    assert {n: getattr(runners[0].alg.cfg, n) for n in MUTABLE} == runners[0].member.parameters


def test_a_run_that_resumes_with_fewer_mutable_settings_gives_back_the_others(tmp_path):
    everything = dataclasses.replace(EAGER, mutation_rate=1.0)
    newcomer(Workspace(tmp_path, 3), everything).learn(1)
    fewer = newcomer(Workspace(tmp_path, 3), dataclasses.replace(everything, parameters=("gamma",)))
    gamma = newcomer(Workspace(tmp_path / "other", 3), everything).alg.cfg.gamma
    assert fewer.resume()
    assert (fewer.alg.cfg.gamma, fewer.alg.cfg.clip_param) == (gamma, 0.2)


def test_a_full_disk_costs_the_published_state_only(tmp_path, monkeypatch, capsys):
    workspace = Workspace(tmp_path, 3)
    runner = newcomer(workspace)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workspace, "publish", full)
    runner.learn(2)
    assert runner.outcome.status == "finished"
    assert "the state for the population could not be written" in capsys.readouterr().out
    assert events(workspace, 0)[-1]["event"] == "keep"


def test_what_is_no_member_is_refused(tmp_path):
    from tests.cpo_rl.runners.support import stock_ppo_cfg

    with pytest.raises(UserError, match="Member 3 must lie between 0 and 2"):
        member_runner(Workspace(tmp_path, 3), 3, member_cfg(0), EAGER)
    with pytest.raises(UserError, match="agent of this project"):
        member_runner(Workspace(tmp_path / "b", 3), 0, stock_ppo_cfg(), EAGER)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What members leave in the shared folder, the settings they are given, and what they remember."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest
import torch

from cpo_rl.algorithms.episodes import LastEpisodes
from cpo_rl.errors import UserError
from cpo_rl.pbt import (
    DEFAULT_RULES,
    MUTABLE,
    Member,
    MemberState,
    PbtCfg,
    Published,
    Workspace,
    member_state,
    pbt_settings,
)
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import read_complete

ROOT = Path(__file__).parents[3]
BASE = {name: 5 if name == "num_learning_epochs" else 0.2 for name in MUTABLE}


def state(member: int, iteration: int, objective: float | None = 1.0, **changes) -> Published:
    values = {"env_steps": 100 * iteration, "parameters": {"gamma": 0.99}, **changes}
    return Published(member, iteration, objective=objective, **values)


def publish(workspace: Workspace, published: Published, keep: int = 5, data: bytes = b"weights") -> None:
    workspace.publish(published, data, CheckpointManifest(published.iteration), keep)


# -- settings ----------------------------------------------------------------------------------------------------------


def test_every_mutable_setting_has_a_rule():
    assert tuple(DEFAULT_RULES) == MUTABLE


def test_settings_as_typed():
    tokens = [
        "pbt.interval_steps=2e6",
        "pbt.mutation_rate=0.3",
        "pbt.mutation_rate=0.5",
        "pbt.parameters=[gamma, 'clip_param']",
    ]
    values = pbt_settings(tokens)
    assert values == {"interval_steps": 2_000_000, "mutation_rate": 0.5, "parameters": ("gamma", "clip_param")}
    assert type(values["interval_steps"]) is int
    assert PbtCfg(**values).parameters == ("gamma", "clip_param")
    assert pbt_settings(["pbt.mutate_rewards=False"]) == {"mutate_rewards": False}


def test_every_setting_and_every_hyper_parameter_is_explained():
    page = (ROOT / "docs" / "pbt.md").read_text(encoding="utf-8")
    for name in (*(field.name for field in dataclasses.fields(PbtCfg)), *MUTABLE):
        assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("pbt.interval_step=5", "did you mean 'interval_steps'"),
        ("pbt.x=5", "choose one of interval_steps"),
        ("pbt.interval_steps=1.5", "interval_steps=1.5 must be an integer"),
        ("pbt.interval_steps=inf", "must be an integer"),
        ("pbt.mutation_rate=often", "mutation_rate=often must be a finite number"),
        ("pbt.mutation_rate", "must be a finite number"),
        ("pbt.mutate_rewards=perhaps", "mutate_rewards=perhaps must be true or false"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused_by_name(token, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        pbt_settings([token])


def test_parameters_without_a_rule_are_refused():
    with pytest.raises(UserError, match="'learning_rate'"):
        PbtCfg(parameters=("gamma", "learning_rate"))


# -- the member --------------------------------------------------------------------------------------------------------


def test_a_decision_is_due_at_the_end_of_an_interval_once_the_score_is_known():
    member = Member(0, PbtCfg(interval_steps=100), BASE, seed=0)
    assert not member.observe(99, 1.0)
    assert not member.observe(150, None)
    assert member.observe(150, 3.0)
    assert member.observe(180, 2.0)  # nobody decided
    assert member.best == 3.0
    member.decide(180, 2.0, [member_state(None)] * 3)
    assert (member.decided_at, member.best) == (180, None)
    assert not member.observe(199, 2.0)
    assert member.observe(450, 2.0)
    assert [member.horizon(steps) for steps in (0, 99, 100, 450)] == [100, 100, 200, 500]


def test_a_run_that_continues_with_longer_intervals_goes_on_deciding():
    short = Member(0, PbtCfg(interval_steps=100), BASE, seed=0)
    short.decide(950, 1.0, [member_state(None)] * 3)
    long = Member(0, PbtCfg(interval_steps=300), BASE, seed=0)
    long.load_state_dict(short.state_dict())
    assert not long.observe(1199, 1.0)
    assert long.observe(1200, 1.0)


def test_own_state_counts_as_it_is_now_and_foreign_parameters_do_not():
    cfg = PbtCfg(interval_steps=1, start_after=0, initial_delay=0, mutation_rate=0.0, donor_parameters_probability=1.0)
    member = Member(2, cfg, BASE, seed=0)
    others = [
        MemberState(9.0, {"gamma": 0.5, "unheard_of": 1.0}),
        MemberState(9.0, {"gamma": 0.5}),
        MemberState(99, {}),
    ]
    decision = member.decide(10, 1.0, others)
    assert decision.restart and decision.donor in (0, 1)
    assert decision.parameters == {**BASE, "gamma": 0.5}


def test_a_restored_member_draws_what_it_would_have_drawn():
    cfg = PbtCfg(interval_steps=1, start_after=0, initial_delay=0, mutation_rate=0.7)
    others = [MemberState(1.0, BASE), MemberState(9.0, BASE), MemberState(9.5, BASE)]
    first = Member(0, cfg, BASE, seed=3)
    first.decide(10, 1.0, others)
    first.observe(11, 0.5)
    second = Member(0, cfg, BASE, seed=99)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    assert first.decide(20, 1.0, others) == second.decide(20, 1.0, others)
    assert first.state_dict() == second.state_dict()


# -- the score ---------------------------------------------------------------------------------------------------------


def test_the_objective_is_known_once_every_environment_has_finished_an_episode():
    episodes = LastEpisodes(4, 2, "cpu")

    def step(rewards, dones, **metrics):
        values = {name: torch.tensor(value) for name, value in metrics.items()}
        episodes.step(torch.tensor(rewards), torch.tensor(dones), {"episode_metrics": values})
        return episodes.objective()

    assert step([1.0, 2.0, 3.0, 4.0], [True, True, True, False]) is None
    assert step([0.0, 0.0, 0.0, 6.0], [False, False, False, True]) == (1 + 2 + 3 + 10) / 4
    episodes.forget_finished()
    assert step([5.0, 5.0, 5.0, 5.0], [True, True, True, False]) is None
    assert step([0.0, 0.0, 0.0, 0.0], [False, False, False, True]) == 5.0  # all of the episode, also before


@pytest.mark.parametrize(
    ("metrics", "score"),
    [
        ({}, 8.0),
        ({"successes": [2.0, 4.0]}, 3.0),
        ({"successes": [2.0, 4.0], "objective": [0.5, 0.7]}, 0.6),
        ({"successes": [float("nan"), 1.0]}, None),
    ],
)
def test_the_objective_is_the_tasks_else_successes_else_the_return(metrics, score):
    episodes = LastEpisodes(2, 1, "cpu")
    values = {name: torch.tensor(value) for name, value in metrics.items()}
    episodes.step(torch.tensor([7.0, 9.0]), torch.tensor([True, True]), {"episode_metrics": values})
    assert episodes.objective() == (None if score is None else pytest.approx(score))


# -- the shared folder -------------------------------------------------------------------------------------------------


def test_what_is_published_can_be_read(tmp_path):
    workspace = Workspace(tmp_path, 2)
    sent = state(1, 3, 2.5, parameters={"gamma": 0.99, "num_learning_epochs": 5}, restarts=2, created="2026-01-01")
    publish(workspace, sent)
    assert workspace.newest(301) == [None, sent]
    assert read_complete(workspace.checkpoint(sent))[0] == b"weights"
    assert type(workspace.published(1)[0].parameters["num_learning_epochs"]) is int


@pytest.mark.parametrize("fails", ["write_checkpoint", "write_json"])
def test_a_state_never_appears_before_its_checkpoint(tmp_path, monkeypatch, fails):
    """Whoever sees a state may copy its checkpoint at once, also when the disk is full or the writer is killed."""
    from cpo_rl.pbt import workspace as module

    def killed(*args):
        raise KeyboardInterrupt

    population = Workspace(tmp_path, 1)
    publish(population, state(0, 1))
    monkeypatch.setattr(module, fails, killed)
    with pytest.raises(KeyboardInterrupt):
        publish(population, state(0, 2))
    newest = population.latest(0)
    assert newest.iteration == 1 and read_complete(population.checkpoint(newest))
    written = (tmp_path / "member_00/published/model_2.pt").exists()
    assert written == (fails == "write_json"), "the checkpoint comes first"


def test_a_member_that_is_ahead_is_seen_as_it_was(tmp_path):
    workspace = Workspace(tmp_path, 1)
    for iteration in (1, 2, 10, 30):
        publish(workspace, state(0, iteration))
    assert [workspace.newest(n)[0] and workspace.newest(n)[0].iteration for n in (100, 101, 1000, 1001, 9999)] == [
        None,
        1,
        2,
        10,
        30,
    ]


def test_old_checkpoints_go_and_their_states_stay(tmp_path):
    workspace = Workspace(tmp_path, 1)
    for iteration in range(1, 6):
        publish(workspace, state(0, iteration), keep=2)
    assert [s.iteration for s in workspace.published(0)] == [1, 2, 3, 4, 5]
    assert [workspace.checkpoint(s).exists() for s in workspace.published(0)] == [False, False, False, True, True]


def test_what_was_published_after_a_checkpoint_is_taken_back(tmp_path):
    workspace = Workspace(tmp_path, 1)
    for iteration in (1, 2, 3):
        publish(workspace, state(0, iteration))
    workspace.retract_after(0, 1)
    assert [s.iteration for s in workspace.published(0)] == [1]
    assert sorted(f.name for f in (tmp_path / "member_00/published").iterdir()) == [
        "model_1.json", "model_1.pt", "state_1.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "5", '{"member": 0}',
        json.dumps({**vars(state(0, 1)), "member": 1}),
        json.dumps({**vars(state(0, 1)), "iteration": 2}),
        json.dumps({**vars(state(0, 1)), "env_steps": -1}),
        json.dumps({**vars(state(0, 1)), "iteration": "../../x"}),
        json.dumps({**vars(state(0, 1)), "iteration": True}),
        json.dumps({**vars(state(0, 1)), "objective": "high"}),
        json.dumps({**vars(state(0, 1)), "objective": float("nan")}),
        json.dumps({**vars(state(0, 1)), "parameters": {"gamma": "x"}}),
        json.dumps({**vars(state(0, 1)), "parameters": [1]}),
    ],
)  # fmt: skip
def test_torn_and_foreign_states_are_passed_over(tmp_path, text):
    workspace = Workspace(tmp_path, 1)
    publish(workspace, state(0, 0))
    folder = tmp_path / "member_00/published"
    (folder / "state_1.json").write_text(text)
    (folder / "state_9.json").mkdir()
    (folder / "notes.txt").write_text("hello")
    (folder / "state_2.json").write_bytes(b"\xff\xfe\x00")
    assert [s.iteration for s in workspace.published(0)] == [0]


def test_a_state_of_a_newer_writer_is_read(tmp_path):
    workspace = Workspace(tmp_path, 1)
    publish(workspace, state(0, 1))
    file = tmp_path / "member_00/published/state_1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mood": "good"}))
    assert workspace.published(0) == [state(0, 1)]


def test_history_survives_damage(tmp_path):
    history = Workspace(tmp_path, 1).history(0)
    assert history.read() == []
    history.path.parent.mkdir()
    history.append(2, 20, {"event": "keep"})
    history.append(4, 40, {"event": "copy", "donor": 1})
    with history.path.open("ab") as file:
        file.write(b'garbage\n{"no": 1}\n{"iteration": 6, "ev')
    assert [event["iteration"] for event in history.read()] == [2, 4]
    history.truncate_after(3)
    assert history.path.read_text() == '{"iteration": 2, "env_steps": 20, "event": "keep"}\n'


def test_a_workspace_belongs_to_one_population(tmp_path):
    path = tmp_path / "a" / "b"
    with pytest.raises(UserError, match="holds no population"):
        Workspace.open(path)
    Workspace(path, 4).join(task="T", agent="ppo")
    Workspace(path, 4).join(task="T", agent="ppo")
    with pytest.raises(UserError, match="members 4, not 5"):
        Workspace(path, 5).join(task="T", agent="ppo")
    with pytest.raises(UserError, match="task 'T', not 'U'"):
        Workspace(path, 4).join(task="U", agent="ppo")
    opened, common = Workspace.open(path)
    assert (opened.members, common["agent"]) == (4, "ppo")
    (path / "population.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        Workspace(path, 4).join(task="T", agent="ppo")


def test_populations_that_start_at_once_do_not_share_a_workspace(tmp_path):
    """Of many that join in the same moment, those with other settings than the first are refused."""
    path, fork = tmp_path / "W", multiprocessing.get_context("fork")
    met = fork.Barrier(6)

    def join(members: int) -> None:
        met.wait()
        try:
            Workspace(path, members).join(task="T")
        except UserError:
            os._exit(2)
        os._exit(0)

    processes = [fork.Process(target=join, args=(3 + n % 2,)) for n in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    _, common = Workspace.open(path)
    expected = [0 if 3 + n % 2 == common["members"] else 2 for n in range(6)]
    assert [process.exitcode for process in processes] == expected

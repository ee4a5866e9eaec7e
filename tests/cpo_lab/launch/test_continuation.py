# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What is asked for when a run goes on: applied, a run of its own, or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.cpo_lab.launch.test_run_place import add_checkpoint, content, make_run

from cpo_lab.cli import main, train
from cpo_lab.launch.policies import Changes, resolve_trained
from cpo_rl.pbt import Published, Workspace
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.configs import write_params
from cpo_rl.runs.files import plain_config
from cpo_rl.runs.folder import RunFolder

SHADOW, ARM = "CpoLab-Reorient-Cube-Shadow-Direct", "CpoLab-Regrasp-KukaAllegro-Direct"


@pytest.fixture
def started(monkeypatch, tmp_path) -> list[train.Plan]:
    """The runs that would have been started, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    plans: list[train.Plan] = []
    monkeypatch.setattr(train, "_train", lambda plan: plans.append(plan) or 0)
    return plans


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Runs with everything that training keeps, made once."""
    from isaaclab.utils import to_dict

    root = tmp_path_factory.mktemp("stored")

    def make(task: str, *settings: str) -> Path:
        folder = root / f"{task}{len(settings)}"
        plan = train.make_plan(["--task", task, "--agent", "cpo", "--device", "cpu", "--num_envs", "24", *settings])
        assert plan is not None
        agent, env, request = to_dict(plan.resolved.agent_cfg), to_dict(plan.resolved.env_cfg), plan.resolved.request
        run = make_run(folder, task=task, iteration=10)
        run_folder = RunFolder.read(run)
        request.keep(run, 100)
        write_params(run, {"env": env, "agent": agent})
        scale = {"num_envs": 24, "world_size": 1}
        identity = {"task": task, "num_policies": 6}
        add_checkpoint(run_folder.path, 10, config=plain_config(agent), scale=scale, identity=identity)
        return run

    return {SHADOW: make(SHADOW, "agent.model.hidden_dims=[32,16]", "--run_name", "first"), ARM: make(ARM)}


@pytest.fixture
def run_of(stored, tmp_path):
    """A copy of a stored run, to be continued."""

    def copy(task: str = SHADOW) -> Path:
        return Path(shutil.copytree(stored[task], tmp_path / "run"))

    return copy


def resume(folder: Path, *arguments: str) -> int:
    return main(["train", "--resume", str(folder), "--device", "cpu", *arguments])


KEPT = [
    (SHADOW, "agent.model.hidden_dims=[64]", "agent.model.hidden_dims=[32,16]"),
    (SHADOW, "agent.model.activation=tanh", "agent.model.activation=elu"),
    (SHADOW, "agent.model.rnn_type=lstm", None),
    (SHADOW, "agent.model.init_log_std=-1.0", "agent.model.init_log_std=0"),
    (SHADOW, "agent.model.separate_critic=true", "agent.model.separate_critic=false"),
    (SHADOW, "agent.algorithm.normalize_values=false", "agent.algorithm.normalize_values=true"),
    (SHADOW, "agent.algorithm.discriminator_hidden_dims=[8]", None),
    (ARM, "env.initial_tolerance=0.05", "env.initial_tolerance=0.075"),
]


def test_an_observation_group_that_the_task_does_not_give_is_refused_before_it_is_compared(run_of, started, capsys):
    folder = run_of(SHADOW)
    before = content(folder)
    assert resume(folder, "agent.obs_groups.critic=['policy','more']") == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("cpo-lab: agent.obs_groups.critic=") and sentence.count("\n") == 1
    assert not started and content(folder) == before
    assert resume(folder, "agent.obs_groups.critic=['policy']") == 0


@pytest.mark.parametrize(("task", "other", "same"), KEPT, ids=[other.split("=")[0] for _, other, _ in KEPT])
def test_what_the_checkpoint_was_made_with_stays_and_is_named(run_of, started, capsys, task, other, same):
    folder = run_of(task)
    before = content(folder)
    name = other.split("=")[0]
    for where in ([], ["--log_dir", "elsewhere"]):
        assert resume(folder, other, *where) == 2
        sentence = capsys.readouterr().err
        assert sentence.startswith(f"cpo-lab: {name} stays") and sentence.count("\n") == 1
    assert not started and content(folder) == before
    if same:
        assert resume(folder, same) == 0
        assert started[0].log_dir == folder


ACTS = [
    ("agent.algorithm.gamma=0.9", lambda plan: plan.resolved.agent_cfg.algorithm.gamma == 0.9),
    ("agent.algorithm.learning_rate=1e-5", lambda plan: plan.asked == ["learning_rate"]),
    ("agent.algorithm.discriminator_learning_rate=1e-5", lambda plan: plan.asked == ["discriminator_learning_rate"]),
    ("agent.num_steps_per_env=16", lambda plan: plan.resolved.agent_cfg.num_steps_per_env == 16),
    ("agent.model.observation_clip=3", lambda plan: plan.resolved.agent_cfg.model.observation_clip == 3),
    ("agent.max_iterations=70", lambda plan: plan.resolved.agent_cfg.max_iterations == 70),
    ("--iterations=80", lambda plan: plan.resolved.agent_cfg.max_iterations == 80),
    ("env.scene.num_envs=48", lambda plan: plan.resolved.env_cfg.scene.num_envs == 48),
    ("--num_envs=48", lambda plan: plan.resolved.env_cfg.scene.num_envs == 48),
    ("env.episode_length_s=5", lambda plan: plan.resolved.env_cfg.episode_length_s == 5),
    ("agent.save_interval=3", lambda plan: plan.resolved.agent_cfg.save_interval == 3),
]


@pytest.mark.parametrize(("given", "acts"), ACTS, ids=[given for given, _ in ACTS])
def test_what_can_change_acts_in_the_same_folder(run_of, started, given, acts):
    folder = run_of()
    assert resume(folder, given) == 0
    (plan,) = started
    assert plan.log_dir == folder and acts(plan)
    assert plan.resolved.agent_cfg.model.hidden_dims == [32, 16], "what is not given stays"


def test_a_seed_given_as_a_setting_is_another_run_too(run_of, started):
    folder = run_of()
    assert resume(folder, "agent.seed=7") == 0
    assert started[0].log_dir != folder and started[0].place.reasons == ["its seed is 42, not 7"]


def test_a_scheduler_that_repeats_its_command_asks_for_nothing_new(run_of, started):
    folder = run_of()
    command = ["train", "--resume", "auto", "--log_dir", str(folder), "--device", "cpu"]
    assert main([*command, "agent.algorithm.learning_rate=1e-5"]) == 0
    assert started[0].asked == [], "the runner still applies it if the checkpoint was trained with another one"


@pytest.mark.parametrize("given", ["--run_name=other", "agent.experiment_name=other"])
def test_names_of_new_folders_are_refused_where_the_folder_stays(run_of, started, capsys, given):
    folder = run_of()
    assert resume(folder, given) == 2
    assert "goes on in its own" in capsys.readouterr().err and not started
    assert resume(folder, given, "--seed", "7") == 0, "a folder of its own gets the name"


def test_names_stay_what_they_were(run_of, started):
    folder = run_of()
    assert resume(folder) == resume(folder, "--run_name", "first") == 0
    assert [plan.resolved.agent_cfg.run_name for plan in started] == ["first", "first"]


def test_settings_that_a_population_changes_are_not_set_by_hand(run_of, started, tmp_path, capsys):
    workspace = Workspace(tmp_path / "W", 3)
    folder = workspace.folder(0)
    member = ["train", "--pbt", "W", "--pbt_member", "0", "--pbt_members", "3", "--device", "cpu"]
    plan = train.make_plan([*member[1:], "--task", ARM])
    config = {"algorithm": {"gamma": 0.9}}
    make_run(folder, task=ARM, algorithm="pbt", iteration=4, num_policies=1)
    request = plan.resolved.request
    request.keep(folder, 100)
    identity = {"task": ARM, "num_policies": 1}
    checkpoint = add_checkpoint(folder, 4, config=config, identity=identity)
    write_params(folder, {"env": {"lifting_bonus": 1.0}, "agent": config})
    workspace.publish(
        Published(0, 4, 9, 1.0, {"env.lifting_bonus": 2.0}), checkpoint.read_bytes(), CheckpointManifest(4), 5
    )
    for given in ("agent.algorithm.gamma=0.95", "env.lifting_bonus=7.0"):
        assert main([*member, "--task", ARM, "pbt.parameters=gamma", given]) == 2
        assert "the population changes it" in capsys.readouterr().err


# -- a checkpoint and its sidecar --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_10", "policy", "of a colleague [1]"])
@pytest.mark.parametrize("task", [SHADOW, ARM])
def test_a_checkpoint_with_its_sidecar_is_enough(stored, tmp_path, started, name, task):
    """It is played, and goes on in a new folder; its own is left as it is."""
    place = tmp_path / "downloads"
    place.mkdir()
    for ending in ("pt", "json"):
        shutil.copy(stored[task] / f"model_10.{ending}", place / f"{name}.{ending}")
    before = content(place)
    checkpoint = place / f"{name}.pt"
    resolved = resolve_trained(checkpoint, Changes(device="cpu"), play_mode=True)
    assert (resolved.request.task, resolved.request.agent, resolved.num_policies) == (task, "cpo", 6)
    assert resume(checkpoint) == 0
    (plan,) = started
    assert (plan.checkpoint, plan.place.continues) == (checkpoint, False)
    assert plan.log_dir.parent.parent == tmp_path / "logs/rsl_rl" and content(place) == before
    assert (plan.resolved.request.num_envs, plan.resolved.request.seed) == (24, 42)
    hidden = [32, 16] if task == SHADOW else plan.resolved.agent_cfg.model.hidden_dims
    assert plan.resolved.agent_cfg.model.hidden_dims == resolved.agent_cfg.model.hidden_dims == hidden


def test_two_checkpoints_in_one_place_do_not_speak_for_each_other(stored, tmp_path, started):
    for task, number in ((SHADOW, 10), (ARM, 11)):
        for ending in ("pt", "json"):
            shutil.copy(stored[task] / f"model_10.{ending}", tmp_path / f"model_{number}.{ending}")
    tasks = [
        resolve_trained(tmp_path / f"model_{n}.pt", Changes(device="cpu"), play_mode=True).request.task
        for n in (10, 11)
    ]
    assert tasks == [SHADOW, ARM]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Our agents on tasks of others: offered to every registration, made from its PPO, and trained."""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

import gymnasium
import pytest
from tests.processes import run_python

from cpo_lab.launch import foreign_tasks
from cpo_lab.launch.registry import agent_key, agents_of, find_task, is_derived, plain_agent, tasks
from cpo_lab.tasks import AGENTS
from cpo_lab.tasks.derived import offer
from cpo_rl.errors import UserError

PAGE = Path(__file__).parents[4] / "docs" / "your_own_task.md"
CARTPOLE = "Isaac-Cartpole-Direct"


@pytest.fixture
def register():
    """Registers an environment for one test."""
    names = []

    def register(name: str, **entries: object) -> dict:
        names.append(name)
        gymnasium.register(id=name, entry_point="nowhere:Env", kwargs={"env_cfg_entry_point": "nowhere:Cfg", **entries})
        return gymnasium.spec(name).kwargs

    yield register
    for name in names:
        gymnasium.registry.pop(name, None)


def test_a_task_with_a_ppo_is_offered_every_agent_when_it_is_registered(register):
    entries = register("Their-Task-v0", rsl_rl_cfg_entry_point="their:PPO", rsl_rl_own_cfg_entry_point="their:Own")
    for agent in AGENTS:
        assert entries[f"rsl_rl_{agent}_cfg_entry_point"] == f"cpo_lab.tasks.derived.entries:{agent}@Their-Task-v0"
    assert entries["rsl_rl_cfg_entry_point"] == "their:PPO", "their default stays"
    spec = gymnasium.spec("Their-Task-v0")
    assert list(agents_of(spec)) == [*AGENTS, "own"] and plain_agent(spec) == "stock_ppo"
    assert "Their-Task-v0" in tasks() and find_task("Their-Task-v0") is spec


def test_an_agent_of_their_own_wins(register):
    entries = {"rsl_rl_cfg_entry_point": "their:PPO", "rsl_rl_cpo_cfg_entry_point": "their:CPO"}
    register("Their-Task-v1", **entries)
    spec = gymnasium.spec("Their-Task-v1")
    assert spec.kwargs["rsl_rl_cpo_cfg_entry_point"] == "their:CPO"
    assert not is_derived(spec, agent_key(spec, "cpo")) and is_derived(spec, agent_key(spec, "sapg"))


@pytest.mark.parametrize("entries", [{}, {"skrl_cfg_entry_point": "their:cfg.yaml"}])
def test_a_task_without_a_ppo_is_left_alone_and_refused_in_a_sentence(register, entries):
    before = {"env_cfg_entry_point": "nowhere:Cfg", **entries}
    assert register("Their-Task-v2", **entries) == before
    with pytest.raises(UserError, match="Their-Task-v2 has no rsl_rl PPO configuration"):
        find_task("Their-Task-v2")


def test_tasks_that_share_a_mapping_are_each_offered_their_own(register):
    """Theirs is not written into, and what one task was offered does not come along to another."""
    shared = {"env_cfg_entry_point": "nowhere:Cfg", "rsl_rl_cfg_entry_point": "their:PPO"}
    before = dict(shared)
    try:
        gymnasium.register(id="Their-Task-v2", entry_point="nowhere:Env", kwargs=shared)
        gymnasium.envs.register(id="Their-Task-v3", entry_point="nowhere:Env", kwargs=shared)
        assert shared == before
        register("Their-Task-v4", **{**gymnasium.spec("Their-Task-v2").kwargs, "rsl_rl_cfg_entry_point": "their:Other"})
        for name in ("Their-Task-v2", "Their-Task-v3", "Their-Task-v4"):
            entry = gymnasium.spec(name).kwargs["rsl_rl_cpo_cfg_entry_point"]
            assert entry == f"cpo_lab.tasks.derived.entries:cpo@{name}"
    finally:
        for name in ("Their-Task-v2", "Their-Task-v3"):
            gymnasium.registry.pop(name, None)


def test_our_own_tasks_are_not_offered_what_they_have():
    for name, spec in tasks().items():
        if name.startswith("CpoLab-"):
            assert not any(offer.is_derived(entry) for entry in spec.kwargs.values())


def test_offering_twice_changes_nothing():
    before = gymnasium.register
    offer.offer(AGENTS)
    assert gymnasium.register is before


@pytest.mark.parametrize(
    ("known", "suited", "chosen"),
    [
        (["isaacsim_physx", "newton_mjwarp", "ovphysx", "physx"], "ovphysx", "ovphysx"),
        (["isaacsim_physx", "newton_mjwarp", "ovphysx", "physx"], "newton_mjwarp", "newton_mjwarp"),
        (["isaacsim_physx", "newton_mjwarp", "physx"], "ovphysx", "newton_mjwarp"),
        (["isaacsim_physx", "newton_kamino", "physx"], "ovphysx", "newton_kamino"),
        (["isaacsim_physx", "newton_mjwarp", "ovphysx"], "newton_mjwarp_cpu", "newton_mjwarp"),
        (["isaacsim_physx"], "ovphysx", "isaacsim_physx"),
        ([], "ovphysx", None),
    ],
)
def test_the_engine_is_one_that_the_task_has_and_that_needs_no_isaac_sim(known, suited, chosen):
    assert foreign_tasks.suited_engine(known, suited) == chosen


class Settings:
    """Whatever a test puts in."""

    def __init__(self, **values: object) -> None:
        vars(self).update(values)


@pytest.mark.parametrize(
    ("spaces", "refused"),
    [
        ({"action_space": 4, "observation_space": 12}, None),
        ({"action_space": [4], "observation_space": [12]}, None),
        ({"action_space": {5}, "observation_space": 12}, "discrete actions"),
        ({"action_space": [{5}, {2}], "observation_space": 12}, "discrete actions"),
        ({"action_space": gymnasium.spaces.Discrete(3), "observation_space": 12}, "discrete actions"),
        ({"action_space": gymnasium.spaces.Box(-1, 1, (4,)), "observation_space": 12}, None),
        ({"action_space": 4, "observation_space": [64, 64, 3]}, "observes images"),
        ({"action_space": 4, "observation_space": gymnasium.spaces.Box(0, 255, (8, 8))}, "observes images"),
        ({"action_spaces": {"left": 2, "right": {3}}}, "discrete actions"),
        ({}, None),
    ],
)
def test_spaces_that_no_ensemble_can_use_are_refused(spaces, refused):
    agent = Settings(algorithm=Settings(num_policies=6))
    if refused is None:
        foreign_tasks.check_foreign("T", Settings(**spaces), agent)
        return
    with pytest.raises(UserError, match=refused):
        foreign_tasks.check_foreign("T", Settings(**spaces), agent)
    foreign_tasks.check_foreign("T", Settings(**spaces), Settings(algorithm=Settings()))  # another algorithm may


# -- Isaac Lab's own tasks ---------------------------------------------------------------------------------------------


def settings_of(task: str, agent: str):
    pytest.importorskip("isaaclab_tasks")
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    return load_cfg_from_registry(task, agent_key(find_task(task), agent))


@pytest.mark.parametrize(("agent", "policies", "mini_batches"), [("cpo", 6, 8), ("sapg", 6, 4), ("ppo", 1, 4)])
def test_cartpole_takes_its_ppos_numbers(agent, policies, mini_batches):
    ours = settings_of(CARTPOLE, agent)
    theirs = settings_of(CARTPOLE, "stock_ppo")
    assert (ours.algorithm.num_policies, ours.algorithm.num_mini_batches) == (policies, mini_batches)
    for name in ("num_learning_epochs", "learning_rate", "gamma", "lam", "clip_param", "entropy_coef", "desired_kl"):
        assert getattr(ours.algorithm, name) == getattr(theirs.algorithm, name), name
    assert ours.model.hidden_dims == theirs.actor.hidden_dims and ours.num_steps_per_env == theirs.num_steps_per_env
    assert ours.derived_from == f"rsl_rl_cfg_entry_point of {CARTPOLE}"
    assert theirs.algorithm.class_name == "PPO"


def test_what_a_task_lets_choose_stays_a_choice():
    chosen = settings_of("Isaac-Reorient-Cube-Shadow", "cpo")
    assert chosen.default.obs_groups["critic"] != chosen.asymmetric.obs_groups["critic"] == ["critic"]
    assert chosen.asymmetric.model.hidden_dims == [512, 512, 256, 128]


def test_a_recurrent_asymmetric_task_keeps_both():
    ours = settings_of("IsaacContrib-Reorient-Cube-Shadow-OpenAI-LSTM-Direct", "cpo")
    assert ours.model.rnn_type == "lstm" and ours.algorithm.sequence_length == ours.num_steps_per_env
    assert ours.obs_groups["actor"] == ["policy"] and ours.obs_groups["critic"] == ["critic"]
    assert any("the actor's layers" in line for line in ours.derived_otherwise)


# -- in an engine ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def assets(tmp_path_factory) -> str:
    """A folder with stand-ins for NVIDIA's files."""
    pytest.importorskip("ovphysx")
    from cpo_lab.assets.stock_root import write_root

    folder = tmp_path_factory.mktemp("assets")
    write_root(folder)
    return str(folder)


def train(folder: Path, assets: str, *arguments: str, command: tuple[str, ...] = ("-m", "cpo_lab.cli"), **env: str):
    """Train and return the rows of the metrics and what was said."""
    said = run_python(
        *command, "train", *arguments, "--log_dir", "run", "--device", "cpu",
        cwd=folder, ISAACSIM_ASSET_ROOT=assets, OMP_NUM_THREADS="1", **env,
    )  # fmt: skip
    return list(csv.DictReader((folder / "run" / "metrics.csv").open())), said


@pytest.mark.sim
@pytest.mark.long
@pytest.mark.parametrize("task", [CARTPOLE, "Isaac-Cartpole"])
def test_a_task_of_isaac_lab_trains_and_tells_where_its_settings_are_from(tmp_path, assets, task):
    rows, _ = train(tmp_path, assets, "--task", task, "--iterations", "2", "--num_envs", "12")
    assert [row["iteration"] for row in rows] == ["1", "2"]
    kept = (tmp_path / "run" / "params" / "agent.yaml").read_text()
    assert f"derived_from: rsl_rl_cfg_entry_point of {task}" in kept


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("agent", ["cpo", "sapg", "ppo"])
@pytest.mark.parametrize("task", [CARTPOLE, "Isaac-Cartpole"])
def test_cartpole_is_solved(tmp_path, assets, agent, task):
    """Balanced to the end of the episode: 5 s at a reward of 1 per second, less what movement costs."""
    rows, _ = train(tmp_path, assets, "--task", task, "--agent", agent, "--iterations", "80")
    assert float(rows[-1]["Leader/return"]) > 4.5


@pytest.mark.sim
@pytest.mark.long
def test_the_page_ends_with_a_package_that_trains(tmp_path, assets):
    text = PAGE.read_text(encoding="utf-8")
    files = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))
    assert sorted(files) == ["my_poles/__init__.py", "my_poles/settings.py", "pyproject.toml"]
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    program = ("-c", "import sys, my_poles; from cpo_lab.cli import main; sys.exit(main(sys.argv[1:]))")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    rows, _ = train(
        tmp_path, assets, "--task", "My-LongPole-Direct", "--iterations", "2", "--num_envs", "12",
        command=program, PYTHONPATH=path,
    )  # fmt: skip
    assert len(rows) == 2

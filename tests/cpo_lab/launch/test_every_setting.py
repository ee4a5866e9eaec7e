# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every setting of every task with absurd values: refused in one sentence before a simulator starts, or possible.

Nothing is started. What is called is what the launcher calls, ``resolve``; where a value was refused, applying it alone
is tried instead, which is where all refusals of kinds and ranges come from and takes a hundredth of the time.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import random
import re
from collections.abc import Iterable
from typing import Any

import pytest

pytest.importorskip("isaaclab")

from cpo_lab.launch import configuration, resolution
from cpo_lab.launch.configuration import Request, Resolved, resolve
from cpo_lab.launch.options import INSTEAD, OPTIONS, take_options
from cpo_lab.launch.resolution import apply_setting, apply_settings, read_value
from cpo_lab.launch.simulation import make_env
from cpo_lab.tasks.ranges import RANGES, leaves, range_of
from cpo_rl.errors import UserError

SHADOW, ALLEGRO = "CpoLab-Reorient-Cube-Shadow-Direct", "CpoLab-Reorient-Cube-Allegro-Direct"
REGRASP, THROW = "CpoLab-Regrasp-KukaAllegro-Direct", "CpoLab-Throw-KukaAllegro-Direct"
OTHERS = ["CpoLab-Reorient-KukaAllegro-Direct"]
OTHERS += ["CpoLab-Regrasp-DualKukaAllegro-Direct", "CpoLab-Reorient-DualKukaAllegro-Direct"]
ENGINES = ("ovphysx", "newton_mjwarp")

ABSURD = [
    *("0", "-1", "-0.5", "1e30", "1000000000000", "1e400", "nan", "inf", "-inf", "1j"),
    *("", " ", "abc", "None", "true", "x:y", "os:system", "../x", "'", "\0"),
    *("[]", "{}", "()", "[1,2]", "[nan]", "[[[", "[None]", "{a: 1}", "{a: {b: 1}}", "{1,2}", "[" * 300),
]


@functools.cache
def base(task: str, agent: str, engine: str) -> Resolved:
    return resolve(Request(task, agent, device="cpu", physics=engine))


def try_setting(token: str, task: str, agent: str, engine: str, sections: dict[str, Any]) -> bool:
    """Give one setting as a user would; return whether it was accepted.

    Raises:
        AssertionError: If it was refused in anything but one sentence that names it.
    """
    path = token.partition("=")[0]
    try:
        if path not in {*OPTIONS, *INSTEAD}:
            apply_setting(token, sections)
        resolve(Request(task, agent, device="cpu", physics=engine, overrides=[token]))
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence and sentence.rstrip()[-1] in ".?" and len(sentence) < 1000, (token, sentence)
        assert any(part in sentence for part in (path, path.split(".")[-1], path.split(".")[-2])), (token, sentence)
        return False
    return True


def settings_of(task: str, agent: str, engine: str) -> dict[str, Any]:
    """All settings and their values."""
    cfg = base(task, agent, engine)
    return {
        path: value
        for part, found in (("env", cfg.env_cfg), ("agent", cfg.agent_cfg))
        for path, _, _, _, value in leaves(found, part)
    }


def sweep(
    task: str, agent: str, engine: str, share: float, seed: int, places: Iterable[str] | None = None
) -> tuple[int, int]:
    """Try a share of all values of settings (default: all); return how many there were, and how many were accepted."""
    rng, tried, accepted = random.Random(seed), 0, 0
    cfg = base(task, agent, engine)
    sections = {"env": copy.deepcopy(cfg.env_cfg), "agent": copy.deepcopy(cfg.agent_cfg)}
    for path in settings_of(task, agent, engine) if places is None else places:
        for value in ABSURD:
            if rng.random() >= share:
                continue
            tried += 1
            if try_setting(f"{path}={value}", task, agent, engine, sections):
                accepted += 1
                sections = {"env": copy.deepcopy(cfg.env_cfg), "agent": copy.deepcopy(cfg.agent_cfg)}
    return tried, accepted


@pytest.mark.parametrize(
    ("task", "agent", "engine"), [(SHADOW, "cpo", "ovphysx"), (THROW, "stock_ppo", "newton_mjwarp")]
)
def test_a_sample_of_absurd_values(task, agent, engine):
    tried, accepted = sweep(task, agent, engine, 0.02, seed=3)
    assert tried > 200
    assert accepted < 0.2 * tried


@pytest.mark.slow
@pytest.mark.timeout(5000)
@pytest.mark.parametrize("task", [SHADOW, ALLEGRO, REGRASP, THROW, *OTHERS])
def test_every_absurd_value(task, monkeypatch):
    """Settings that are alike with another engine or agent are tried once: the same code judges them."""
    for module, names in (resolution, ["_presets_of"]), (configuration, ["find_task", "physics_of", "check_caches"]):
        for name in names:  # what is the same every time
            monkeypatch.setattr(module, name, functools.cache(getattr(module, name)))
    known: dict[str, str] = {}
    for agent, engine in (("cpo", "ovphysx"), ("cpo", "newton_mjwarp"), ("stock_ppo", "ovphysx")):
        found = {path: repr(value) for path, value in settings_of(task, agent, engine).items()}
        new = [path for path, value in found.items() if known.get(path) != value]
        tried, _ = sweep(task, agent, engine, 1.0, seed=0, places=new)
        assert tried == len(new) * len(ABSURD) > 0
        known |= found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("task", [SHADOW, THROW])
def test_numbers_that_are_none_are_refused_everywhere(task, engine):
    """Not by luck of a draw: infinite numbers, and texts where a number stands."""
    cfg = base(task, "stock_ppo", engine)
    sections = {"env": copy.deepcopy(cfg.env_cfg), "agent": copy.deepcopy(cfg.agent_cfg)}
    numbers = [
        path
        for part, found in sections.items()
        for path, _, _, _, value in leaves(found, part)
        if type(value) in (int, float) and not path.endswith(".*")  # a pattern is given as a dictionary
    ]
    assert len(numbers) > 100
    for path in numbers:
        for value in ("1e400", "nan", "abc", "", "[1]", "true", "-1e39"):
            with pytest.raises(UserError, match="must "):
                apply_setting(f"{path}={value}", sections)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("task", [SHADOW, ALLEGRO, REGRASP, THROW])
def test_defaults_are_in_range(task, engine):
    """A range that refused what the tasks start with would be wrong; the check of a whole configuration says so."""
    cfg = base(task, "cpo", engine).env_cfg
    cfg.check()
    found = {
        name for _, owner, name, _, value in leaves(cfg, "env") if range_of(owner, name, value) == RANGES.get(name)
    }
    assert {"dt", "decimation", "pos"} & found


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("env.decimation=0", "env.decimation=0 must lie in [1, 1000]"),
        ("env.sim.dt=0", "env.sim.dt=0 must lie in (0, 1]"),
        ("env.episode_length_s=0", "env.episode_length_s=0 must lie in (0, 1e+06]"),
        ("env.action_space=5", "env.action_space follows from the task's other settings"),
        ("env.num_actions=5", "env.num_actions is an older name"),
        ("env.sim.dt=None", "must be a number"),
        ("env.sim.gravity=[0,0]", "must be a list of 3"),
        ("env.sim.gravity=[0,0,nan]", "must be a list of 3, each a number"),
        ("env.scene.robot.init_state.rot=[0,0,0,0]", "must be a quaternion of length 1"),
        ("env.scene.robot=None", "env.scene.robot=None must"),
        ("env.scene=3", "must name fields of it, such as env.scene."),
        ("env.scene={}", "must name fields of it"),
        ("env.scene.object.spawn.mass_props.0.density=-1", "must lie in (0, 1e+09]"),
        ("env.scene.object.spawn.func=nothing:here", "names code that cannot be had"),
        ("env.sim.physics=newton_mjwarp", "use physics=newton_mjwarp"),
        ("agent.logger=tensorbord", "must be one of tensorboard, neptune, wandb"),
        ("agent.experiment_name=../../x", "must consist of letters"),
        ("agent.clip_actions=-1", "must be above 0"),
        ("agent.algorithm.num_learning_epochs=1000000000", "must lie in [1, 1000]"),
        ("agent.obs_groups.actor=[vision]", "agent.obs_groups.actor=['vision'] must be [policy]"),
        ("agent.obs_groups.teacher=[policy]", "names no field of agent.obs_groups"),
        ("env.scene.robot.actuators.passive.stiffness={nothing: 1}", "names joint 'nothing', which"),
        ("env.scene.robot.actuators.driven.joint_names_expr=['[']", "which is no pattern"),
        ("agent.model.init_log_std=1e4", "must lie in [-20, 20]"),
    ],
)
def test_what_ended_in_a_traceback_or_did_nothing(setting, told):
    with pytest.raises(UserError) as refusal:
        resolve(Request(SHADOW, "cpo", device="cpu", physics="ovphysx", overrides=[setting]))
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    "setting",
    [
        "agen..algorithm.gamma=1", "agent .seed=1", "=1", "=", "x", "+", "~", "x=[", "x=${y}", "x=${", "a=b=c", "x@y=1",
        "agentX.seed=1", "+env.new=1", "~env.sim.dt", "hydra.run.dir=/tmp", "a b", "\0=1", "x='", "\ud800=1", "x={a:",
        "..", "env..dt=1", "env.=1", "presets=${y}", "presets=[", "renderer=${y}", "renderer={a:",
        "presets='",
    ],
    ids=range(29),
)  # fmt: skip
def test_what_is_no_setting_is_refused(setting):
    """A flipped bit in ``launch.json`` makes such; from the command line they do not come so far."""
    with pytest.raises(UserError) as refusal:
        resolve(Request(SHADOW, "cpo", device="cpu", physics="ovphysx", overrides=[setting]))
    assert "\n" not in str(refusal.value)


def test_mini_batches_of_rsl_rls_own_algorithm():
    request = Request(SHADOW, "stock_ppo", device="cpu", physics="ovphysx", num_envs=12)
    request = dataclasses.replace(request, overrides=["agent.algorithm.num_mini_batches=100"])
    with pytest.raises(UserError, match="num_mini_batches=100 must not exceed the 96 transitions"):
        resolve(request)


class Built:
    """What making an environment raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def make(self, *args: Any, **kwargs: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"), [(RuntimeError("No joints.\nAt all."), "No joints"), (KeyError(), "KeyError")]
)
def test_what_only_an_engine_can_refuse_is_told_with_the_settings(error, reason, monkeypatch):
    import gymnasium

    monkeypatch.setattr(gymnasium, "make", Built(error).make)
    token = "env.scene.lazy_sensor_update=false"
    changed = resolve(Request(SHADOW, "cpo", device="cpu", physics="ovphysx", overrides=[token]))
    with pytest.raises(UserError, match=re.escape(f"cannot be built with {token} ({reason})")), make_env(changed):
        pass
    with pytest.raises(type(error)), make_env(base(SHADOW, "cpo", "ovphysx")):
        pass  # nothing was changed: the traceback helps


# -- spellings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[256,128]", [256, 128]),
        ("(1, 2)", (1, 2)),
        ("[policy, critic]", ["policy", "critic"]),
        ("['policy',\"critic\"]", ["policy", "critic"]),
        ("{actor: [policy], critic: [policy]}", {"actor": ["policy"], "critic": ["policy"]}),
        ("{a: 1.5, b: null}", {"a": 1.5, "b": None}),
        ("null", None),
        ("True", True),
        ("1e-3", 1e-3),
        ("elu", "elu"),
        ("[", "["),
        ("[" * 5000, "[" * 5000),
    ],
    ids=range(12),
)
def test_spellings_of_python_and_hydra(text, value):
    assert read_value(text) == value


def applied(*settings: str, agent: str = "cpo") -> tuple[Any, Any]:
    return apply_settings(SHADOW, f"rsl_rl_{agent}_cfg_entry_point", ["physics=ovphysx", *settings])


def test_values_arrive_as_their_fields_take_them():
    env, agent = applied(
        "agent.model.hidden_dims=[64, 32]",
        "agent.obs_groups={actor: [policy], critic: [policy]}",
        "agent.algorithm={gamma: 0.98, lam: 0.9}",
        "agent.save_interval=1e1",
        "agent.experiment_name=2026",
        "env.camera_eye=[1,2,3]",
        "env.sim.gravity=[0,0,-1]",
        "env.scene.object.spawn.mass_props.0.density=400",
        "env.scene.robot.actuators.passive.stiffness={FFJ0: 1.0}",
    )
    assert agent.model.hidden_dims == [64, 32]
    assert agent.obs_groups == {"actor": ["policy"], "critic": ["policy"]}
    assert (agent.algorithm.gamma, agent.algorithm.lam, agent.save_interval) == (0.98, 0.9, 10)
    assert agent.experiment_name == "2026"
    assert env.camera_eye == (1, 2, 3) and env.sim.gravity == (0, 0, -1)
    assert env.scene.object.spawn.mass_props[0].density == 400
    assert env.scene.robot.actuators["passive"].stiffness == {"FFJ0": 1.0}


def test_a_setting_does_not_stay_for_the_next_configuration():
    """Isaac Lab keeps the chosen presets in its classes, where a value would be found again."""
    before = applied()[0].sim.physics.enable_external_forces_every_iteration
    changed = applied(f"env.sim.physics.enable_external_forces_every_iteration={not before}")[0]
    assert changed.sim.physics.enable_external_forces_every_iteration is not before
    assert applied()[0].sim.physics.enable_external_forces_every_iteration is before


# -- what the launcher decides itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "option", "value"),
    [
        ("env.seed=7", "seed", 7),
        ("agent.seed=7", "seed", 7),
        ("env.sim.device=cpu", "device", "cpu"),
        ("agent.device=cpu", "device", "cpu"),
        ("env.scene.num_envs=12", "num_envs", 12),
        ("agent.algorithm.num_policies=3", "num_policies", 3),
    ],
)
def test_settings_of_what_the_launcher_decides_act_as_their_options(setting, option, value):
    given = {} if option == "device" else {"device": "cpu"}
    resolved = resolve(Request(SHADOW, "cpo", physics="ovphysx", overrides=[setting], **given))
    assert getattr(resolved.request, option) == value
    assert resolved.request.overrides == []
    in_configurations = {
        "seed": (resolved.agent_cfg.seed, resolved.env_cfg.seed),
        "device": (resolved.agent_cfg.device, resolved.env_cfg.sim.device),
        "num_envs": (resolved.env_cfg.scene.num_envs,),
        "num_policies": (resolved.agent_cfg.algorithm.num_policies,),
    }[option]
    assert set(in_configurations) == {value}


@pytest.mark.parametrize("setting", list(OPTIONS))
def test_a_setting_that_contradicts_an_option_is_refused(setting):
    now = {"device": "cuda:0", "seed": 3, "num_envs": 12, "num_policies": 3}[OPTIONS[setting]]
    text = {"device": "cpu"}.get(OPTIONS[setting], "24")
    with pytest.raises(UserError, match="contradicts"):
        take_options([f"{setting}={text}"], {OPTIONS[setting]: now})
    assert take_options([f"{setting}={now}"], {OPTIONS[setting]: now}) == ({OPTIONS[setting]: now}, [])


@pytest.mark.parametrize("setting", list(INSTEAD))
def test_settings_that_change_nothing_name_what_does(setting):
    with pytest.raises(UserError, match=f"{setting} changes nothing here; use "):
        take_options([f"{setting}=x"], {})


@pytest.mark.parametrize(
    "value", ["", "x", "1.5", "nan", "inf", "1e400", "-1", "None", "[1]", "9" * 5000], ids=range(10)
)
@pytest.mark.parametrize("setting", [name for name, option in OPTIONS.items() if option != "device"])
def test_options_as_settings_are_checked(setting, value):
    with pytest.raises(UserError, match="must "):
        take_options([f"{setting}={value}"], {})

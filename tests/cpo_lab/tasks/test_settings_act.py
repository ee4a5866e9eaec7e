# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every setting of every task acts or is refused, alone and beside others. Starts no engine (engineless.py)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any
from unittest.mock import patch

import gymnasium
import pytest

pytest.importorskip("isaaclab")
import torch
from isaaclab.utils import configclass
from isaaclab_tasks.utils import resolve_task_config
from tests.cpo_lab.tasks.engineless import NUM_ENVS, STEPS, Trace, bring_near_goals, no_engine, step

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_lab.assets.allegro_hand_table import allegro_hand
from cpo_lab.assets.franka.panda_table import panda
from cpo_lab.assets.kuka_allegro_table import kuka_allegro
from cpo_lab.assets.legs.anymal_table import anymal
from cpo_lab.assets.legs.humanoid_table import humanoid
from cpo_lab.assets.shadow_hand_table import shadow_hand
from cpo_lab.physics.defaults import default_num_envs
from cpo_lab.tasks.settings import own_settings
from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError
from cpo_rl.fields import declarations, setting

pytestmark = pytest.mark.long

SHADOW, ALLEGRO = "Reorient-Cube-Shadow", "Reorient-Cube-Allegro"
REGRASP, REORIENT, THROW = "Regrasp-KukaAllegro", "Reorient-KukaAllegro", "Throw-KukaAllegro"
TWO_ARMS = ("Regrasp-DualKukaAllegro", "Reorient-DualKukaAllegro")

ANYMAL, HUMANOID = LEGS = ("Anymal", "Humanoid")
PUSH, STACK = FRANKA = ("Push-Franka", "Stack-Franka")

CASES = [
    *((task, {}) for task in (SHADOW, ALLEGRO, REGRASP, REORIENT, THROW, *TWO_ARMS, *LEGS, *FRANKA)),
    (SHADOW, {"object_shape": "egg"}),
    (SHADOW, {"object_shape": "pen"}),
    (SHADOW, {"fingertip_wrench": "zeros"}),
    (SHADOW, {"self_collision": True}),
    (ALLEGRO, {"joint_torque": "applied"}),
    (REGRASP, {"keypoints": "corners"}),
    (REGRASP, {"arm_control": "absolute", "object_set": "small_cuboids"}),
    (REORIENT, {"keypoints": "center", "force_scale": 0.0, "max_successes": 0}),
    (REORIENT, {"target_tolerance": 0.075, "max_fingertip_distance": 0.0}),
    (THROW, {"force_scale": 2.0, "target_tolerance": 0.01}),
    (TWO_ARMS[1], {"arm_control": "integrated", "object_side": 0.0, "arm_velocity_scale": 0.003}),
]
"""Tasks, and settings that may take the effect from others."""

OTHERS: dict[str, list[Any]] = {
    "assets": ["nucleus", "mine"],
    "physics_choice": ["newton_mjwarp", "nonsense"],
    "force_probability": [(0.05, 0.1), (0.001, 1.0)],
    "num_objects": [3],
    "scene.num_envs": [NUM_ENVS // 2],
}
"""Other values where a small change would show too little or means nothing."""

PARTS = {"sim", "scene", "names"}
"""Fields that hold configurations; of Isaac Lab's own, Isaac Lab reads what we do not."""


def resolved(task: str, engine: str = "ovphysx") -> Any:
    cfg, _ = resolve_task_config(f"CpoLab-{task}-Direct", None, overrides=[f"physics={engine}"])
    cfg.scene.num_envs = NUM_ENVS
    if "Kuka" in task:
        cfg.num_objects = 8
    return cfg


def robots(task: str) -> dict[str, Any]:
    own = {SHADOW: shadow_hand, ALLEGRO: allegro_hand, ANYMAL: anymal, HUMANOID: humanoid, PUSH: panda, STACK: panda}
    return {"robot": own.get(task, kuka_allegro)()}


def put(cfg: Any, name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        cfg = getattr(cfg, part)
    setattr(cfg, last, value)


def trace_of(task: str, changes: dict[str, Any], engine: str = "ovphysx") -> str:
    """Everything that a task does with some settings changed, as a hash.

    Raises:
        UserError: If the settings are refused, which happens before anything is built.
    """
    cfg = copy.deepcopy(CONFIGURATIONS[task, engine])
    for name, value in changes.items():
        put(cfg, name, value)
    cfg.check()
    trace, entry = Trace(), gymnasium.spec(f"CpoLab-{task}-Direct").entry_point
    module, _, name = entry.partition(":")
    environment = getattr(__import__(module, fromlist=[name]), name)
    torch.manual_seed(5)
    with no_engine(trace, robots(task)):
        env = environment(cfg)
        trace.tell(env.choices[:0], env.step_dt, env.max_episode_length, env.num_envs, spawned(cfg.scene))
        settings = EnvironmentSettings(cfg)
        trace.tell(settings.camera_eye, settings.camera_lookat, settings.num_shapes)
        trace.tell([default_num_envs(cfg, device) for device in ("cpu", "cuda:0")])
        generator = torch.Generator().manual_seed(1)

        def draw(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=generator)

        env.scene.move(draw)
        env._reset_idx(torch.arange(env.num_envs))
        env._get_observations()
        start(env, draw)
        for _ in range(STEPS):
            actions = 3.0 * draw(env.num_envs, cfg.action_space) - 1.5
            trace.tell(step(env, actions, lambda: bring_near_goals(env, draw)))
    return trace.digest()


def spawned(scene: Any) -> list[str]:
    """What a scene spawns, as far as this project decides it."""
    found = []
    for name, asset in vars(scene).items():
        if is_dataclass(asset) and "spawn" in vars(asset):
            found.append(f"{name}: {asset.spawn.func} {vars(asset.spawn).get('usd_path')}")
        if is_dataclass(asset) and "actuators" in vars(asset):
            found.append(f"{name}: {asset.class_type}")
            found += [f"{part}: {motor.stiffness} {motor.damping}" for part, motor in asset.actuators.items()]
    return found


def start(env: Any, draw: Any) -> None:
    """Put episodes into the middle, close to what ends them and to what tightens a curriculum."""
    ladder = torch.arange(env.num_envs)
    env.episode_length_buf += (draw(env.num_envs) * env.max_episode_length).long()
    if "episode_successes" in vars(env):
        env.episode_successes += 3.0
    if "curriculum" in vars(env):
        env.forces.probability.fill_(0.3)
        env.curriculum.policy_steps = 2999
        env.progress.successes = ladder.float() % 52
        env.progress.near_goal_steps = ladder % 33


def own_fields(cfg: Any, where: str = "") -> Iterator[str]:
    """Places of the fields that classes of this project declare, in ``cfg`` and in its ``names`` and ``scene``."""
    ours = set(declarations(type(cfg)))
    for base in type(cfg).__mro__:
        if base.__module__.startswith("cpo_lab."):
            ours |= set(vars(base).get("__configclass_own_fields__", ()))
    for name in (each.name for each in fields(cfg) if each.name in ours - PARTS):
        if where != "scene." or not is_asset(getattr(cfg, name)):
            yield where + name
    if not where:
        yield from own_fields(cfg.scene, "scene.")
        if "names" in vars(cfg):
            yield from own_fields(cfg.names, "names.")


def is_asset(value: Any) -> bool:
    return value is None or is_dataclass(value)


def other_values(cfg: Any, name: str) -> list[Any]:
    """Other values of a field."""
    if name in OTHERS:
        return OTHERS[name]
    owner: Any = cfg
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    value = getattr(owner, last)
    if name in cfg.derived():
        return [value + 1]
    if last == "tendons":
        return [{"nothing": cfg.names.joints[:2]}]
    if last == "mirrored":
        return [cfg.names.joints[:1]]
    if path == ["names"] and last != "tendon_range":
        return [(value[1], value[0], *value[2:]), value[1:]]
    _, limits = declarations(type(owner))[last]
    if limits.choices:
        return [choice for choice in limits.choices if choice != value]
    if isinstance(value, tuple):
        return [
            (*value[:i], changed, *value[i + 1 :])
            for i, entry in enumerate(value)
            for changed in near(entry)
            if limits.allow(changed)
        ]
    return [changed for changed in near(value) if limits.allow(changed)]


def near(value: Any) -> list[Any]:
    """Numbers near another one, or the other switch."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [math.ceil(1.3 * value) + 1, int(0.7 * value)]
    return [0.6 * value, 1.4 * value] if value else [0.3, -0.3]


TASKS = (SHADOW, ALLEGRO, REGRASP, REORIENT, THROW, *TWO_ARMS, *LEGS, *FRANKA)
CONFIGURATIONS = {(task, "ovphysx"): resolved(task) for task in TASKS}


def parts(cfg: Any, name: str) -> list[list[Any]]:
    """Other values of a field, those of each entry of a tuple by themselves."""
    values = other_values(cfg, name)
    current = cfg
    for part in name.split("."):
        current = getattr(current, part)
    if name in OTHERS or not isinstance(current, tuple) or not all(isinstance(entry, float) for entry in current):
        return [values]
    return [[v for v in values if v[i] != current[i]] for i in range(len(current))]


def acts(task: str, changes: dict[str, Any], name: str, values: list[Any], before: str) -> bool:
    """Whether one of the values makes a difference, or all are refused."""
    accepted = []
    for value in values:
        try:
            after = trace_of(task, {**changes, name: value})
        except UserError:
            continue
        if after != before:
            return True
        accepted.append(value)
    return not accepted


def test_a_trace_repeats_and_sees_a_change():
    assert trace_of(SHADOW, {}) == trace_of(SHADOW, {})
    assert trace_of(SHADOW, {}) != trace_of(SHADOW, {"success_bonus": 1.0})


def test_a_setting_that_nothing_reads_is_found():
    @configclass
    class IdleCfg(type(CONFIGURATIONS[ALLEGRO, "ovphysx"])):
        patience: float = setting(1.0, above=0.0)

    cfg = copy.deepcopy(CONFIGURATIONS[ALLEGRO, "ovphysx"])
    cfg.__class__, cfg.patience = IdleCfg, 1.0
    assert "patience" in set(own_fields(cfg))
    with patch.dict(CONFIGURATIONS, {(ALLEGRO, "ovphysx"): cfg}):
        assert not acts(ALLEGRO, {}, "patience", other_values(cfg, "patience"), trace_of(ALLEGRO, {}))


def test_the_fields_are_found():
    names = set(own_fields(CONFIGURATIONS[THROW, "ovphysx"]))
    assert {"force_scale", "bucket_goal_height", "cpu_num_envs", "scene.env_spacing", "episode_length_s"} <= names
    assert not {"goal_low", "use_bucket", "num_arms", "seed", "scene.robot"} & names
    names = set(own_fields(CONFIGURATIONS[ALLEGRO, "ovphysx"]))
    assert {"fall_distance", "joint_torque", "names.joints", "names.tendon_range"} <= names
    assert not {"object_shape", "fingertip_wrench", "names.fingertips", "scene.joint_wrench"} & names


@pytest.mark.parametrize(("task", "changes"), CASES, ids=[f"{task}: {','.join(given)}" for task, given in CASES])
def test_every_setting_acts_or_is_refused(task, changes):
    before = trace_of(task, changes)
    cfg = copy.deepcopy(CONFIGURATIONS[task, "ovphysx"])
    for name, value in changes.items():
        put(cfg, name, value)
    idle = [
        f"{name} -> {values}"
        for name in own_fields(cfg)
        if name not in changes
        for values in parts(cfg, name)
        if not acts(task, changes, name, values, before)
    ]
    assert idle == [], "settings that are accepted and change nothing; refuse them in check_settings()"


def test_gains_for_newton_act_on_newton():
    CONFIGURATIONS[REGRASP, "newton_mjwarp"] = resolved(REGRASP, "newton_mjwarp")
    before = trace_of(REGRASP, {}, "newton_mjwarp")
    assert trace_of(REGRASP, {"newton_finger_gains": (10.0, 2.0)}, "newton_mjwarp") != before


@pytest.mark.parametrize("task", TASKS)
def test_values_out_of_range_are_refused_by_name(task):
    cfg = CONFIGURATIONS[task, "ovphysx"]
    tried = 0
    for name, value, _, limits in own_settings(cfg):
        outside = [
            *([limits.at_least - 1] if limits.at_least is not None else []),
            *([limits.above] if limits.above is not None else []),
            *([limits.at_most + 1] if limits.at_most is not None else []),
            *(["something else"] if limits.choices else []),
            None,
        ]
        for wrong in outside:
            changed = copy.deepcopy(cfg)
            put(changed, name, (wrong, *value[1:]) if isinstance(value, tuple) else wrong)
            with pytest.raises(UserError, match=rf"^env\.{name}=.* must "):
                changed.check()
            tried += 1
    assert tried > 25


SENSOR = "scene.joint_wrench.update_period"


@pytest.mark.parametrize(
    ("task", "changes", "told"),
    [
        (SHADOW, {"scene.joint_wrench": None}, "fingertip_wrench=sensor needs env.scene.joint_wrench"),
        (SHADOW, {"fingertip_wrench": "zeros", SENSOR: 0.1}, "joint_wrench was changed but has no effect"),
        (SHADOW, {"object_shape": "egg", "scene.object.spawn.size": (0.1, 0.1, 0.1)}, "no effect on the cube"),
        (SHADOW, {"object_shape": "pen", "scene.object.init_state.pos": (0.0, 0.0, 1.0)}, "no effect on the pen"),
        (SHADOW, {"scene.object.spawn.size": (0.05, 0.05, 0.06)}, "three equal edges"),
        (SHADOW, {"assets": "nucleus"}, "set by presets=nucleus_assets"),
        (SHADOW, {"physics_choice": "physx5"}, "set by physics=NAME"),
        (SHADOW, {"names.joints": ("WRJ1",)}, "must name the task's 24 joints in its order, not 1"),
        (SHADOW, {"names.fingertips": ("thdistal",)}, "must name 5 links, not 1"),
        (ALLEGRO, {"names.tendons": {"pull": ("index_joint_1",)}}, r"names.tendons.pull has no effect"),
        (ALLEGRO, {"names.tendon_range": (0.0, 1.0)}, "names.tendon_range was changed but has no effect"),
        (ALLEGRO, {"action_space": 5}, "action_space follows from the task's other settings and is 16"),
        (REGRASP, {"episode_length_s": 5.0}, "episode_length_s follows from"),
        (REGRASP, {"scene.object.spawn.random_choice": False}, "random_choice was changed but has no effect"),
        (REGRASP, {"scene.object.spawn.assets_cfg": [(100, 100, 100)]}, "follows from object_set and num_objects"),
        (REGRASP, {"scene.ground.spawn.visible": False}, "ground.spawn.visible was changed but has no effect"),
        (REGRASP, {"newton_finger_gains": (10.0, 2.0)}, "newton_finger_gains was changed but has no effect"),
        (REGRASP, {"target_tolerance": 0.1}, "must be at most initial_tolerance"),
        (REORIENT, {"keypoints": "center", "goal_rotation": False}, "goal_rotation was changed but has no effect"),
        (THROW, {"tolerance_interval": 100}, "no effect without a curriculum"),
        (THROW, {"force_decay": 0.5}, "no effect with force_scale=0"),
        (ANYMAL, {"object_spin_limit": 1.0}, "object_spin_limit was changed but has no effect in a task without an"),
        (ANYMAL, {"command_low": (3.0, 0.0, 0.0)}, "command_low=.* must not exceed env.command_high"),
        (ANYMAL, {"reset_pose_range": (1.0, 0.5)}, "must give the smaller factor first"),
        (ANYMAL, {"scene.robot.spawn.activate_contact_sensors": False}, "must be true: a fall is felt by it"),
        (PUSH, {"start_apart": 0.3}, "start_apart=0.3 must be at most env.start_range=0.25"),
        (TWO_ARMS[0], {"arm_speed": 1.0}, "no effect with arm_control=absolute"),
    ],
)
def test_what_does_not_go_together_is_told(task, changes, told):
    cfg = copy.deepcopy(CONFIGURATIONS[task, "ovphysx"])
    for name, value in changes.items():
        put(cfg, name, value)
    with pytest.raises(UserError, match=told) as refusal:
        cfg.check()
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("task", TASKS)
def test_a_configuration_can_be_used_twice(task):
    """What is filled in for an environment is not taken for a wrong setting afterwards."""
    cfg = copy.deepcopy(CONFIGURATIONS[task, "ovphysx"])
    for name, value in {SHADOW: {"object_shape": "egg", "fingertip_wrench": "zeros"}}.get(task, {}).items():
        put(cfg, name, value)
    for _ in range(2):
        cfg.check()
        cfg.derive()

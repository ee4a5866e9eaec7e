# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The stress test counts what is absurd; the physics of our tasks passes it, briefly here and at length if asked."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from unittest.mock import patch

import pytest

pytest.importorskip("isaaclab")
import torch
from tests.processes import run_python

from cpo_lab.tasks import stress as stress_test
from cpo_lab.tasks.stress import KINDS, KindResult, draw_actions, stress

TASKS = (
    "Reorient-Cube-Shadow", "Reorient-Cube-Allegro", "Regrasp-KukaAllegro", "Reorient-KukaAllegro",
    "Throw-KukaAllegro", "Regrasp-DualKukaAllegro", "Reorient-DualKukaAllegro", "Anymal", "Humanoid",
    "Push-Franka", "Stack-Franka",
)  # fmt: skip

ENVS = 6


def quantity(*shape: int, value: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(torch=torch.full(shape, value))


class Scripted:
    """An environment of two joints and an object, whose state ``script(physics step)`` changes."""

    def __init__(self, script) -> None:
        data = SimpleNamespace(
            joint_pos=quantity(ENVS, 2), joint_vel=quantity(ENVS, 2), joint_vel_limits=quantity(ENVS, 2, value=5.0),
            joint_pos_limits=SimpleNamespace(torch=torch.tensor([-1.0, 1.0]).repeat(ENVS, 2, 1)),
            body_com_vel_w=quantity(ENVS, 3, 6), body_link_pose_w=quantity(ENVS, 3, 7),
        )  # fmt: skip
        self.robot = SimpleNamespace(
            data=data, actuators={}, joint_names=["bend", "turn"], body_names=["base", "middle", "tip"]
        )
        data = SimpleNamespace(root_com_vel_w=quantity(ENVS, 6), root_link_pose_w=quantity(ENVS, 7))
        self.object = SimpleNamespace(data=data)
        self.scene = SimpleNamespace(
            articulations={"robot": self.robot}, rigid_objects={"object": self.object},
            env_origins=torch.zeros(ENVS, 3), update=lambda dt: None,
        )  # fmt: skip
        self.cfg = SimpleNamespace(scene=SimpleNamespace())
        self.num_envs, self.num_actions, self.device, self.physics_step = ENVS, 2, "cpu", 0
        self.script, self.unwrapped, self.extras = script, self, {}

    def reset(self) -> None:
        """Nothing to reset."""

    def step(self, actions):
        for _ in range(2):
            self.script(self, self.physics_step)
            self.physics_step += 1
            self.scene.update(0.01)
        return {"policy": torch.zeros(ENVS, 3)}, torch.zeros(ENVS), torch.zeros(ENVS), self.extras


def run(script, env_steps: int = 10 * ENVS):
    with patch.object(stress_test, "moves_freely", lambda body: True):
        return stress(Scripted(script), env_steps)


def test_what_lasts_a_single_physics_step_is_counted_once():
    def script(env, step):
        env.robot.data.joint_vel.torch[4, 1] = 15.1 if step == 6 else 14.9

    result = run(script)
    assert result.total.counts == {
        "non_finite": 0, "fast_joint": 1, "past_limit": 0, "fast_object": 0, "spinning_object": 0,
        "quarantined": 0,
    }  # fmt: skip
    assert [kind.counts["fast_joint"] for kind in result.kinds] == [0, 0, 1]
    assert result.total.maxima["joint speed / limit"] == pytest.approx(15.1 / 5.0)
    assert "environment 4, 3 steps after a reset" in result.events["fast_joint"]
    assert "robot turn" in result.events["fast_joint"] and "nearest is object" in result.events["fast_joint"]
    assert not result.passed


def test_every_criterion_is_met_by_its_own_state():
    def script(env, step):
        if step == 2:
            env.robot.data.joint_pos.torch[0, 0] = -1.4
            env.object.data.root_com_vel_w.torch[1, 0] = 21.0
            env.object.data.root_com_vel_w.torch[2, 4] = 193.0
            env.robot.data.joint_pos.torch[3, 0] = math.nan

    result = run(script, env_steps=2 * ENVS)
    counts = dict.fromkeys(stress_test.CRITERIA, 1)
    counts["fast_joint"] = counts["quarantined"] = 0
    counts["past_limit"] = 2  # nothing is known of a joint whose position is no number
    assert result.total.counts == counts
    assert set(result.events) == {"past_limit", "fast_object", "spinning_object", "non_finite"}


def test_what_the_task_quarantines_is_counted_although_it_is_replaced_before_anyone_sees_it():
    def script(env, step):
        mask = torch.arange(ENVS) == (4 if step == 5 else -1)
        env.extras = {"quarantined": mask, "quarantine_reasons": {"reward": mask, "observation": mask & False}}

    result = run(script)
    assert [kind.counts["quarantined"] for kind in result.kinds] == [0, 0, 1]
    assert result.events == {"quarantined": "environment 4, 2 steps after a reset: quarantined by the task (reward)"}
    assert not result.passed


def test_one_joint_past_a_limit_in_a_hundred_thousand_is_allowed_and_nothing_else():
    clean = dict.fromkeys(stress_test.CRITERIA, 0)
    maxima = dict.fromkeys(stress_test.MAXIMA, 0.0)
    assert KindResult("all", 1_000_000, {**clean, "past_limit": 10}, maxima).passed
    assert not KindResult("all", 1_000_000, {**clean, "past_limit": 11}, maxima).passed
    assert not KindResult("all", 99_999, {**clean, "past_limit": 1}, maxima).passed
    for name in set(clean) - {"past_limit"}:
        assert not KindResult("all", 1_000_000, {**clean, name: 1}, maxima).passed


def test_kinds_of_actions_share_the_environments():
    generator, actions, kept = torch.Generator().manual_seed(0), torch.zeros(3000, 20), []
    for _ in range(20):
        last, actions = actions, draw_actions(actions, generator)
        kept.append((actions[2000:] == last[2000:]).float().mean().item())
    uniform, normal, extreme = actions.split(1000)
    assert uniform.abs().max() <= 1.0 and uniform.std() == pytest.approx(1 / math.sqrt(3), abs=0.02)
    assert normal.abs().max() > 2.0 and normal.std() == pytest.approx(1.0, abs=0.02)
    assert set(extreme.unique().tolist()) == {-1.0, 1.0}
    # 5 % are drawn anew, half of which come out as before
    assert sum(kept[1:]) / 19 == pytest.approx(0.975, abs=0.005)
    assert len(KINDS) == 3


def doctor(tmp_path, task: str, env_steps: int, *settings: str, envs: int = 24, timeout: float = 600.0) -> dict:
    file = tmp_path / "stress.json"
    run_python(
        "-m", "cpo_lab.cli", "doctor", "--task", f"CpoLab-{task}-Direct", "--stress", str(env_steps), "--device", "cpu",
        "--num_envs", str(envs), "--json", file, *settings, timeout=timeout,
    )  # fmt: skip
    return json.loads(file.read_text())


@pytest.mark.sim
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("Reorient-Cube-Shadow", ["physics=ovphysx"]),
        ("Regrasp-KukaAllegro", ["physics=ovphysx", "env.num_objects=24"]),
        ("Regrasp-KukaAllegro", ["physics=newton_mjwarp", "env.num_objects=24"]),
    ],
)
def test_physics_holds_briefly(task, settings, tmp_path):
    seen = doctor(tmp_path, task, 4000, *settings)
    assert seen["passed"] and not seen["events"]
    assert seen["total"]["env_steps"] == 4008
    assert seen["limited_joints"] == seen["joints"]
    assert seen["total"]["maxima"]["joint speed / limit"] <= 1.001


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("engine", "env_steps"), [("ovphysx", 1_000_000), ("newton_mjwarp", 200_000)])
@pytest.mark.parametrize("task", TASKS)
def test_physics_holds_at_length(task, engine, env_steps, tmp_path):
    seen = doctor(tmp_path, task, env_steps, f"physics={engine}", envs=192, timeout=7000)
    assert seen["passed"], seen["events"]

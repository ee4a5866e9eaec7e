# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``run_policy.py`` turns sensor values into the targets that the environment itself would set. Starts no engine."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("isaaclab")
pytest.importorskip("onnxruntime")
import torch
from isaaclab_tasks.utils import resolve_task_config
from tests.cpo_lab.deployment.driving import Comparison, driver, export, write_trained
from tests.cpo_lab.tasks.engineless import Trace, bring_near_goals, no_engine, step

import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_lab.assets.allegro_hand_table import allegro_hand
from cpo_lab.assets.kuka_allegro_table import kuka_allegro
from cpo_lab.assets.legs.anymal_table import anymal
from cpo_lab.assets.shadow_hand_table import shadow_hand

pytestmark = pytest.mark.long

SHADOW, ALLEGRO = "Reorient-Cube-Shadow", "Reorient-Cube-Allegro"
CASES = [
    (SHADOW, {}, "none", "leader"),
    (SHADOW, {"fingertip_wrench": "zeros", "object_shape": "pen", "action_smoothing": 0.3}, "lstm", "1"),
    (ALLEGRO, {}, "none", "leader"),
    (ALLEGRO, {"joint_torque": "applied", "decimation": 3, "observation_clip": 2.0}, "none", "ensemble"),
    ("Regrasp-KukaAllegro", {}, "lstm", "leader"),
    ("Reorient-KukaAllegro", {"arm_speed": 3.0}, "lstm", "leader"),
    ("Throw-KukaAllegro", {}, "none", "leader"),
    ("Regrasp-DualKukaAllegro", {}, "lstm", "ensemble"),
    ("Reorient-DualKukaAllegro", {}, "none", "leader"),
    ("Reorient-DualKukaAllegro", {"arm_control": "integrated", "arm_velocity_scale": 0.003}, "none", "0"),
]
CASES += [("Anymal", {"action_scale": 0.3}, "none", "leader")]
NUM_ENVS, STEPS = 12, 300


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    """tests/cpo_rl/test_export.py makes the full check of the networks."""
    monkeypatch.setattr("cpo_rl.export.CHECK_STEPS", 20)


def configuration(task: str, changes: dict[str, Any]) -> Any:
    cfg, _ = resolve_task_config(f"CpoLab-{task}-Direct", None, overrides=["physics=ovphysx"])
    cfg = copy.deepcopy(cfg)
    cfg.scene.num_envs = NUM_ENVS
    if "Kuka" in task:
        cfg.num_objects = 8
    for name, value in changes.items():
        setattr(cfg, name, value)
    cfg.check()
    cfg.derive()
    return cfg


def environment(task: str, cfg: Any) -> Any:
    module, _, name = gymnasium.spec(f"CpoLab-{task}-Direct").entry_point.partition(":")
    return getattr(__import__(module, fromlist=[name]), name)(cfg)


@pytest.mark.parametrize(("task", "changes", "rnn", "choice"), CASES)
def test_targets_are_those_of_the_environment(task, changes, rnn, choice, tmp_path):
    cfg = configuration(task, changes)
    state = {"tolerance": torch.tensor(0.06)} if "Kuka" in task else None
    checkpoint, model = write_trained(tmp_path, f"CpoLab-{task}-Direct", cfg, rnn, state)
    folder = export(checkpoint, choice)
    policy_id = {"leader": 2, "ensemble": 1}.get(choice) or int(choice)
    policy = driver(folder).Policy(folder, NUM_ENVS, policy_id if choice == "ensemble" else None)
    robots = {"robot": {SHADOW: shadow_hand, ALLEGRO: allegro_hand, "Anymal": anymal}.get(task, kuka_allegro)()}
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    with no_engine(Trace(), robots):
        env = environment(task, cfg)
        if task == "Anymal":  # without an engine joints rest in the middle of their limits
            env.default.copy_(torch.tensor(policy.facts["robot"]["default_position"]))
        if state:
            env.curriculum.tolerance = state["tolerance"]
        env.scene.move(draw)
        env._reset_idx(torch.arange(NUM_ENVS))
        observation = env._get_observations()["policy"]
        found = Comparison(env, model, policy, policy_id)

        def advance(actions: torch.Tensor, targets_are_set: Any) -> tuple[torch.Tensor, torch.Tensor]:
            def prepare() -> None:
                targets_are_set()
                bring_near_goals(env, draw)

            seen, _, terminated, time_outs, *_ = step(env, actions, prepare)
            return seen, terminated | time_outs

        found.steps(STEPS, observation, advance)
    assert found.targets < 1.0e-5
    assert found.observations < 1.0e-4
    assert found.resets > 20 and (found.goals > 20 or task == "Anymal"), "the rules' memory is meant to be used"
    limits = np.asarray(policy.facts["action"]["upper"]) - np.asarray(policy.facts["action"]["lower"])
    assert (found.moved > 0.01 * limits).all(), "every joint is meant to move"

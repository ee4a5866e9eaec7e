# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The checkpoint of another task, robot or layout is refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tests.cpo_rl.runners.support import NoisyTrackingEnv, differing, ensemble_cfg, make_env, make_runner

from cpo_rl.errors import UserError
from cpo_rl.runs.compatibility import check_identity, differences, env_identity


class OtherRobotEnv(NoisyTrackingEnv):
    def checkpoint_fingerprint(self):
        return {"robot": "allegro_hand", "assets": "abc"}


class RobotEnv(NoisyTrackingEnv):
    def checkpoint_fingerprint(self):
        return {"robot": "shadow_hand", "assets": "abc"}


def test_identity_names_task_layout_actions_policies_and_what_the_env_adds():
    env = make_env(RobotEnv)
    env.spec = SimpleNamespace(id="cpo:CpoLab-X-Direct")
    obs = {"policy": torch.zeros(12, 6), "critic": torch.zeros(12, 3, 4)}
    assert env_identity(env, obs, None, 6) == {
        "task": "CpoLab-X-Direct",
        "num_actions": 2,
        "observations": {"critic": [3, 4], "policy": [6]},
        "num_policies": 6,
        "robot": "shadow_hand",
        "assets": "abc",
    }
    assert env_identity(env, obs, "Y", 1)["task"] == "Y"
    assert env_identity(make_env(), obs, None, 1)["task"] == "NoisyTrackingEnv"


def test_only_entries_that_both_name_are_compared():
    assert differences({"task": "A", "old": 1}, {"task": "A", "new": 2}) == []
    assert differences({}, {"task": "A"}) == []
    assert differences({"task": "A", "num_actions": 2}, {"task": "B", "num_actions": 3}) == [
        "task 'A' instead of 'B'",
        "number of actions 2 instead of 3",
    ]


def test_force_lets_pass_and_reports():
    with pytest.raises(UserError, match=r"c\.pt was trained with task 'A' instead of 'B'; .*--force"):
        check_identity({"task": "A"}, {"task": "B"}, "c.pt")
    assert check_identity({"task": "A"}, {"task": "B"}, "c.pt", force=True) == ["task 'A' instead of 'B'"]


def test_other_files_of_the_same_robot_are_only_reported():
    stored, current = {"task": "A", "assets": "x"}, {"task": "A", "assets": "y"}
    assert check_identity(stored, current, "c.pt") == ["robot and object files 'x' instead of 'y'"]
    with pytest.raises(UserError) as refusal:
        check_identity({**stored, "task": "B"}, current, "c.pt")
    assert "files" not in str(refusal.value)
    assert len(check_identity({**stored, "task": "B"}, current, "c.pt", force=True)) == 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    runner = make_runner(ensemble_cfg(), folder, env=make_env(RobotEnv), task="Reorient-Shadow")
    runner.learn(1)
    return folder / "model_1.pt", runner


@pytest.mark.parametrize(
    ("kind", "task", "axes", "sentence"),
    [
        (RobotEnv, "Lift-Shadow", 2, "task 'Reorient-Shadow' instead of 'Lift-Shadow'"),
        (OtherRobotEnv, "Reorient-Shadow", 2, "robot 'shadow_hand' instead of 'allegro_hand'"),
        (RobotEnv, "Reorient-Shadow", 3, "number of actions 2 instead of 3, observation layout {'policy'"),
    ],
)
@pytest.mark.parametrize("sidecar", [True, False])
def test_loading_into_something_else_is_refused(tmp_path, checkpoint, kind, task, axes, sentence, sidecar):
    path = tmp_path / "copy.pt"
    path.write_bytes(checkpoint[0].read_bytes())
    if sidecar:
        path.with_suffix(".json").write_bytes(checkpoint[0].with_suffix(".json").read_bytes())
    runner = make_runner(ensemble_cfg(), env=make_env(kind, num_axes=axes), task=task)
    before = [p.clone() for p in runner.alg.model.parameters()]
    with pytest.raises(UserError, match=sentence):
        runner.load(str(path))
    assert all(torch.equal(a, b) for a, b in zip(before, runner.alg.model.parameters(), strict=True))


def test_force_loads_the_weights_of_another_robot(checkpoint):
    runner = make_runner(ensemble_cfg(), env=make_env(OtherRobotEnv), task="Reorient-Shadow")
    runner.load(str(checkpoint[0]), force=True)
    assert differing(runner.alg.save()["model"], checkpoint[1].alg.save()["model"]) == []


def test_force_cannot_make_other_shapes_fit_and_says_so(checkpoint):
    runner = make_runner(ensemble_cfg(), env=make_env(RobotEnv, num_axes=3), task="Reorient-Shadow")
    with pytest.raises(UserError, match="does not fit this agent"):
        runner.load(str(checkpoint[0]), force=True)


def test_another_network_is_refused_in_a_sentence(checkpoint):
    cfg = ensemble_cfg()
    cfg["model"]["hidden_dims"] = [16, 4]
    runner = make_runner(cfg, env=make_env(RobotEnv), task="Reorient-Shadow")
    with pytest.raises(UserError, match="does not fit this agent"):
        runner.load(str(checkpoint[0]))


def test_another_number_of_policies_is_refused(checkpoint):
    runner = make_runner(ensemble_cfg(num_policies=2), env=make_env(RobotEnv), task="Reorient-Shadow")
    with pytest.raises(UserError, match="number of policies 3 instead of 2"):
        runner.load(str(checkpoint[0]))

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What an exported folder says of itself: policy.json, the metadata of the ONNX file, and the model card."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("isaaclab")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import torch
import yaml
from tests.cpo_lab.deployment.driving import driver, export, write_trained
from tests.cpo_lab.deployment.test_run_policy import ALLEGRO, SHADOW, configuration

from cpo_lab.cli import main
from cpo_lab.deployment.model_card import MARK
from cpo_lab.tasks.deployment import robot_facts

pytestmark = pytest.mark.long

TASKS = (
    SHADOW, ALLEGRO, "Regrasp-KukaAllegro", "Reorient-KukaAllegro", "Throw-KukaAllegro", "Regrasp-DualKukaAllegro",
    "Reorient-DualKukaAllegro", "Anymal",
)  # fmt: skip


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    monkeypatch.setattr("cpo_rl.export.CHECK_STEPS", 5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of the Shadow Hand with an LSTM, in a run folder."""
    cfg = configuration(SHADOW, {})
    return write_trained(tmp_path_factory.mktemp("run"), f"CpoLab-{SHADOW}-Direct", cfg, "lstm")[0]


@pytest.fixture(scope="module")
def exported(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cpo_rl.export.CHECK_STEPS", 5)
        return export(trained, "ensemble")


def described(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "policy.json").read_text())


@pytest.mark.parametrize("task", TASKS)
def test_every_entry_has_a_name_a_unit_and_a_number(task):
    cfg = configuration(task, {})
    from isaaclab.utils import to_dict

    found = json.loads(json.dumps(type(cfg).deployment(to_dict(cfg), cfg.layout(), {}), allow_nan=False))
    robot, action = found["robot"], found["action"]
    joints = len(robot["joints"])
    for name in robot["units"]:
        assert len(robot[name]) == joints, name
        assert all(isinstance(value, float) and math.isfinite(value) for value in robot[name]), name
    assert len(set(robot["joints"])) == joints
    assert all(low < high for low, high in zip(robot["lower"], robot["upper"], strict=True))
    assert all(
        low <= start <= high
        for low, start, high in zip(robot["lower"], robot["default_position"], robot["upper"], strict=True)
    )
    for name in ("names", "lower", "upper", "sign", "moves", "modes"):
        assert len(action[name]) == cfg.action_space, name
    names = {each["name"] for each in found["sensors"]}
    for each in [*found["observation_layout"], *found["sensors"]]:
        assert len(each["entries"]) == each["size"]
        assert len(set(each["entries"])) == each["size"], each["name"]
        assert names.issuperset([each["from"]["sensor"]] if "sensor" in each.get("from", {}) else [])
    assert not [text for text in json.dumps(found).split('"') if text.startswith("/")], "no path of this machine"


def test_gains_are_those_of_the_run_and_not_of_today(tmp_path):
    cfg = configuration("Throw-KukaAllegro", {})
    fingers = cfg.scene.robot.actuators["hand"]
    fingers.stiffness, fingers.damping = 10.0, {"index.*": 1.5, ".*": 1.0}  # as Newton gets them
    robot = described(export(write_trained(tmp_path, "CpoLab-Throw-KukaAllegro-Direct", cfg, "none")[0]))["robot"]
    assert robot["stiffness"] == [40.0] * 7 + [10.0] * 16
    assert robot["damping"] == [5.0] * 7 + [1.5] * 4 + [1.0] * 12


def test_a_mirrored_joint_of_a_file_of_ones_own(tmp_path):
    from pxr import Usd, UsdPhysics

    stage = Usd.Stage.CreateNew(str(tmp_path / "own.usda"))
    stage.SetDefaultPrim(stage.DefinePrim("/robot"))
    for name, low, high in (("bend", -10.0, 90.0), ("spread", -20.0, 30.0)):
        joint = UsdPhysics.RevoluteJoint.Define(stage, f"/robot/{name}")
        joint.CreateLowerLimitAttr(low)
        joint.CreateUpperLimitAttr(high)
    stage.GetRootLayer().Save()
    settings = {"spawn": {"usd_path": str(tmp_path / "own.usda")}, "actuators": {}, "init_state": {"joint_pos": {}}}
    facts = robot_facts({"robot": settings}, ["bend", "spread"], ["spread"])
    assert facts["lower"] == pytest.approx([math.radians(-10), math.radians(-20)])
    assert facts["sign"] == [1.0, -1.0]
    assert facts["stiffness"] == [None, None]


def test_the_onnx_file_carries_the_description(exported, tmp_path):
    file = exported / "policy.onnx"
    model = onnx.load(str(file))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 9, "what ONNX Runtime 1.17 reads"
    told = {each.key: json.loads(each.value) for each in model.metadata_props}
    whole = described(exported)
    assert {**told, "files": whole["files"]} == whole
    assert b"site-packages" not in file.read_bytes(), "nothing of the machine that wrote it"
    (tmp_path / "policy.onnx").write_bytes(file.read_bytes())
    alone = driver(exported).Policy(tmp_path)
    assert alone.joints == whole["action"]["names"]


def test_torchscript_carries_it_too(trained):
    assert (
        main(["export", "--checkpoint", str(trained), "--formats", "jit", "--output", str(trained.parent / "j")]) == 0
    )
    extra = {"policy.json": ""}
    torch.jit.load(str(trained.parent / "j" / "policy.pt"), _extra_files=extra)
    assert json.loads(extra["policy.json"])["robot"]["joints"][0] == "WRJ1"
    assert not (trained.parent / "j" / "run_policy.py").exists(), "it needs the ONNX file"


def test_it_runs_without_torch_and_simulator(exported):
    code = (
        "import runpy, sys\n"
        "class No:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'cpo_rl', 'cpo_lab', 'isaaclab', 'warp'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "sys.argv = ['run_policy.py']\n"
        "runpy.run_path('run_policy.py', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=exported, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "fingertip_wrench" in done.stdout and "THJ0" in done.stdout and "ms per step" in done.stdout


def test_one_of_the_ensemble_is_chosen(exported):
    module = driver(exported)
    sensors = {each["name"]: np.full(each["size"], 0.1) for each in described(exported)["sensors"]}
    targets = []
    for policy_id in (None, 0, 1, 2):
        policy = module.Policy(exported, policy_id=policy_id)
        policy.reset(sensors)
        targets.append(policy.step(sensors))
    assert np.array_equal(targets[0], targets[3]), "the leader"
    assert not np.allclose(targets[1], targets[2])
    with pytest.raises(ValueError, match="policy_id 3 is not in this file, which holds policies 0 to 2"):
        module.Policy(exported, policy_id=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_pose": None}, "sensor 'object_pose' is missing"),
        ({"joint_position": np.zeros(23)}, "'joint_position' has .* instead of 24"),
        ({"joint_velocity": np.full(24, np.nan)}, "'joint_velocity' is not finite"),
    ],
)
def test_a_bad_sensor_gives_no_target(exported, change, message):
    policy = driver(exported).Policy(exported)
    sensors = {each["name"]: np.zeros(each["size"]) for each in policy.sensors}
    policy.reset(sensors)
    sensors = {name: value for name, value in {**sensors, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        policy.step(sensors)


# -- what cannot be told -----------------------------------------------------------------------------------------------


def test_a_run_without_settings_is_told_as_such(trained, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model_12.pt", "model_12.json"):
        (alone / name).write_bytes((trained.parent / name).read_bytes())
    (alone / "run.json").write_bytes((trained.parent / "run.json").read_bytes())
    found = described(export(alone / "model_12.pt"))
    assert found["settings_from"] == "the task's defaults, because the run keeps none"
    assert found["control_rate_hz"] == pytest.approx(60.0)
    assert found["robot"]["upper"] == described(export(trained))["robot"]["upper"]


@pytest.mark.parametrize("damage", [{"names": 3}, {"names": {"joints": ["X"], "motors": ["Y"]}}, {"sim": []}])
def test_damaged_settings_are_not_guessed(trained, tmp_path, damage):
    run = tmp_path / "damaged"
    (run / "params").mkdir(parents=True)
    for name in ("model_12.pt", "model_12.json", "run.json"):
        (run / name).write_bytes((trained.parent / name).read_bytes())
    (run / "params" / "env.yaml").write_text(json.dumps({"scene": {}, "sim": {"dt": 0.01}, "decimation": 1, **damage}))
    folder = export(run / "model_12.pt")
    if damage == {"sim": []}:  # replaced as a whole
        assert described(folder)["control_rate_hz"] == pytest.approx(120.0)
        return
    assert "not_drivable" in described(folder)
    assert not (folder / "run_policy.py").exists()
    assert "does not say how a robot is driven" in (folder / "README.md").read_text()


# -- the model card ----------------------------------------------------------------------------------------------------


def front_matter(text: str) -> dict[str, Any]:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_the_card_says_what_was_trained_and_claims_nothing(exported):
    text = (exported / "README.md").read_text()
    matter = front_matter(text)
    assert matter["pipeline_tag"] == "reinforcement-learning"
    assert f"CpoLab-{SHADOW}-Direct" in matter["tags"]
    assert "model-index" not in matter, "the run has no result"
    assert "The run's records hold no result." in text
    assert "all 3 policies" in text and "60 times a second" in text
    assert "arxiv.org/abs/2603.01741" in text
    for name in ("policy.onnx", "run_policy.py", "policy.json"):
        assert f"`{name}`" in text


def test_results_are_taken_from_the_run_and_cannot_break_out(trained, tmp_path):
    run = tmp_path / "run"
    (run / "params").mkdir(parents=True)
    for name in ("model_12.pt", "model_12.json", "run.json", "params/env.yaml", "params/agent.yaml"):
        (run / name).write_bytes((trained.parent / name).read_bytes())
    manifest = {
        "format": 1, "task": "x", "algorithm": "cpo", "seed": 3, "iteration": 20, "env_steps": 40000, "num_envs": 12,
        "wall_clock_s": 61.0, "last": {"Leader/return": -16.5, "Leader/successes": 0.25},
        "best": {"score": 0.5, "iteration": 7, "metric": "evil | `x`\n# head <b>"}, "git_commit": "abc",
    }  # fmt: skip
    (run / "manifest.json").write_text(json.dumps(manifest))
    text = (export(run / "model_12.pt") / "README.md").read_text()
    (entry,) = front_matter(text)["model-index"]
    metrics = {each["type"]: each["value"] for each in entry["results"][0]["metrics"]}
    assert metrics == {"mean_reward": -16.5, "successes": 0.25}
    assert "| return of the leader's episodes | -16.5 |" in text
    assert "40 k environment steps" in text and "1 min 01 s" in text
    assert "<b>" not in text and "\n# head" not in text
    hub = pytest.importorskip("huggingface_hub")
    read = {each.metric_type: each.metric_value for each in hub.ModelCard(text).data.eval_results}
    assert read == {"mean_reward": -16.5, "successes": 0.25}


def test_somebodys_own_driver_stays_and_an_exported_one_follows_its_policy(trained, tmp_path):
    command = ["export", "--checkpoint", str(trained), "--output", str(tmp_path), "--formats"]
    (tmp_path / "run_policy.py").write_text("print('mine')\n")
    for formats in ("onnx", "jit"):
        assert main([*command, formats]) == 0
        assert (tmp_path / "run_policy.py").read_text() == "print('mine')\n"
    (tmp_path / "run_policy.py").unlink()
    assert main([*command, "onnx"]) == 0
    assert "class Policy" in (tmp_path / "run_policy.py").read_text()
    assert main([*command, "jit"]) == 0
    assert not (tmp_path / "run_policy.py").exists()


def test_somebodys_own_readme_stays(trained, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("mine")
    command = ["export", "--checkpoint", str(trained), "--formats", "jit", "--output", str(out)]
    assert main(command) == 0
    assert (out / "README.md").read_text() == "mine"
    (out / "README.md").write_text(f"old\n{MARK}\n")
    assert main(command) == 0
    assert (out / "README.md").read_text().startswith("---\n")

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from cpo_lab.cli import export, main
from cpo_lab.deployment import description
from cpo_lab.tasks.in_hand.shadow import SHADOW_OBSERVATIONS
from cpo_lab.tasks.layout import layout_size
from cpo_rl.config import ModelCfg
from cpo_rl.errors import UserError
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import write_checkpoint
from cpo_rl.runs.payload import to_bytes

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"
NUM_OBS = 211


def make_run(root: Path, *, sidecar: bool, task: str = TASK, num_obs: int = NUM_OBS, rnn: str = "none") -> Path:
    """A run folder as training leaves it (``sidecar``), or as the stock launcher does; returns the checkpoint."""
    folder = root / "some_experiment" / "2026-01-31_12-00-00"
    (folder / "params").mkdir(parents=True)
    cfg = ModelCfg(hidden_dims=[8], rnn_type=rnn, rnn_hidden_dim=4)
    torch.manual_seed(0)
    model = EnsembleActorCritic(num_obs, 20, 3, cfg)
    settings = {
        "clip_actions": None,
        "obs_groups": {"actor": ["policy"]},
        "model": dataclasses.asdict(cfg),
        "algorithm": {"algorithm": "cpo", "num_policies": 3},
    }
    manifest = {"schema_version": 1, "library": "rsl_rl", "task": task, "created_at": "2026-01-31T12:00:00+00:00"}
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / "params" / "env.yaml").write_text(
        "sim:\n  dt: 0.01\n  gravity: !!python/tuple\n  - 0.0\n  - 0.0\ndecimation: 2\nobservation_clip: 5.0\n"
    )
    path = folder / "model_12.pt"
    if sidecar:
        payload = {"model": model.state_dict(), "iter": 12, "infos": None, "format": 1}
        write_checkpoint(path, to_bytes(payload), CheckpointManifest(iteration=12, config=settings))
    else:
        torch.save({"model": model.state_dict(), "iter": 12, "infos": None}, path)
        lines = json.dumps(settings)  # JSON is YAML
        (folder / "params" / "agent.yaml").write_text(lines)
    return path


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    """tests/cpo_rl/test_export.py makes the full check."""
    monkeypatch.setattr("cpo_rl.export.CHECK_STEPS", 20)


@pytest.mark.parametrize(("sidecar", "iteration"), [(True, 12), (False, 13)])
def test_the_newest_run_is_exported_with_its_meaning(tmp_path, capsys, sidecar, iteration):
    checkpoint = make_run(tmp_path, sidecar=sidecar)
    assert main(["export", "--log_root", str(tmp_path)]) == 0
    out = checkpoint.parent / "exported"
    assert sorted(f.name for f in out.iterdir()) == [
        "README.md",
        "policy.json",
        "policy.onnx",
        "policy.pt",
        "run_policy.py",
    ]
    found = json.loads((out / "policy.json").read_text())
    assert found["task"] == TASK
    assert found["iteration"] == iteration  # finished iterations; the stock runner stores the number of the last one
    assert found["algorithm"] == "cpo"
    assert found["control_period_s"] == pytest.approx(0.02)
    assert found["observation_clip"] == 5.0
    assert found["action"]["clip"] == [-1.0, 1.0]
    layout = found["observation"]["layout"]
    assert [t["name"] for t in layout] == [t.name for t in SHADOW_OBSERVATIONS]
    assert layout[1]["offset"] == 24
    assert "policy.onnx" in capsys.readouterr().out


def test_every_policy_gets_a_folder(tmp_path):
    checkpoint = make_run(tmp_path, sidecar=True, rnn="lstm")
    arguments = [
        "--checkpoint",
        str(checkpoint),
        "--policy",
        "all",
        "--formats",
        "jit",
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(["export", *arguments]) == 0
    out = tmp_path / "out"
    ids = [
        json.loads((f / "policy.json").read_text())["policy"]["id"] for f in (out, out / "policy_0", out / "policy_1")
    ]
    assert ids == [2, 0, 1]
    files = [str(folder / "policy.pt") for folder in (out, out / "policy_0", out / "policy_1")]
    outputs = [torch.jit.load(file)(torch.ones(1, NUM_OBS)) for file in files]
    assert not torch.allclose(outputs[0], outputs[1])
    assert not torch.allclose(outputs[1], outputs[2])


@pytest.mark.parametrize("word", ["ensemble", "input"])
def test_the_id_can_be_an_input(tmp_path, word):
    checkpoint = make_run(tmp_path, sidecar=True)
    assert main(["export", "--checkpoint", str(checkpoint), "--policy", word, "--formats", "jit"]) == 0
    module = torch.jit.load(str(checkpoint.parent / "exported" / "all_policies" / "policy.pt"))
    assert module(torch.ones(3, NUM_OBS), torch.tensor([0, 1, 2])).shape == (3, 20)


@pytest.mark.parametrize(
    ("task", "num_obs"),
    [
        ("CpoLab-Reorient-Cube-Shadow-Direct", 211),
        ("CpoLab-Reorient-Cube-Allegro-Direct", 88),
        ("CpoLab-Regrasp-KukaAllegro-Direct", 99),
        ("CpoLab-Regrasp-KukaAllegro-Direct", 117),
        ("CpoLab-Regrasp-DualKukaAllegro-Direct", 169),
        ("CpoLab-Regrasp-DualKukaAllegro-Direct", 196),
    ],
)
def test_the_layout_of_every_task_is_found(task, num_obs):
    terms = description._terms(description.task_config(task), num_obs)
    assert terms is not None
    assert layout_size(terms) == num_obs


@pytest.mark.parametrize(("task", "num_obs"), [("Someone-Elses-Task", 211), (TASK, 210)])
def test_an_unknown_layout_is_left_out(tmp_path, task, num_obs):
    checkpoint = make_run(tmp_path, sidecar=True, task=task, num_obs=num_obs)
    assert main(["export", "--checkpoint", str(checkpoint), "--formats", "jit"]) == 0
    found = json.loads((checkpoint.parent / "exported" / "policy.json").read_text())
    assert found["observation"]["layout"] is None
    assert ("clip" in found["action"]) == (task == TASK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "3"], "--policy '3' must be leader, followers, all, ensemble or 0 to 2 (the leader)"),
        (["--policy", "-1"], "--policy"),
        (["--policy", "best"], "--policy 'best' must be"),
        (["--formats", "tflite"], "formats=tflite"),
        (["--formats", ","], "formats=nothing"),
        (["--checkpoint", "missing.pt"], "missing.pt"),
        (["--task", "Other-Task"], "Other-Task"),
        (["--frmats", "jit"], "--frmats"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, arguments, message):
    make_run(tmp_path, sidecar=True)
    assert main(["export", "--log_root", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_checkpoint_without_settings_is_refused(tmp_path):
    checkpoint = make_run(tmp_path, sidecar=False)
    (checkpoint.parent / "params" / "agent.yaml").unlink()
    with pytest.raises(UserError, match="comes without its network's settings"):
        export.run(["--checkpoint", str(checkpoint)])


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoint = make_run(tmp_path, sidecar=True)
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        export.run(["--checkpoint", str(checkpoint)])
    assert not (checkpoint.parent / "exported").exists()


def test_no_simulator_is_imported(tmp_path):
    import subprocess
    import sys

    checkpoint = make_run(tmp_path, sidecar=True)
    code = (
        "import sys\nfrom cpo_lab.cli import main\n"
        f"assert main(['export', '--checkpoint', {str(checkpoint)!r}, '--formats', 'jit']) == 0\n"
        "engines = ('newton', 'mujoco', 'mujoco_warp', 'ovphysx', 'pxr', 'omni', 'isaacsim')\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in engines]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr

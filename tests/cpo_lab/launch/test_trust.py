# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A run folder from somebody else cannot name code that is run, nor files that are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("isaaclab")

from cpo_lab.cli import main
from cpo_lab.launch.configuration import Request
from cpo_lab.launch.trust import refuse_foreign
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RunFolder

SHADOW = "CpoLab-Reorient-Cube-Shadow-Direct"

HOSTILE = [
    "env.scene.object.spawn.func=os:system",
    "env.scene.object.spawn.func='os:system'",
    'env.scene.object.spawn.func="os:system"',
    "env.scene.object.spawn.func= os:system",
    "env.scene.object.spawn.func=lambda x=__import__('os').system('id'): x",
    "env.scene.robot.prim_path=lambda: 1",
    "env.scene.robot.prim_path=antigravity:fly",
    "env.scene.object.spawn.func={DIR}.evil:run",
    "env.scene.class_type=evil.module:Scene",
    "env.scene={class_type: 'evil:Scene'}",
    "env.scene.object={spawn: {func: 'os:system'}}",
    "env.names.joints=['a','evil:run']",
    "agent.algorithm.class_name=evil.module:Algorithm",
    "agent.algorithm.class_name=evil.module.Algorithm",
    "agent.algorithm={class_name: 'evil:Algorithm'}",
    "agent.algorithm.class_name=cpo_rl.algorithms:a.b",
    "agent.actor.distribution_cfg.class_name=evil.Distribution",
    "agent.actor.class_name=cpo_rl.algorithms:EnsemblePPO",
    "env.sim.physics.solver_cfg.save_to_mjcf=/home/somebody/.bashrc",
    "env.sim.physics.cooked_collider_cache_dir=/home/somebody",
    "env.sim.log_dir=/etc",
]

HARMLESS = [
    "env.success_tolerance=0.2",
    "env.scene.robot.spawn.usd_path=/data/hand.usd",
    "agent.algorithm.class_name=cpo_rl.algorithms:EnsemblePPO",
    "agent.algorithm.class_name='PPO'",
    "agent.actor.class_name='MLPModel'",
    "agent.obs_groups={'actor': ['policy'], 'critic': ['policy']}",
    "agent.obs_groups={actor: [policy]}",
    "agent.algorithm={gamma: 0.9}",
    "physics=ovphysx",
    "env.sim.log_dir=None",
    "agent.model.hidden_dims=[256,128]",
]


@pytest.mark.parametrize("setting", HOSTILE)
def test_settings_that_name_code_or_files(setting):
    with pytest.raises(UserError, match="add --trust") as refusal:
        refuse_foreign([setting], Path("/runs/theirs"))
    assert "/runs/theirs" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_runs_of_ours_hold_is_plain():
    refuse_foreign(HARMLESS, Path("/runs/ours"))


def run_of(folder: Path, *overrides: str) -> RunFolder:
    folder.mkdir(exist_ok=True)
    launcher = {"version": 1, "task": SHADOW, "created_at": "2026-01-01T00:00:00+00:00", "metadata": {}}
    (folder / "run.json").write_text(json.dumps(launcher))
    launch = {"task": SHADOW, "agent": "cpo", "device": "cpu", "overrides": list(overrides), "iterations": 5}
    (folder / "launch.json").write_text(json.dumps(launch))
    (folder / "model_3.pt").write_bytes(b"weights")
    return RunFolder.read(folder)


def test_trust_and_what_is_given_now(tmp_path):
    hostile = "agent.algorithm.class_name=evil:Algorithm"
    run = run_of(tmp_path / "run", hostile)
    with pytest.raises(UserError, match="--trust"):
        Request.of_run(run)
    assert Request.of_run(run, trust=True).overrides == [hostile]
    assert Request.of_run(run, replaced=["agent.algorithm.class_name=mine:Algorithm"]).overrides == []


def test_a_run_of_the_stock_launcher(tmp_path):
    """Its settings come from ``params/agent.yaml``."""
    run_of(tmp_path / "run")
    (tmp_path / "run" / "launch.json").unlink()
    (tmp_path / "run" / "params").mkdir()
    settings = {"algorithm": {"class_name": "evil:Algorithm"}, "model": {"activation": "elu"}}
    (tmp_path / "run" / "params" / "agent.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(UserError, match="--trust"):
        Request.of_run(RunFolder.read(tmp_path / "run"))


@pytest.mark.parametrize(
    "command", [("train", "--resume"), ("play", "--checkpoint"), ("evaluate",)], ids=["train", "play", "evaluate"]
)
def test_every_command_refuses_before_anything_is_imported(command, tmp_path, capsys, monkeypatch):
    marker = tmp_path / "was_run"
    (tmp_path / "evil_package.py").write_text(f"open({str(marker)!r}, 'w')\ndef call(*args, **kwargs): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    run_of(tmp_path / "run", "env.scene.object.spawn.func=evil_package:call")
    assert main([*command, str(tmp_path / "run" / "model_3.pt"), "--device", "cpu"]) == 2
    assert "--trust" in capsys.readouterr().err
    assert not marker.exists()

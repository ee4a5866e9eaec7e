# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``presets=nucleus_assets`` in the real engines, each in a process of its own (nucleus_checks.py).

The Shadow Hand is NVIDIA's, from the stage that the installed Isaac Lab carries. NVIDIA's Allegro Hand cannot be had
without a network; a file of ours stands in for it under its path, so that names, order and gains are tested, and
nothing about its shape.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("isaaclab")
from tests.processes import run_python

from cpo_lab.assets import stock_root
from cpo_lab.assets.allegro_hand_table import JOINT_NAMES, allegro_hand
from cpo_lab.assets.articulation import robot_usd
from cpo_lab.tasks.in_hand.shadow import SHADOW_OBSERVATIONS, NucleusShadowHandNamesCfg
from cpo_lab.tasks.layout import layout_slices

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]

NAMES = NucleusShadowHandNamesCfg()
WHERE = layout_slices(SHADOW_OBSERVATIONS)
ALLEGRO = "Isaac/Robots/WonikRobotics/AllegroHand/allegro_hand_instanceable.usd"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    stock_root.write_root(folder)
    (folder / ALLEGRO).parent.mkdir(parents=True)
    # not a copy under that name, because USD tells text from binary by the extension
    from pxr import Usd

    Usd.Stage.Open(robot_usd(allegro_hand())).Export(str(folder / ALLEGRO))
    return folder


def run(root: Path, folder: Path, *arguments: str) -> str:
    return run_python(*arguments, cwd=folder, timeout=800, ISAACSIM_ASSET_ROOT=str(root))


def seen_by(root: Path, folder: Path, hand: str, engine: str) -> dict:
    output = folder / "seen.json"
    run(root, folder, str(Path(__file__).with_name("nucleus_checks.py")), hand, engine, str(output))
    return json.loads(output.read_text())


@pytest.fixture(scope="module", params=["ovphysx", pytest.param("newton_mjwarp", marks=pytest.mark.slow)])
def seen(request, root, tmp_path_factory) -> dict:
    return {"engine": request.param, **seen_by(root, tmp_path_factory.mktemp(request.param), "shadow", request.param)}


def unscaled(seen: dict, which: str) -> dict[str, float]:
    """Joint angles as observed, in radians, by the name in the file, in the task's sense of rotation."""
    lower, upper = np.array([seen["limits"][name] for name in NAMES.joints]).T
    shown = np.array(seen[which]["observation"][WHERE["joint_position"]])
    return dict(zip(NAMES.joints, 0.5 * (shown + 1.0) * (upper - lower) + lower, strict=True))


def test_it_is_nvidias_hand_in_the_engines_variant(seen, root):
    assert seen["file"] == str(root / stock_root.HAND)
    assert seen["variants"]["Physics"] == {"ovphysx": "physx", "newton_mjwarp": "mujoco"}[seen["engine"]]
    assert seen["tendons"] == ["rh_FFJ0", "rh_LFJ0", "rh_MFJ0", "rh_RFJ0"]


def test_steps_are_finite_and_end_with_the_action(seen):
    steps = seen["steps"]
    assert steps["finite"]
    assert steps["shape"] == [4, 211]
    np.testing.assert_allclose(steps["last"][WHERE["last_action"]], steps["action"], atol=1e-6)


def test_one_action_bends_both_outer_joints(seen):
    """The middle of the range is half of pi in all; stretched, both are straight."""
    straight, bent = seen["straight"]["angles"], seen["bent"]["angles"]
    assert max(abs(straight["rh_FFJ1"]), abs(straight["rh_FFJ2"])) < 0.1
    assert min(bent["rh_FFJ1"], bent["rh_FFJ2"]) > 0.3
    assert bent["rh_FFJ1"] + bent["rh_FFJ2"] == pytest.approx(0.5 * np.pi, abs=0.1)
    others = [name for name in bent if name not in ("rh_FFJ1", "rh_FFJ2", "rh_FFJ3") and "J0" not in name]
    assert abs(sum(straight[f"rh_MFJ{j}"] - bent[f"rh_MFJ{j}"] for j in (1, 2))) < 0.1
    assert len(others) == 21


def test_joints_are_observed_in_the_references_order_and_sense(seen):
    for which in ("straight", "bent", "low", "high"):
        for name, angle in unscaled(seen, which).items():
            sign = -1.0 if name in NAMES.mirrored else 1.0
            assert angle == pytest.approx(sign * seen[which]["angles"][name], abs=1e-4), name


def test_actions_turn_mirrored_joints_the_references_way(seen):
    """The lowest action bends the thumb's tip fully: the reference's THJ0 reaches from -1.571 to 0."""
    assert unscaled(seen, "low")["rh_THJ1"] == pytest.approx(-1.571, abs=0.05)
    assert unscaled(seen, "high")["rh_THJ1"] == pytest.approx(0.262, abs=0.05)
    assert unscaled(seen, "high")["rh_FFJ4"] == pytest.approx(0.349, abs=0.05)
    assert seen["high"]["angles"]["rh_FFJ4"] == pytest.approx(-0.349, abs=0.05)


def test_fingertips_bend_with_the_tendon(seen):
    """The first fingertip is observed where the reference has it, and the tendon moves it."""
    tip = {which: np.array(seen[which]["observation"][WHERE["fingertip_state"]])[:3] for which in ("straight", "bent")}
    assert np.linalg.norm(tip["bent"] - tip["straight"]) > 0.015


def test_its_physics_behaves(seen):
    """The checks of ``cpo-lab doctor --task``: a pose is held, a finger follows, the cube stays in the hand."""
    assert seen["failed"] == []


def test_a_reset_leaves_the_motors_holding(seen):
    assert seen["reset"]["largest_move"] < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ovphysx", "newton_mjwarp"])
def test_the_allegro_hand_steps(root, tmp_path, engine):
    seen = seen_by(root, tmp_path, "allegro", engine)
    assert seen["file"] == str(root / ALLEGRO)
    assert seen["steps"]["finite"]
    assert seen["steps"]["shape"] == [4, 88]
    assert list(seen["limits"]) == list(JOINT_NAMES)
    # NVIDIA's configuration lets links collide with each other, and the stand-in's boxes overlap, which moves a finger
    assert set(seen["failed"]) <= {"pose held for 2 s, joint error"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cpo-lab", "isaaclab"])
def test_it_trains(root, tmp_path, launcher):
    task = ["--task", "CpoLab-Reorient-Cube-Shadow-Direct", "--num_envs", "12", "--device", "cpu"]
    if launcher == "cpo-lab":
        run(root, tmp_path, "-m", "cpo_lab.cli", "train", *task, "--iterations", "3", "presets=nucleus_assets")
        (metrics,) = (tmp_path / "logs/rsl_rl").glob("*/*/metrics.csv")
        rows = list(csv.DictReader(metrics.open()))
        assert len(rows) == 3
        assert all(np.isfinite(float(row["Loss/value"])) for row in rows)
    else:
        words = ["train", "--rl_library", "rsl_rl", *task, "--max_iterations", "2", "agent.device=cpu"]
        run(root, tmp_path, "-m", "isaaclab", *words, "presets=nucleus_assets")
        assert list((tmp_path / "logs/rsl_rl").glob("*/*/model_*.pt"))

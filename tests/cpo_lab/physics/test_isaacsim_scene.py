# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What Isaac Sim's PhysX is given is what PhysX without it is given: every prim of every task's scene.

Isaac Sim is not needed: the scene is written by the same spawners into a stage of OpenUSD, and no engine starts.
"""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import pytest
from tests.processes import run_python

import cpo_lab.tasks  # noqa: F401

ROOT = Path(__file__).parents[3]
TASKS = sorted(name for name in gymnasium.registry if name.startswith("CpoLab-"))


@pytest.fixture(scope="module")
def prims(tmp_path_factory):
    """Engine's settings and prims by task and engine."""
    output = tmp_path_factory.mktemp("prims") / "prims.json"
    run_python("-m", "tests.cpo_lab.physics.scene_prims", output, "ovphysx", "isaacsim_physx", cwd=ROOT)
    return json.loads(output.read_text())


@pytest.mark.long
@pytest.mark.parametrize("task", TASKS)
def test_both_presets_write_the_same_prims(prims, task):
    (engine, ours), (other, theirs) = prims[task]["ovphysx"], prims[task]["isaacsim_physx"]
    assert (engine, other) == ("OvPhysxCfg", "PhysxCfg")
    assert set(ours) == set(theirs)
    assert {path: (ours[path], theirs[path]) for path in ours if ours[path] != theirs[path]} == {}
    kinds = {schema for _, schemas, _, _ in ours.values() for schema in schemas}
    assert {"PhysicsRigidBodyAPI", "PhysicsCollisionAPI"} <= kinds, "nothing with physics was written"
    assert len(ours) > 20

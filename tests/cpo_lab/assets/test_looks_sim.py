# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A dressed scene steps to the same bits as a bare one, and is drawn with its looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DIGEST = Path(__file__).parents[1] / "tasks" / "digest.py"


def digest(task: str, engine: str, dressed: bool) -> list[str]:
    environment = {**os.environ, "DIGEST_STEPS": "40", "DIGEST_DRESSED": str(int(dressed))}
    run = subprocess.run(
        [sys.executable, str(DIGEST), task, engine, "7"], env=environment, capture_output=True, text=True, timeout=900
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return [line for line in run.stdout.splitlines() if line.startswith(("digest", "meshes"))]


SHADOW, ALLEGRO = "CpoLab-Reorient-Cube-Shadow-Direct", "CpoLab-Reorient-Cube-Allegro-Direct"
THROW, TWO_ARMS = "CpoLab-Throw-KukaAllegro-Direct", "CpoLab-Reorient-DualKukaAllegro-Direct"


@pytest.mark.sim
@pytest.mark.parametrize(
    ("task", "engine"),
    [
        pytest.param(SHADOW, "ovphysx", marks=pytest.mark.long),
        *(pytest.param(task, "ovphysx", marks=pytest.mark.slow) for task in (ALLEGRO, THROW, TWO_ARMS)),
        *(pytest.param(task, "newton_mjwarp_cpu", marks=pytest.mark.slow) for task in (SHADOW, ALLEGRO, THROW)),
    ],
)
def test_looks_change_no_bit_of_the_physics(task, engine):
    bare, dressed = digest(task, engine, False), digest(task, engine, True)
    assert bare[0] == "meshes 0"
    assert int(dressed[0].removeprefix("meshes ")) > 20
    assert len(bare) == 3
    assert bare[1:] == dressed[1:]

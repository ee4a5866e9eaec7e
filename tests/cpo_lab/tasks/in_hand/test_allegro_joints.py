# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Friction of joints and contact between fingers of the Allegro Hand, in the real engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.processes import run_python

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]

ENGINES = ["ovphysx", pytest.param("newton_mjwarp", marks=pytest.mark.slow)]


@pytest.mark.parametrize("engine", ENGINES)
def test_joints_are_braked_and_fingers_meet(engine, tmp_path):
    """0.01 N m brake 1.1 g m^2 (armature 1, finger 0.127 less what the free joints behind give) by 9 rad/s^2.

    Bent fingers that are told to cross stop at each other; without self-collision they cross.
    """
    seen = []
    for touch in ("true", "false"):
        output = tmp_path / f"{touch}.json"
        run_python(Path(__file__).with_name("joint_checks.py"), engine, touch, output, timeout=800)
        seen.append(json.loads(output.read_text()))
    for each in seen:
        braking = (each["speeds"][0] - each["speeds"][9]) / (9 / 120)
        assert braking == pytest.approx(9.0, rel=0.1)
    stopped, crossed = (each["angle"] for each in seen)
    assert crossed == pytest.approx(1.1, abs=0.05)
    assert stopped < 0.8

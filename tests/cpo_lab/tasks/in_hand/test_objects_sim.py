# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The egg and the pen in the Shadow Hand, in the real engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.processes import run_python

from cpo_lab.assets import hand_objects

pytestmark = [pytest.mark.sim, pytest.mark.timeout(900)]


@pytest.mark.parametrize("shape", ["egg", "pen"])
@pytest.mark.parametrize("engine", ["ovphysx", pytest.param("newton_mjwarp", marks=pytest.mark.slow)])
def test_object(shape, engine, tmp_path):
    output = tmp_path / "seen.json"
    run_python(Path(__file__).with_name("object_checks.py"), shape, engine, output, timeout=800)
    seen = json.loads(output.read_text())
    assert seen["finite"]
    mass = hand_objects.egg_mass() if shape == "egg" else hand_objects.pen_mass()
    assert seen["mass"] == pytest.approx(mass, rel=1e-5)
    assert seen["tolerance"] == pytest.approx(0.2 if shape == "pen" else 0.1)
    if shape == "egg":
        assert sorted(seen["inertia"]) == pytest.approx(sorted(hand_objects.egg_inertia()), rel=1e-3)
    # half a second after the start it has fallen onto the hand and is still held up by it
    assert 0.45 < seen["heights"][-1] < 0.62

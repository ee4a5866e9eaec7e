# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Cameras by name and by points."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from cpo_lab.viewing.camera import NAMES, Camera, camera_of, read_camera
from cpo_rl.errors import UserError

CFG = SimpleNamespace(camera_eye=(0.0, -2.0, 1.0), camera_lookat=(0.0, 0.0, 1.0), scene=SimpleNamespace())


def test_points_are_taken_as_they_are():
    camera = read_camera("1,-2,3.5,0,0,.5")
    assert camera == Camera((1.0, -2.0, 3.5), (0.0, 0.0, 0.5))
    assert camera_of(CFG, camera) is camera


@pytest.mark.parametrize("text", ["", "near", "1,2,3", "1,2,3,4,5,6,7", "1,2,3,4,5,nan", "1,2,3,4,5,x", "0,0,1,0,0,1"])
def test_what_is_no_camera_is_refused_in_one_sentence(text):
    with pytest.raises(UserError, match="--camera"):
        read_camera(text)


def test_named_cameras_look_at_the_same_from_the_same_distance():
    cameras = {name: camera_of(CFG, read_camera(name)) for name in NAMES}
    assert cameras["close"] == Camera((0.0, -2.0, 1.0), (0.0, 0.0, 1.0))
    for camera in cameras.values():
        assert camera.target == (0.0, 0.0, 1.0)
        assert math.isclose(camera.distance, 2.0, rel_tol=0.02)
    assert cameras["top"].eye[2] > 2.9
    assert cameras["side"].eye[0] > 1.9


def test_a_task_that_says_nothing_is_seen_from_above_its_object():
    cfg = SimpleNamespace(
        scene=SimpleNamespace(object=SimpleNamespace(init_state=SimpleNamespace(pos=(0.1, 0.2, 0.3))))
    )
    camera = camera_of(cfg, "close")
    assert camera.target == (0.1, 0.2, 0.3)
    assert camera.eye[2] > 0.3

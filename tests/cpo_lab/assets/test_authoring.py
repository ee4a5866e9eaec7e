# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from tests.cpo_lab.assets.kinematics import matrix, turn

from cpo_lab.assets.authoring import write_robot
from cpo_lab.assets.robot_table import FixedTendon, Joint, Link, Robot, Shape, capsule, quat_from_rpy


def link(name: str, parent: str | None, **fields) -> Link:
    return Link(name, parent, mass=1.0, inertia=(1.0, 1.0, 1.0), **fields)


BASE, ARM = link("base", None), link("arm", "base", shapes=(capsule(0.01, 0.05),))
HINGE = Joint("hinge", "arm", axis=(0.0, 0.0, 1.0), lower=-1.0, upper=1.0)
ROBOT = Robot("toy", (BASE, ARM), (HINGE,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"links": (BASE, BASE)}, "'base' appears twice"),
        ({"links": (BASE, link("arm", "nowhere"))}, "parent 'nowhere'"),
        ({"links": (BASE, dataclasses.replace(ARM, mass=0.0))}, "'arm' needs a positive mass"),
        ({"joints": ()}, "exactly one joint"),
        ({"joints": (dataclasses.replace(HINGE, lower=2.0),)}, "'hinge' needs lower < upper"),
        ({"joints": (dataclasses.replace(HINGE, axis=(1.0, 1.0, 0.0)),)}, "must have length 1"),
        ({"tendons": (FixedTendon("t", "hinge", (("other", 1.0),), -1.0, 1.0),)}, "unknown joint 'other'"),
        ({"collision_pairs": (("arm", "leg"),)}, "unknown link"),
    ],
)
def test_a_wrong_table_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ROBOT, **change)


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="2 positive numbers"):
        Shape("capsule", (0.01, 0.0))
    with pytest.raises(ValueError, match="'cone'"):
        Shape("cone", (1.0,))


def test_rpy_is_fixed_axis_xyz():
    roll, pitch, yaw = 0.3, -0.7, 1.9
    wanted = turn((0, 0, 1), yaw) @ turn((0, 1, 0), pitch) @ turn((1, 0, 0), roll)
    np.testing.assert_allclose(matrix(quat_from_rpy(roll, pitch, yaw)), wanted, atol=1e-12)
    assert quat_from_rpy(0.0, 0.0, math.pi) == pytest.approx((0.0, 0.0, 1.0, 0.0), abs=1e-12)


def test_a_free_robot_has_no_weld_and_weight(tmp_path):
    from pxr import Usd, UsdPhysics

    write_robot(dataclasses.replace(ROBOT, fixed_base=False, disable_gravity=False), tmp_path / "toy.usda")
    stage = Usd.Stage.Open(str(tmp_path / "toy.usda"))
    assert not stage.GetPrimAtPath("/robot/root_joint")
    assert not stage.GetPrimAtPath("/robot/arm").GetAttribute("mjc:gravcomp")
    # PhysX would take another link for the root of a tree if none were marked
    assert stage.GetPrimAtPath("/robot/base").HasAPI(UsdPhysics.ArticulationRootAPI)
    assert not stage.GetPrimAtPath("/robot").HasAPI(UsdPhysics.ArticulationRootAPI)
    assert stage.GetPrimAtPath("/robot/arm").GetAttribute("physxRigidBody:disableGravity").Get() is False

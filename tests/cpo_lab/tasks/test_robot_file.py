# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A robot's file is checked against the task's names before anything starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("pxr")
pytest.importorskip("isaaclab")
from cpo_lab.assets.shadow_hand import shadow_hand_usd
from cpo_lab.assets.shadow_hand_table import ALL_JOINTS, FINGERTIPS
from cpo_lab.tasks.robot_file import check_robot, names_in
from cpo_rl.errors import UserError


def robot(path: str, positions=(".*",), expressions=(".*",), variants=None) -> SimpleNamespace:
    return SimpleNamespace(
        spawn=SimpleNamespace(usd_path=path, variants=variants),
        init_state=SimpleNamespace(joint_pos=dict.fromkeys(positions, 0.0)),
        actuators={"fingers": SimpleNamespace(joint_names_expr=list(expressions))},
    )


@pytest.fixture
def varied(tmp_path):
    """A file with one link, whose joints stand in a variant."""
    from pxr import Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.CreateNew(str(tmp_path / "varied.usda"))
    root = UsdGeom.Xform.Define(stage, "/robot").GetPrim()
    stage.SetDefaultPrim(root)
    UsdPhysics.RigidBodyAPI.Apply(UsdGeom.Xform.Define(stage, "/robot/tip").GetPrim())
    variants = root.GetVariantSets().AddVariantSet("Physics")
    for name, joint in (("none", None), ("hinge", "bend"), ("slide", "push")):
        variants.AddVariant(name)
        variants.SetVariantSelection(name)
        with variants.GetVariantEditContext():
            if joint:
                kind = UsdPhysics.RevoluteJoint if name == "hinge" else UsdPhysics.PrismaticJoint
                kind.Define(stage, f"/robot/{joint}")
                UsdPhysics.FixedJoint.Define(stage, "/robot/weld")
    variants.SetVariantSelection("none")
    stage.GetRootLayer().Save()
    return str(tmp_path / "varied.usda")


def test_our_own_hand_has_its_names():
    path = shadow_hand_usd()
    joints, links = names_in(path, None)
    assert sorted(joints) == sorted(ALL_JOINTS)
    assert len(links) == 25
    check_robot("env.scene.robot", robot(path), ALL_JOINTS, FINGERTIPS)


def test_missing_joints_and_links_are_named_with_those_there_are():
    path = shadow_hand_usd()
    with pytest.raises(UserError, match=r"^env\.scene\.robot\.spawn\.usd_path=.* has no joint named A, B; .* WRJ1, "):
        check_robot("env.scene.robot", robot(path), ["A", "WRJ1", "B"], [])
    with pytest.raises(UserError, match=r"no link named tip; rename its links, which are forearm, "):
        check_robot("env.scene.robot", robot(path), [], ["tip"])


@pytest.mark.parametrize(
    ("change", "field"),
    [({"positions": ("FFJ.", "XXJ.*")}, "init_state.joint_pos"), ({"expressions": ("XXJ.*",)}, "actuators.fingers")],
)
def test_a_configuration_that_names_other_joints(change, field):
    with pytest.raises(UserError, match=rf"env\.scene\.robot\.{field}.* names joint 'XXJ\.\*'"):
        check_robot("env.scene.robot", robot(shadow_hand_usd(), **change), [], [])


def test_the_selected_variant_decides(varied):
    assert names_in(varied, None) == ([], ["tip"])
    assert names_in(varied, {"Physics": "hinge", "Colour": "red"}) == (["bend"], ["tip"])
    assert names_in(varied, {"Physics": "slide"}) == (["push"], ["tip"])
    with pytest.raises(UserError, match="no joint named bend; rename its joints, which are push"):
        check_robot("env.scene.robot", robot(varied, variants={"Physics": "slide"}), ["bend"], [])


def test_files_that_are_no_robots(tmp_path):
    (tmp_path / "text.usda").write_text("not a stage")
    with pytest.raises(UserError, match="cannot be read as a USD file"):
        check_robot("env.scene.robot", robot(str(tmp_path / "text.usda")), [], [])
    (tmp_path / "empty.usda").write_text("#usda 1.0\n")
    with pytest.raises(UserError, match="no default prim"):
        check_robot("env.scene.robot", robot(str(tmp_path / "empty.usda")), [], [])


def test_what_cannot_be_read_here_is_left_to_the_environment():
    for path in ("", "https://host.example/hand.usd"):
        check_robot("env.scene.robot", robot(path), ["anything"], [])


@pytest.mark.parametrize(
    ("task", "setting", "told"),
    [
        ("Reorient-Cube-Shadow", "env.scene.robot.spawn.usd_path=/no/hand.usd", "no such file"),
        ("Reorient-Cube-Shadow", "env.object_shape=brick", "object_shape='brick' must be"),
        ("Reorient-Cube-Allegro", "env.scene.robot.spawn.usd_path=/no/hand.usd", "no such file"),
        ("Throw-KukaAllegro", "env.object_set=spheres", "object_set='spheres' must be"),
        ("Throw-KukaAllegro", "presets=nucleus_assets", "not offered for this task"),
        (
            "Regrasp-DualKukaAllegro",
            "env.scene.robot_2.spawn.usd_path=/no/arm.usd",
            r"env\.scene\.robot_2\..*no such file",
        ),
    ],
)
def test_the_environment_checks_by_itself_for_other_launchers(task, setting, told):
    import gymnasium
    from isaaclab_tasks.utils import resolve_task_config

    import cpo_lab.tasks  # noqa: F401

    cfg, _ = resolve_task_config(f"CpoLab-{task}-Direct", None, overrides=["physics=ovphysx", setting])
    with pytest.raises(UserError, match=told):
        gymnasium.make(f"CpoLab-{task}-Direct", cfg=cfg)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Class paths of version 0.1.0 lead to the classes of today, or end in a sentence that says where they went."""

from __future__ import annotations

import importlib
import re

import pytest

pytest.importorskip("isaaclab")
import cpo_lab.tasks
from cpo_lab.tasks.moved import MOVED, install

NAMES_OF_0_1_0 = {
    "allegro_hand.agents.rsl_rl_cfg": ["ALGORITHM", "cpo", "sapg", "ppo", "stock_ppo"],
    "allegro_hand.allegro_hand_env": ["AllegroHandEnv"],
    "allegro_hand.allegro_hand_env_cfg": [
        "AllegroHandNamesCfg", "AllegroHandRobotCfg", "AllegroHandSceneCfg", "AllegroHandEnvCfg",
    ],
    "allegro_hand.layout": ["ALLEGRO_OBSERVATIONS"],
    "allegro_kuka.agents.rsl_rl_cfg": [
        "MODEL", "ALGORITHM", "TASKS", "regrasp_cpo", "reorient_sapg", "throw_ppo", "dual_regrasp_cpo",
    ],
    "allegro_kuka.allegro_kuka_env": ["AllegroKukaEnv", "ROBOTS"],
    "allegro_kuka.allegro_kuka_env_cfg": [
        "ArmPhysicsCfg", "TwoArmsPhysicsCfg", "KukaSceneCfg", "ThrowSceneCfg", "TwoArmsSceneCfg", "AllegroKukaEnvCfg",
        "ReorientKukaEnvCfg", "RegraspKukaEnvCfg", "ThrowKukaEnvCfg", "ReorientDualKukaEnvCfg", "RegraspDualKukaEnvCfg",
    ],
    "allegro_kuka.arm": ["Arm"],
    "allegro_kuka.layout": ["kuka_observations", "all_layouts", "KEYPOINTS", "REWARD_TERMS"],
    "allegro_kuka.rules": ["lifting", "near_goal", "dones", "UNTOUCHED"],
    "common.goal_marker": ["GoalMarker"],
    "common.joints": ["indices_of"],
    "common.layout": ["ObservationTerm", "layout_size", "layout_slices", "assemble", "markdown_table"],
    "common.physical_checks": ["PhysicalCheck", "physical_checks"],
    "common.reorient": ["scale", "unscale", "ReorientRules", "reorient_reward", "random_goal_rotation"],
    "common.robot_file": ["check_robot", "names_in"],
    "common.rotations": ["rotate", "uniform_rotation"],
    "shadow_hand.agents.rsl_rl_cfg": ["ALGORITHM", "cpo", "sapg", "ppo", "stock_ppo"],
    "shadow_hand.hand_map": ["HandMap", "joint_frames"],
    "shadow_hand.hand_names": ["HandNamesCfg", "NucleusShadowHandNamesCfg", "ShadowHandNamesCfg"],
    "shadow_hand.layout": ["SHADOW_OBSERVATIONS"],
    "shadow_hand.shadow_hand_env": ["ShadowHandEnv"],
    "shadow_hand.shadow_hand_env_cfg": ["ShadowHandRobotCfg", "ShadowHandSceneCfg", "ShadowHandEnvCfg"],
}  # fmt: skip
"""What a run folder, a page or a task of one's own could name, by module of version 0.1.0."""

pytestmark = pytest.mark.filterwarnings("ignore:cpo_lab.tasks:DeprecationWarning")


@pytest.mark.parametrize("module", NAMES_OF_0_1_0)
def test_old_names_are_found(module):
    old = importlib.import_module(f"cpo_lab.tasks.{module}")
    for name in NAMES_OF_0_1_0[module]:
        assert getattr(old, name) is not None


def test_a_class_is_the_same_under_both_names():
    from cpo_lab.tasks.in_hand.shadow import ShadowHandEnvCfg as Now
    from cpo_lab.tasks.shadow_hand.shadow_hand_env_cfg import ShadowHandEnvCfg as Then

    assert Then is Now


def test_the_names_of_our_hand_are_still_those_of_the_shadow_hand():
    from cpo_lab.assets.shadow_hand_table import ALL_JOINTS
    from cpo_lab.tasks.shadow_hand.hand_names import HandNamesCfg

    assert HandNamesCfg().joints == ALL_JOINTS


def test_a_name_that_is_gone_says_where_its_module_went():
    old = importlib.import_module("cpo_lab.tasks.shadow_hand.agents.rsl_rl_cfg")
    told = "shadow_hand.agents.rsl_rl_cfg is now cpo_lab.tasks.in_hand.shadow and cpo_lab.tasks.in_hand.agents"
    with pytest.raises(AttributeError, match=re.escape(told)):
        old.hand_runner_cfg  # noqa: B018


def test_every_entry_leads_to_modules_that_exist():
    for now in {name for names in MOVED.values() for name in names}:
        importlib.import_module(f"cpo_lab.tasks.{now}")
    assert set(NAMES_OF_0_1_0) <= set(MOVED)
    packages = {name.rpartition(".")[0] for name in MOVED} - {""}
    assert all(MOVED[package] == () for package in packages)


def test_other_names_stay_unknown_and_nothing_is_installed_twice():
    import sys

    before = len(sys.meta_path)
    install()
    assert len(sys.meta_path) == before
    for name in ("nothing", "shadow_hand.nothing", "in_hand.nothing"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"cpo_lab.tasks.{name}")
    assert cpo_lab.tasks.AGENTS

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every task has a page in docs/tasks with its id, its picture and the observation table that the environment uses."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import gymnasium
import pytest

pytest.importorskip("isaaclab")
import cpo_lab.tasks  # noqa: F401  registers the ids
from cpo_lab.tasks.arms.layout import REWARD_TERMS, kuka_observations
from cpo_lab.tasks.franka.push import PUSH_OBSERVATIONS
from cpo_lab.tasks.franka.push_rules import PushRules
from cpo_lab.tasks.franka.stack import STACK_OBSERVATIONS
from cpo_lab.tasks.franka.stack_rules import StackRules
from cpo_lab.tasks.in_hand.allegro import ALLEGRO_OBSERVATIONS
from cpo_lab.tasks.in_hand.rules import ReorientRules
from cpo_lab.tasks.layout import layout_size, markdown_table
from cpo_lab.tasks.legs.anymal import ANYMAL_OBSERVATIONS
from cpo_lab.tasks.legs.anymal_rules import WalkRules
from cpo_lab.tasks.legs.humanoid import HUMANOID_OBSERVATIONS
from cpo_lab.tasks.legs.humanoid_rules import RunRules

PAGES = Path(__file__).parents[3] / "docs" / "tasks"

TABLES = {
    "allegro_hand": ("CpoLab-Reorient-Cube-Allegro-Direct", ALLEGRO_OBSERVATIONS),
    "regrasp_kuka": ("CpoLab-Regrasp-KukaAllegro-Direct", kuka_observations(1, 1)),
    "reorient_kuka": ("CpoLab-Reorient-KukaAllegro-Direct", kuka_observations(1, 4)),
    "throw_kuka": ("CpoLab-Throw-KukaAllegro-Direct", kuka_observations(1, 1)),
    "regrasp_dual_kuka": ("CpoLab-Regrasp-DualKukaAllegro-Direct", kuka_observations(2, 1)),
    "anymal": ("CpoLab-Anymal-Direct", ANYMAL_OBSERVATIONS),
    "humanoid": ("CpoLab-Humanoid-Direct", HUMANOID_OBSERVATIONS),
    "push_franka": ("CpoLab-Push-Franka-Direct", PUSH_OBSERVATIONS),
    "stack_franka": ("CpoLab-Stack-Franka-Direct", STACK_OBSERVATIONS),
    "reorient_dual_kuka": ("CpoLab-Reorient-DualKukaAllegro-Direct", kuka_observations(2, 4)),
}


@pytest.mark.parametrize("page", TABLES)
def test_page_has_the_tasks_id_size_and_table(page):
    task, layout = TABLES[page]
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert f"`{task}`" in text
    assert f"{layout_size(layout)} observations" in text
    assert markdown_table(layout) in text


def test_the_shadow_hands_page_has_the_rules_constants():
    text, rules = (PAGES / "shadow_hand.md").read_text(encoding="utf-8"), ReorientRules()
    reward = (
        f"r = {rules.distance_scale:g} d + {rules.rotation_scale:g} / (theta + {rules.rotation_epsilon:g}) "
        f"- {-rules.action_scale:g} sum(a^2) + {rules.success_bonus:g} [theta <= {rules.success_tolerance:g}]"
    )
    assert reward in text
    assert rules.fall_penalty == 0.0  # else the page must tell
    assert f"| success | &theta; &le; {rules.success_tolerance:g} rad | `env.success_tolerance` |" in text
    assert f"| fall (terminates) | d &ge; {rules.fall_distance:g} m | `env.fall_distance` |" in text


def test_anymals_page_has_the_rules_constants():
    text, rules = (PAGES / "anymal.md").read_text(encoding="utf-8"), WalkRules()
    reward = (
        f"r = max(0, {rules.velocity_scale:g} exp(-|e|^2 / {rules.tracking_variance:g}) + {rules.yaw_scale:g} "
        f"exp(-w^2 / {rules.tracking_variance:g}) - {-rules.torque_scale:g} sum(t^2))"
    )
    assert reward in text
    assert f"a force of more than {rules.contact_force:g} N on the base or a thigh | `env.contact_force` |" in text


def test_the_humanoids_page_has_the_rules_constants():
    text, rules = (PAGES / "humanoid.md").read_text(encoding="utf-8"), RunRules()
    first = (
        f"r = v + {rules.alive_reward:g} + {rules.up_reward:g} [up > {rules.up_limit:g}] + {rules.heading_reward:g} "
        f"min(1, heading / {rules.heading_limit:g}) - {-rules.action_scale:g} sum(a^2)"
    )
    share, rest = rules.limit_share, 1.0 - rules.limit_share
    second = (
        f"- {-rules.energy_scale:g} sum(|0.1 a q| e) "
        f"- {-rules.limit_scale:g} sum([|s| > {share:g}] (|s| - {share:g}) / {rest:g} e)"
    )
    assert first in text and second in text
    assert f"below {rules.fall_height:g} m the whole reward is {rules.fall_reward:g}" in text


def test_the_pages_of_frankas_tasks_have_the_rules_constants():
    text, push = (PAGES / "push_franka.md").read_text(encoding="utf-8"), PushRules()
    assert f"r = {push.near_reward:g} (1 - tanh({push.sharpness:g} d))" in text
    assert f"success  {push.success_reward:g} (300 - n)" in text
    assert f"else     {push.failure_reward:g} tanh({push.sharpness:g} d)" in text
    assert f"d below {push.success_distance:g} m | `env.success_distance` |" in text
    assert f"more than {push.lift_limit:g} m above the table | `env.lift_limit` |" in text
    text, stack = (PAGES / "stack_franka.md").read_text(encoding="utf-8"), StackRules()
    reward = f"r = {stack.reach_scale:g} max(1 - tanh({stack.sharpness:g} reach), align) + {stack.lift_scale:g} lifted"
    assert f"{reward} + {stack.align_scale:g} align" in text
    assert f"A success earns {stack.success_reward:g} instead" in text
    near = f"within {stack.stacked_distance:g} m of the middle of the other one, at its height within"
    assert (
        f"{near} {stack.stacked_distance:g} m, and the gripper is more than {stack.released_distance:g} m away" in text
    )


def test_settings_that_pages_name_exist():
    for page, (task, _) in {**TABLES, "shadow_hand": ("CpoLab-Reorient-Cube-Shadow-Direct", ())}.items():
        module, _, name = gymnasium.spec(task).kwargs["env_cfg_entry_point"].partition(":")
        known = set(getattr(importlib.import_module(module), name).__dataclass_fields__)
        for setting in re.findall(r"`env\.([a-z_]+)[`=]", (PAGES / f"{page}.md").read_text(encoding="utf-8")):
            denied = page == "allegro_hand" and setting in ("object_shape", "fingertip_wrench")
            assert (setting in known) != denied, f"{page}: env.{setting}"


def test_common_page_names_every_reward_term():
    text = (PAGES / "allegro_kuka.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in REWARD_TERMS)


def test_links_and_pictures_exist():
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"

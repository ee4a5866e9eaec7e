# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Every task has a page in docs/tasks with its id, its picture and the observation table that the environment uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cpo_lab.tasks.arms.layout import REWARD_TERMS, kuka_observations
from cpo_lab.tasks.in_hand.allegro import ALLEGRO_OBSERVATIONS
from cpo_lab.tasks.layout import layout_size, markdown_table

PAGES = Path(__file__).parents[3] / "docs" / "tasks"

TABLES = {
    "allegro_hand": ("CpoLab-Reorient-Cube-Allegro-Direct", ALLEGRO_OBSERVATIONS),
    "regrasp_kuka": ("CpoLab-Regrasp-KukaAllegro-Direct", kuka_observations(1, 1)),
    "reorient_kuka": ("CpoLab-Reorient-KukaAllegro-Direct", kuka_observations(1, 4)),
    "throw_kuka": ("CpoLab-Throw-KukaAllegro-Direct", kuka_observations(1, 1)),
    "regrasp_dual_kuka": ("CpoLab-Regrasp-DualKukaAllegro-Direct", kuka_observations(2, 1)),
    "reorient_dual_kuka": ("CpoLab-Reorient-DualKukaAllegro-Direct", kuka_observations(2, 4)),
}


@pytest.mark.parametrize("page", TABLES)
def test_page_has_the_tasks_id_size_and_table(page):
    task, layout = TABLES[page]
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    assert f"`{task}`" in text
    assert f"{layout_size(layout)} observations" in text
    assert markdown_table(layout) in text


def test_common_page_names_every_reward_term():
    text = (PAGES / "allegro_kuka.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in REWARD_TERMS)


def test_links_and_pictures_exist():
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"

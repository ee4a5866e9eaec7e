# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A checkpoint names the robot it was trained with."""

from __future__ import annotations

from types import SimpleNamespace

from cpo_lab.tasks.base_env import TaskEnv


def scene(robots, objects=()):
    def assets(paths):
        return {str(i): SimpleNamespace(cfg=SimpleNamespace(spawn=spawn)) for i, spawn in enumerate(paths)}

    return SimpleNamespace(scene=SimpleNamespace(articulations=assets(robots), rigid_objects=assets(objects)))


def usd(path):
    return SimpleNamespace(usd_path=str(path))


def fingerprint(robots, objects=()):
    return TaskEnv.checkpoint_fingerprint(scene(robots, objects))


def test_the_robot_is_named_without_the_hash_of_its_file(tmp_path):
    one, other = tmp_path / f"shadow_hand_{'a' * 16}.usda", tmp_path / f"shadow_hand_{'b' * 16}.usda"
    one.write_text("1")
    other.write_text("2")
    first, second = fingerprint([usd(one)]), fingerprint([usd(other)])
    assert first["robot"] == second["robot"] == "shadow_hand"
    assert first["assets"] != second["assets"]


def test_content_decides_not_the_place(tmp_path):
    (tmp_path / "x").mkdir()
    for place in (tmp_path / "hand.usda", tmp_path / "x" / "hand.usda"):
        place.write_text("same")
    assert fingerprint([usd(tmp_path / "hand.usda")]) == fingerprint([usd(tmp_path / "x" / "hand.usda")])


def test_objects_count_and_primitives_have_no_file(tmp_path):
    hand, cube = tmp_path / "hand.usda", tmp_path / "cube.usda"
    hand.write_text("h")
    cube.write_text("c")
    alone = fingerprint([usd(hand)])
    assert fingerprint([usd(hand)], [SimpleNamespace(size=1)]) == alone
    assert fingerprint([usd(hand)], [usd(cube)])["assets"] != alone["assets"]
    assert fingerprint([usd(hand), usd(tmp_path / "arm.usda")])["robot"] == "arm+hand"

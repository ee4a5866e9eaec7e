# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Policies that would meet different objects are told of, once, where the run is announced."""

from __future__ import annotations

import pytest

from cpo_lab.assets.cuboids import object_of_env
from cpo_lab.cli import main, train
from cpo_lab.launch.configuration import unequal_objects


class Objects:
    def __init__(self, count: int) -> None:
        self.count = count

    def num_shapes(self) -> int:
        return self.count


@pytest.mark.parametrize(
    ("shapes", "policies", "num_envs", "warned"),
    [(947, 6, 96, True), (16, 6, 96, False), (17, 6, 96, True), (947, 6, 24576, False), (947, 1, 96, False)],
)
def test_it_is_told_exactly_when_blocks_differ(shapes, policies, num_envs, warned):
    block = num_envs // policies
    dealt = object_of_env(num_envs, shapes).reshape(policies, block)
    if block < shapes and policies > 1:
        assert len({frozenset(row) for row in dealt.tolist()}) > 1
    else:
        assert len({frozenset(row) for row in dealt.tolist()}) == 1
    assert (unequal_objects(Objects(shapes), policies, num_envs) is not None) == warned


def test_the_way_out_works():
    told = unequal_objects(Objects(947), 6, 96)
    assert told.endswith("env.num_objects=16 gives all the same")
    assert unequal_objects(Objects(16), 6, 96) is None
    assert unequal_objects(object(), 6, 96) is None  # a task that deals out nothing


@pytest.mark.parametrize(("objects", "times"), [("env.num_objects=0", 1), ("env.num_objects=8", 0)])
def test_train_says_it_once(capsys, monkeypatch, tmp_path, objects, times):
    monkeypatch.setattr(train, "_train", lambda plan: 0)
    monkeypatch.chdir(tmp_path)
    task = ["--task", "CpoLab-Throw-KukaAllegro-Direct", "--device", "cpu", "--num_envs", "48"]
    assert main(["train", *task, objects]) == 0
    assert capsys.readouterr().out.count("policies see different ones") == times

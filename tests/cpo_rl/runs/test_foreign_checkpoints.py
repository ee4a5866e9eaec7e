# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A checkpoint whose content is wrong although its form and checksum are right loads, or is refused in a sentence."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoints import read_complete, write_checkpoint
from cpo_rl.runs.payload import from_bytes, to_bytes

WRONG: list[Any] = [
    None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "", "text", [], [1], {}, {"a": 1}, (1, 2),
    torch.zeros(0), torch.zeros(3), torch.zeros((), dtype=torch.int64), torch.full((2, 2), float("nan")),
    torch.zeros(4, dtype=torch.bool), torch.arange(6, dtype=torch.uint8),
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a nested value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return [place for key, item in items for place in [(*path, key), *places(item, (*path, key))]]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A nested value with another one at a path; without the entry for a new value of ``...``."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(value, dict):
        if not rest and new is ...:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: replaced(value[key], rest, new)}
    items = [item if i != key else replaced(item, rest, None if new is ... else new) for i, item in enumerate(value)]
    return type(value)(items)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_runner(ensemble_cfg("cpo", "lstm"), folder / "run").learn(2)
    data, manifest = read_complete(folder / "run/model_2.pt")
    return from_bytes(data), manifest


def continues(folder, payload, manifest) -> str | None:
    """Resume such a checkpoint and train an iteration; return the sentence that refused it, or None."""
    folder.mkdir()
    write_checkpoint(folder / "model_2.pt", to_bytes(payload), manifest)
    runner = make_runner(ensemble_cfg("cpo", "lstm"), folder)
    try:
        runner.resume()
    except UserError as error:
        return str(error)
    runner.learn(1)
    return None


def cases(payload, count, seed):
    draw, everywhere = random.Random(seed), places(payload)
    tops = [(place, value) for place in everywhere if len(place) <= 2 for value in (..., None, "text")]
    others = [(draw.choice(everywhere), draw.choice([..., *WRONG])) for _ in range(count)]
    return draw.sample(tops, min(len(tops), count)) + others


def check(tmp_path, original, count, seed):
    payload, manifest = original
    for number, (place, value) in enumerate(cases(payload, count, seed)):
        wrong = replaced(copy.deepcopy(payload), place, value)
        try:
            said = continues(tmp_path / str(number), wrong, replace(manifest))
        except Exception as error:
            raise AssertionError(f"{'.'.join(map(str, place))} = {value!r}") from error
        assert said is None or "checkpoint" in said


def test_any_entry_of_another_kind_is_refused_or_does_no_harm(tmp_path, original):
    check(tmp_path, original, 25, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_entries_of_other_kinds(tmp_path, original, seed):
    check(tmp_path, original, 100, seed)


def test_what_is_right_continues(tmp_path, original):
    assert continues(tmp_path / "run", *original) is None

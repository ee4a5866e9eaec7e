# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Which fields the JSON files of a run have, of which kind, and what becomes of one of another kind."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from cpo_rl.runs import records
from cpo_rl.runs.records import (
    LAUNCH_FIELDS,
    LAUNCHER_FIELDS,
    MANIFEST_FIELDS,
    new_manifest,
    read_fields,
    read_manifest,
)

RIGHT: dict[str, list[Any]] = {
    "text": ["", "x"],
    "whole": [0, -3, 2**63 - 1],
    "number": [0, 1.5, -2],
    "table": [{}, {"a": 1}],
    "list": [[], [1]],
    "texts": [[], ["a", ""]],
}
WRONG: dict[str, list[Any]] = {
    "text": [1, True, ["x"], {}, "\ud800"],
    "whole": [1.0, "1", True, 2**63, -(2**63), [1], {}],
    "number": ["1", False, 2**63, [], {}],
    "table": ["x", 1, []],
    "list": ["x", 1, {}],
    "texts": ["x", [1], ["a", None], {}, ["\udfff"]],
}
FIELDS = {
    "manifest.json": {
        **dict.fromkeys(["task", "algorithm", "device", "physics", "config_hash", "git_commit"], "text"),
        **dict.fromkeys(["status", "error", "created", "updated"], "text"),
        **dict.fromkeys(["seed", "num_envs", "num_policies", "world_size", "pid"], "whole"),
        **dict.fromkeys(["max_iterations", "iteration", "env_steps"], "whole"),
        **dict.fromkeys(["versions", "hardware", "last", "best", "ancestor"], "table"),
        "wall_clock_s": "number",
        "history": "list",
    },
    "run.json": {"task": "text", "created_at": "text", "metadata": "table"},
    "launch.json": {
        **dict.fromkeys(["task", "agent", "device", "physics"], "text"),
        **dict.fromkeys(["num_envs", "num_policies", "seed", "iterations"], "whole"),
        "overrides": "texts",
    },
}
KINDS = {"manifest.json": MANIFEST_FIELDS, "run.json": LAUNCHER_FIELDS, "launch.json": LAUNCH_FIELDS}


def read(folder: Path, name: str, content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What is read of a file, and what is said about it."""
    problems: list[str] = []
    (folder / name).write_text(json.dumps({"format": 1, **content}))
    if name == "manifest.json":
        return read_manifest(folder / name, problems), problems
    return read_fields(folder / name, KINDS[name], problems), problems


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in FIELDS for field in FIELDS[name]])
def test_a_field_is_read_if_it_is_of_its_kind_and_told_otherwise(tmp_path, name, field):
    kind = FIELDS[name][field]
    for value in RIGHT[kind]:
        found, problems = read(tmp_path, name, {field: value})
        assert found[field] == value and problems == []
    for value in WRONG[kind]:
        found, problems = read(tmp_path, name, {field: value})
        assert field not in found and problems == [f"{name} is damaged (field {field})."]
    found, problems = read(tmp_path, name, {field: None})
    assert found.get(field) is None and problems == []


@pytest.mark.parametrize("name", FIELDS)
def test_no_other_fields_are_judged(tmp_path, name):
    assert set(FIELDS[name]) <= set(KINDS[name])
    found, problems = read(tmp_path, name, {"own": 1, "task": "x"})
    assert problems == []
    assert ("own" in found) == (name == "manifest.json") and ("format" in found) == (name == "manifest.json")


def test_several_damaged_fields_are_named_together(tmp_path):
    _, problems = read(tmp_path, "launch.json", {"task": 1, "seed": "x", "agent": "cpo"})
    assert problems == ["launch.json is damaged (field task, seed)."]


@pytest.mark.parametrize("version", [None, "1", True, 1.0, 2**70, 99])
def test_a_manifest_without_a_known_format_is_none(tmp_path, version):
    problems: list[str] = []
    (tmp_path / "manifest.json").write_text(json.dumps({"format": version, "task": "x"}))
    assert read_manifest(tmp_path / "manifest.json", problems) == {}
    newer = f"manifest.json has format 99; this version reads up to {records.RUN_FORMAT}, update it."
    assert problems == [newer if version == 99 else "manifest.json is damaged (it has no format)."]


def test_a_file_that_is_missing_is_no_problem_and_one_that_is_damaged_is(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "odd.json").write_text("{")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "list.json").write_text("[]")
    problems: list[str] = []
    for missing in ("manifest.json", "file/manifest.json"):
        assert read_manifest(tmp_path / missing, problems) == {} == read_fields(tmp_path / missing, {}, problems)
    assert problems == []
    for number, name in enumerate(("odd.json", "folder.json", "list.json"), start=1):
        assert read_manifest(tmp_path / name, problems) == {}
        assert len(problems) == number and problems[-1].startswith(f"{name} is damaged (")


def test_numbers_are_finite(tmp_path):
    for value in (math.nan, math.inf, -math.inf):
        assert not records.is_number(value)
        assert read(tmp_path, "manifest.json", {"wall_clock_s": value})[0]["wall_clock_s"] is None


def test_a_new_manifest_holds_what_is_known_and_marks_what_is_not():
    made = new_manifest(task="T", seed=3, own=4)
    told = {key: made.pop(key) for key in ("versions", "hardware", "git_commit", "created", "updated")}
    assert isinstance(told["versions"], dict) and isinstance(told["hardware"], dict)
    assert told["created"][:2] == told["updated"][:2] == "20"
    assert made == {
        "format": records.RUN_FORMAT, "task": "T", "algorithm": None, "seed": 3, "num_envs": None, "device": None,
        "physics": None, "config_hash": None, "status": "running", "iteration": 0, "env_steps": 0, "pid": os.getpid(),
        "history": [], "own": 4,
    }  # fmt: skip

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""YAML of a run folder, which anybody may have written."""

from __future__ import annotations

import pytest

from cpo_rl.runs.configs import MAX_KEYS, read_config, read_yaml
from cpo_rl.runs.folder import RunFolder

HOSTILE = """\
callable: !!python/object/apply:os.system ["touch {marker}"]
name: !!python/name:os.system ''
module: !!python/module:os ''
new: !!python/object/new:os.system ["touch {marker}"]
object: !!python/object:cpo_rl.errors.UserError {{args: [1]}}
own: !anything {{a: 1}}
foreign: !<tag:example.com,2026:thing> text
shape: !!python/tuple [1, 2]
"""


def test_every_unknown_tag_is_plain_data_and_nothing_runs(tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "agent.yaml").write_text(HOSTILE.format(marker=marker))
    assert read_yaml(tmp_path / "agent.yaml") == {
        "callable": [f"touch {marker}"],
        "name": "",
        "module": "",
        "new": [f"touch {marker}"],
        "object": {"args": [1]},
        "own": {"a": 1},
        "foreign": "text",
        "shape": [1, 2],
    }
    assert not marker.exists()


DAMAGED = {
    "empty": "",
    "list": "- 1",
    "half": "a: [1, ",
    "tabs": "a:\n\t- b",
    "key": "? [a]\n: b",
    "deep": "a: " + "[" * 20_000,
    "bytes": b"\xff\xfe{",
    "references": "\n".join(["x0: &x0 {a: 1, b: 2}", *(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]" for i in range(1, 60))]),
    "merges": "\n".join(
        ["x0: &x0 {a: 1, b: 2}", *(f"x{i}: &x{i} {{<<: [*x{i - 1}, *x{i - 1}]}}" for i in range(1, 60))]
    ),
    "deep lists": "- " * 100_000,
    "deep keys": "a: " + "{b: " * 20_000,
    "itself": "a: &a [*a]",
    "long": "a: 1\n" * 3_000_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_a_value_error_and_a_sentence_in_a_run(tmp_path, content):
    (tmp_path / "params").mkdir()
    for part in ("agent", "env"):
        (tmp_path / f"params/{part}.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError):
        read_yaml(tmp_path / "params/agent.yaml")
    run = RunFolder.read(tmp_path)
    assert (run.settings, run.env_settings) == ({}, {})
    assert [problem.split(" is damaged")[0] for problem in run.problems] == ["params/agent.yaml", "params/env.yaml"]
    problems: list[str] = []
    assert read_config(tmp_path, problems) is None and len(problems) == 2


def test_references_that_unfold_to_too_much_are_damage(tmp_path):
    (tmp_path / "params").mkdir()
    (tmp_path / "params/env.yaml").write_text("a: 1\n")
    lines = ["x0: &x0 {a: 1, b: 2}", *(f"x{i}: &x{i} {{a: *x{i - 1}, b: *x{i - 1}}}" for i in range(1, 40))]
    (tmp_path / "params/agent.yaml").write_text("\n".join(lines))
    problems: list[str] = []
    assert read_config(tmp_path, problems) is None
    assert problems == [f"params/agent.yaml is damaged (more than {MAX_KEYS} keys)."]
    (tmp_path / "params/agent.yaml").write_text("a: &a\n  b: [*a]\n")
    problems.clear()
    assert read_config(tmp_path, problems) is None
    assert len(problems) == 1

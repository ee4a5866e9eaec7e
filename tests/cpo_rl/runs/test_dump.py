# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What the finite guard leaves behind reads as text, and what is no dump is refused."""

from __future__ import annotations

import pytest
import torch

from cpo_rl.errors import UserError
from cpo_rl.runs.dump import describe, read_dump, sentence, write_dump

NAN, INF = float("nan"), float("inf")


def test_the_text_of_a_dump_line_by_line(tmp_path):
    nan, inf = NAN, INF
    report = {"tensor": "rewards", "step": 3, "env_ids": [2, 5]}
    states = {
        "rewards": torch.tensor([[nan, 1.0], [0.5, inf]]),
        "dones": torch.zeros(2, 1),
        "raw": torch.full((2,), nan),
    }
    facts = {
        "iteration": 7,
        "env_steps": 900,
        "task": "T",
        "algorithm": None,
        "seed": 1,
        "git_commit": "abc",
        "config": {"x": 1},
    }
    write_dump(tmp_path / "d.pt", report, states=states, parameters=["a.weight", "b"], **facts)
    assert describe(tmp_path / "d.pt").splitlines() == [
        "The first number that was not finite was in the rewards of environments 2, 5 at step 3 of the rollout.",
        "  task         T",
        "  iteration    7",
        "  env_steps    900",
        "  seed         1",
        "  git_commit   abc",
        "Last states of environments 2, 5:",
        "  rewards                      shape [2, 2], finite entries from 0.5 to 1, "
        "2 not finite: [0, 0] = nan, [1, 1] = inf",
        "  dones                        shape [2, 1], finite entries from 0 to 0",
        "  raw                          shape [2], 2 not finite: [0] = nan, [1] = nan",
        "Parameters whose last gradient was not finite: a.weight, b.",
        "Configuration:",
        "  {",
        '    "x": 1',
        "  }",
    ]
    many = {"tensor": "x", "step": 0, "env_ids": list(range(40))}
    write_dump(tmp_path / "m.pt", many, states={"x": torch.full((10,), nan)})
    text = describe(tmp_path / "m.pt")
    assert text.count(" = nan") == 6
    assert text.endswith("[5] = nan, ...")
    assert read_dump(tmp_path / "m.pt")["state_env_ids"] == list(range(16))
    assert read_dump(tmp_path / "m.pt")["report"]["env_ids"] == list(range(40))


def test_sentences():
    report = {"tensor": "rewards", "step": None, "env_ids": []}
    assert sentence(report) == "The first number that was not finite was in the rewards during the update"
    many = {"tensor": "rewards", "step": 0, "env_ids": list(range(10))}
    assert sentence(many).endswith("of environments 0, 1, 2, 3, 4, 5, 6, 7 and 2 more at step 0 of the rollout")
    eight = {"tensor": "rewards", "step": 0, "env_ids": list(range(8))}
    assert sentence(eight).endswith("of environments 0, 1, 2, 3, 4, 5, 6, 7 at step 0 of the rollout")
    nine = {"tensor": "rewards", "step": 0, "env_ids": list(range(9))}
    assert "7 and 1 more" in sentence(nine)


def test_what_is_no_dump_is_refused(tmp_path):
    from cpo_rl.runs.payload import to_bytes

    with pytest.raises(UserError, match="cannot be read"):
        describe(tmp_path / "missing.pt")
    for name, content in (
        ("a.pt", b"x"),
        ("b.pt", to_bytes({"iter": 3})),
        ("c.pt", to_bytes({"dump_format": 99, "report": {}})),
        ("d.pt", to_bytes({"dump_format": 1, "report": 3})),
        ("e.pt", to_bytes({"dump_format": "1", "report": {}})),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            describe(tmp_path / name)

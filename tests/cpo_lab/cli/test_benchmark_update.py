# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``cpo-lab benchmark update``: refuses before it measures, and its tables fit a terminal."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from cpo_lab.cli import benchmark_update, main


def variant(scale: float, **phases: float) -> dict:
    return {
        "median_s": 1.2345 * scale, "min_s": 1.1 * scale, "max_s": 1.3 * scale, "ratio_to_ppo": scale, "rows": 393216,
        "gradient_steps": 20, "host_reads": 1, "rollout_bytes": 2**30, "memory_to_ppo": 1.05,
        "messages": 31, "message_bytes": 3 * 2**20, "largest_message_bytes": 2**20,
        "phases_s": {"targets": 0.1, "diagnostics": 0.0156, "policy": scale, **phases}, "peak_bytes": 2**31,
    }  # fmt: skip


RESULT = {
    "shape": "shadow", "num_envs": 24576, "horizon": 8, "repeats": 5, "processes": 1,
    "hardware": {"device": "NVIDIA H100 80GB HBM3", "machine": "x86_64", "threads": 16, "torch": "2.11.0+cu130"},
    "variants": {
        "ppo": variant(1.0),
        "cpo": variant(2.86, **{"diversity bonus": 0.03, "discriminator": 0.06}),
        "cpo_regulated": variant(2.0),
    },
}  # fmt: skip


def test_the_tables_fit_80_columns():
    console = Console(width=80, record=True)
    benchmark_update._show(console, RESULT)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for shown in ("1,234.5", "1100-1300", "393,216", "2.86", "1024.0", "3,530.7", "15.6", "60.0", "discriminator"):
        assert shown in text


def test_one_of_several_processes_tells_what_it_sends():
    console = Console(width=80, record=True)
    benchmark_update._show(console, {**RESULT, "processes": 8})
    text = console.export_text()
    assert "one of 8 processes" in text and "sent per update" in text
    assert ["ppo", "31", "3.00", "1.00"] in [line.split() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--output", "file/figures.json"], "--output"),
        (["--output", "folder"], "is a folder"),
        (["--shape", "hand"], "--shape"),
        (["--num_envs", "many"], "positive integer"),
        (["--num_envs", "13"], "num_envs=13"),
        (["--repeats", "0"], "--repeats"),
        (["--threads", "0"], "--threads"),
        (["--repeat", "3"], "did you mean --repeats?"),
        (["--rep", "3"], "Unknown option --rep"),
        (["--device", "tpu"], "--device"),
        (["env.x=1"], "env.x=1"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(capsys, monkeypatch, tmp_path, arguments, told):
    from cpo_rl import benchmark

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(benchmark, "time_update", lambda alg: pytest.fail("something was measured"))
    assert main(["benchmark", "update", *arguments]) == 2
    sentence = capsys.readouterr().err.strip()
    assert told in sentence
    assert "\n" not in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_figures_are_shown_and_written(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark_update, "_measure", lambda args, device, ranks: RESULT)
    file = tmp_path / "new" / "figures.json"
    assert main(["benchmark", "update", "--output", str(file)]) == 0
    assert json.loads(file.read_text()) == RESULT
    assert "cpo regulated" in capsys.readouterr().out

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The run folder: manifest, metrics table, diagnostics, listing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.errors import UserError
from cpo_rl.runs.find import find_runs
from cpo_rl.runs.folder import HEALTHS, RunFolder
from cpo_rl.runs.provenance import config_hash
from cpo_rl.runs.tables import JsonLines, MetricsTable, read_metrics


def test_create_then_open_gives_the_same_manifest(tmp_path):
    created = RunFolder.create(tmp_path / "run", task="T", algorithm="cpo", seed=3)
    assert RunFolder.open(tmp_path / "run").manifest == created.manifest
    assert created.manifest["status"] == "running" and created.manifest["versions"]["torch"]


def test_a_second_create_is_refused_in_a_sentence(tmp_path):
    RunFolder.create(tmp_path / "run")
    with pytest.raises(UserError, match="already holds a run"):
        RunFolder.create(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_place_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder.create(tmp_path / "run")


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        RunFolder.create(tmp_path / "file" / "run")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "one"}', '{"format": 99}'])
def test_open_refuses_what_is_no_manifest(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError):
        RunFolder.open(tmp_path)


def test_update_and_note_reach_the_disk(tmp_path):
    run = RunFolder.create(tmp_path / "run")
    run.update(iteration=5, status="finished")
    run.note("resumed", iteration=5)
    stored = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (stored["iteration"], stored["status"], stored["history"][0]["event"]) == (5, "finished", "resumed")
    with pytest.raises(ValueError, match="status"):
        run.update(status="happy")
    assert RunFolder.open(run.path).manifest["status"] == "finished"


def test_a_run_whose_process_is_gone_is_lost(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    run = RunFolder.create(tmp_path / "run", pid=int(gone.stdout))
    assert run.health() == "lost"
    run.update(pid=os.getpid())
    assert run.health() == "running"
    run.update(pid=int(gone.stdout), status="finished")
    assert run.health() == "finished"
    run.update(pid=int(gone.stdout), status="running", hardware={"host": "elsewhere"})
    assert run.health() == "running"


def test_find_runs_by_field_oldest_first_and_skips_broken_ones(tmp_path):
    for name, task, created in (("b", "T", "2026-01-02"), ("a", "T", "2026-01-03"), ("c", "U", "2026-01-01")):
        RunFolder.create(tmp_path / "exp" / name, task=task, created=created)
    (tmp_path / "exp" / "broken").mkdir()
    (tmp_path / "exp" / "broken" / "manifest.json").write_text("{")
    assert [run.path.name for run in find_runs(tmp_path)] == ["c", "b", "a"]
    assert [run.path.name for run in find_runs(tmp_path / "exp", task="T")] == ["b", "a"]
    assert [run.path.name for run in find_runs(tmp_path / "exp" / "a")] == ["a"]
    assert find_runs(tmp_path / "nowhere") == []


def test_metrics_round_trip_with_late_columns_and_gaps(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.append(1, 100, 0.5, {"Leader/return": 1.25})
    table.append(2, 200, 1.0, {"Leader/return": float("nan"), "Ensemble/kl_mean": float("inf")})
    MetricsTable(tmp_path / "metrics.csv").append(3, 300, 1.5, {"Ensemble/kl_mean": 1 / 3})
    columns = read_metrics(tmp_path / "metrics.csv")
    assert list(columns) == ["iteration", "env_steps", "wall_clock_s", "Leader/return", "Ensemble/kl_mean"]
    assert columns["iteration"] == [1, 2, 3] and columns["env_steps"] == [100, 200, 300]
    assert columns["Leader/return"][0] == 1.25 and math.isnan(columns["Leader/return"][1])
    assert math.isnan(columns["Ensemble/kl_mean"][0]) and columns["Ensemble/kl_mean"][1] == math.inf
    assert columns["Ensemble/kl_mean"][2] == pytest.approx(1 / 3, rel=1e-8)


def test_large_counters_are_exact(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.append(1, 20_000_000_001, 1.0, {})
    assert "20000000001" in (tmp_path / "metrics.csv").read_text()


def test_a_half_written_line_is_ignored_and_removed_on_continuation(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    for i in (1, 2, 3):
        table.append(i, i, i, {"x": i})
    with open(table.path, "a") as file:
        file.write("4,4,4")
    assert read_metrics(table.path)["iteration"] == [1, 2, 3]
    assert table.truncate_after(2) == 1
    table.append(3, 3, 3, {"x": 30})
    assert read_metrics(table.path)["x"] == [1, 2, 30]


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["a", 'b "q"', "c,d", "e/f"]), st.floats(width=32)), min_size=1, max_size=8
    ),
    keep=st.integers(0, 8),
)
def test_any_table_reads_back_and_truncates(tmp_path_factory, rows, keep):
    path = tmp_path_factory.mktemp("t") / "metrics.csv"
    for i, row in enumerate(rows, start=1):
        MetricsTable(path).append(i, i * 10, i * 0.5, row)
    MetricsTable(path).truncate_after(keep)
    columns = read_metrics(path)
    assert columns["iteration"] == list(range(1, min(keep, len(rows)) + 1))
    for i in range(min(keep, len(rows))):
        for name, value in rows[i].items():
            read = columns[name][i]
            assert (math.isnan(read) and math.isnan(value)) or read == pytest.approx(value, rel=1e-8)


def test_diagnostics_append_and_truncate(tmp_path):
    file = JsonLines(tmp_path / "diagnostics.jsonl")
    file.truncate_after(3)
    for i in (10, 20, 30):
        file.append(i, i * 5, {"kl_matrix": [[0.0, 1.0], [2.0, 0.0]]})
    with open(file.path, "a") as handle:
        handle.write('{"iteration": 4')
    file.truncate_after(20)
    read = [json.loads(line) for line in file.path.read_text().splitlines()]
    assert [entry["iteration"] for entry in read] == [10, 20] and read[0]["kl_matrix"][1] == [2.0, 0.0]


@pytest.mark.parametrize(
    "damage", [b"\0" * 50, b"\xff\xfe\n", b'"stray quote\n', b"\n\n", b"{}\n", b"[1]\n", b"9" * 9000 + b"\n"]
)
@pytest.mark.parametrize("place", ["middle", "end"])
def test_damaged_lines_cost_themselves_only_and_a_run_continues(tmp_path, damage, place):
    run = RunFolder.create(tmp_path / "run")
    table, lines = run.metrics(), run.diagnostics()

    def add(iteration: int) -> None:
        table.append(iteration, iteration * 10, 1.0, {"x": iteration})
        lines.append(iteration, iteration * 10, {"kl_matrix": [[0.0]]})

    for i in (1, 2):
        add(i)
    for file in (run.metrics_file, run.diagnostics_file):
        with file.open("ab") as stream:
            stream.write(damage if place == "end" else damage.rstrip(b"\n") + b"\n")
    if place == "middle":
        add(3)
    table, lines = run.metrics(), run.diagnostics()
    table.truncate_after(2)
    lines.truncate_after(2)
    add(3)
    assert read_metrics(run.metrics_file)["x"][-2:] == [2, 3]
    assert read_metrics(run.metrics_file)["iteration"].count(3) == 1
    assert [entry["iteration"] for entry in lines.read()] == [1, 2, 3]


def test_a_table_with_a_damaged_header_is_put_aside(tmp_path):
    (tmp_path / "metrics.csv").write_text("garbage\n1,2\n")
    table = MetricsTable(tmp_path / "metrics.csv")
    assert table.truncate_after(5) == 1
    table.append(6, 60, 1.0, {"x": 6})
    assert read_metrics(table.path)["x"] == [6]
    assert (tmp_path / "metrics.csv.damaged").read_text() == "garbage\n1,2\n"


WRONG = [None, True, 3, -1, 1e300, float("inf"), "text", "", [], [1], {}, {"host": 3}, 10**400]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_no_value_of_a_manifest_ends_a_reader(tmp_path, value):
    fields = dict.fromkeys(RunFolder.create(tmp_path / "run").manifest, value)
    for name in ("manifest.json", "run.json", "launch.json"):
        (tmp_path / "run" / name).write_text(
            json.dumps({**fields, "created_at": value, "metadata": value, "format": 1})
        )
    (tmp_path / "run/manifest.json").write_text(json.dumps({**fields, "last": {"x": value}, "format": 1}))
    (run,) = find_runs(tmp_path)
    assert run.health() in HEALTHS
    assert isinstance(run.iteration, int)
    assert run.number("last", "x") is None or isinstance(run.number("last", "x"), (int, float))
    assert [type(thing) for thing in (run.launch, run.settings, run.problems)] == [dict, dict, list]
    assert all(thing is None or isinstance(thing, str) for thing in (run.task, run.agent, run.algorithm))
    assert run.seed is None or isinstance(run.seed, int)
    assert run.started is None or run.started.tzinfo


def test_config_hash_ignores_key_order_only():
    assert config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_reading_runs_imports_little():
    modules = "cpo_rl.runs.folder, cpo_rl.runs.checkpoints, cpo_rl.runs.find"
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'numpy', 'yaml'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

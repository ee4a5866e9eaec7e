# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Run folders in every state of completeness."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.cpo_lab.report.synthetic_runs import TASK, write_run

from cpo_lab.report.reading import read_run
from cpo_rl.errors import UserError
from cpo_rl.runs.curves import MAX_SNAPSHOTS
from cpo_rl.runs.find import named_runs


def test_complete_run_has_no_problem(tmp_path):
    run = read_run(write_run(tmp_path, "cpo", 3))
    assert run.problems == []
    assert (run.task, run.algorithm, run.seed, run.num_rows, run.status) == (TASK, "cpo", 3, 60, "finished")
    assert run.metrics["iteration"][0] == 1
    assert run.metrics["iteration"][-1] == 60
    assert run.snapshots[0].kl_matrix.shape == (6, 6)


def test_long_run_is_averaged_into_bins(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    rows = "".join(f"{i},{i * 10},{i}.0,{i % 2}\n" for i in range(1, 1001))
    (folder / "metrics.csv").write_text("iteration,env_steps,wall_clock_s,Leader/return\n" + rows)
    run = read_run(folder)
    # 1000 rows in bins of ceil(1000 / 400) = 3: 334 bins, the first over iterations 1, 2, 3 with values 1, 0, 1.
    assert run.num_rows == 1000
    assert run.metrics["iteration"].size == 334
    assert run.metrics["iteration"][0] == pytest.approx(2.0)
    assert run.metrics["Leader/return"][0] == pytest.approx(2 / 3)
    assert run.metrics["iteration"][-1] == pytest.approx(1000.0)


def test_columns_of_a_task_are_kept(tmp_path):
    run = read_run(write_run(tmp_path, extra_columns=3))
    assert len([tag for tag in run.metrics if tag.startswith("Task/")]) == 3


def test_rows_with_empty_cells_and_short_rows_are_read_like_whole_ones(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text(
        "iteration,env_steps,wall_clock_s,a,b,c\n1,10,1\n2,20,2,,,7\n3,30,3,5,,\n\n4,40,4,1,2,3,4\n5,50,5,nan,inf,-1\n"
    )
    run = read_run(folder)
    assert run.num_rows == 4
    np.testing.assert_array_equal(run.metrics["iteration"], [1, 2, 3, 5])
    np.testing.assert_array_equal(run.metrics["a"], [np.nan, np.nan, 5, np.nan])
    np.testing.assert_array_equal(run.metrics["c"], [np.nan, 7, np.nan, -1])
    assert any("2 damaged row" in problem for problem in run.problems)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("manifest.json", "manifest.json is missing"),
        ("metrics.csv", "metrics.csv is missing"),
        ("diagnostics.jsonl", "diagnostics.jsonl is missing"),
        ("params/agent.yaml", "params/agent.yaml is missing"),
        ("params/env.yaml", "params/env.yaml is missing"),
        ("model_60.pt", "No checkpoint"),
    ],
)
def test_missing_file_is_named(tmp_path, name, message):
    folder = write_run(tmp_path)
    (folder / name).unlink()
    problems = read_run(folder).problems
    assert len(problems) == 1
    assert message in problems[0]


@pytest.mark.parametrize("name", ["manifest.json", "metrics.csv", "diagnostics.jsonl", "params/agent.yaml"])
@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"\xff\xfe{not: [valid", b'{"a": \n"\n'])
def test_damaged_file_is_reported_and_the_rest_is_read(tmp_path, name, content):
    folder = write_run(tmp_path)
    (folder / name).write_bytes(content)
    run = read_run(folder)
    assert any(name in problem for problem in run.problems), run.problems
    assert run.snapshots or name == "diagnostics.jsonl"
    assert run.metrics or name == "metrics.csv"


def test_damaged_rows_and_cells_are_left_out(tmp_path):
    folder = write_run(tmp_path, iterations=5)
    lines = (folder / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    lines[2] = '"\0garbage'
    broken = lines[3].split(",")
    broken[columns.index("Leader/return")] = "12..5"
    lines[3] = ",".join(broken)
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n7,8")
    run = read_run(folder)
    assert run.num_rows == 4
    np.testing.assert_array_equal(run.metrics["iteration"], [1, 3, 4, 5])
    assert np.isnan(run.metrics["Leader/return"][1])
    assert any("1 damaged row" in p for p in run.problems)
    assert any("1 cell" in p for p in run.problems)


def test_short_rows_before_a_late_metric_are_valid(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text(
        "iteration,env_steps,wall_clock_s,Leader/return,Leader/successes\n1,10,1,5\n2,20,2,6,\n3,30,3,7,1\n"
    )
    run = read_run(folder)
    np.testing.assert_array_equal(run.metrics["Leader/return"], [5, 6, 7])
    np.testing.assert_array_equal(run.metrics["Leader/successes"], [np.nan, np.nan, 1])
    assert not any("damaged" in problem for problem in run.problems)


def test_a_last_line_cut_off_while_written_is_ignored(tmp_path):
    folder = write_run(tmp_path, iterations=5)
    with (folder / "metrics.csv").open("a") as stream:
        stream.write("6,6144,12.0,99999")
    assert read_run(folder).num_rows == 5


def test_snapshots_are_spread_over_a_long_file(tmp_path):
    folder = write_run(tmp_path)
    lines = [json.dumps({"iteration": i, "env_steps": i, "kl_matrix": [[0, 1], [1, 0]]}) for i in range(1, 2001)]
    (folder / "diagnostics.jsonl").write_text("\n".join(lines) + "\n" + '{"iteration": 2001, "env_st')
    steps = [snapshot.env_steps for snapshot in read_run(folder).snapshots]
    assert steps[0] == 1
    assert steps[-1] == 2000
    assert 20 <= len(steps) <= MAX_SNAPSHOTS + 1
    assert np.diff(steps).max() < 3 * np.diff(steps).min()


def test_runs_are_named_by_folders_parents_and_globs_once(tmp_path):
    def found(*places):
        return [run.path for run in named_runs([str(place) for place in places])]

    a, b = write_run(tmp_path, "cpo", 0), write_run(tmp_path, "ppo", 0)
    assert found(a) == [a]
    assert set(found(tmp_path)) == {a, b}
    assert found(tmp_path / "*" / "*_ppo", b) == [b]


def test_what_names_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match=r"matches no folder"):
        named_runs([str(tmp_path / "nothing*")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no run"):
        named_runs([str(tmp_path / "empty")])


@pytest.mark.parametrize("content", ['"kl_matrix": [[0.0]], "ess": []', '"borrowed": []'])
def test_an_ensemble_of_one_is_not_taken_for_damage(tmp_path, content):
    folder = write_run(tmp_path, "ppo")
    (folder / "diagnostics.jsonl").write_text(f'{{"iteration": 5, "env_steps": 50, {content}}}\n')
    run = read_run(folder)
    assert run.problems == []
    assert run.snapshots == []


def test_the_end_of_a_run_is_exact_although_curves_are_averaged(tmp_path):
    run = read_run(write_run(tmp_path, iterations=1000))
    assert run.metrics["iteration"].size < 1000
    assert run.end == {"iteration": 1000, "env_steps": 1024_000, "wall_clock_s": 2000}


def test_return_of_rsl_rls_own_ppo_stands_for_the_leader(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text("iteration,env_steps,wall_clock_s,Train/mean_reward\n1,10,1,5\n")
    assert read_run(folder).metrics["Leader/return"].tolist() == [5.0]


def test_damaged_diagnostics_lines_are_counted(tmp_path):
    folder = write_run(tmp_path)
    good = '{"env_steps": 7, "kl_matrix": [[0, 1], [1, 0]]}'
    bad = ['{"env_steps": 8, "kl_matrix": [[0, 1]]}', '{"kl_matrix": [[0, 1], [1, 0]]}', "[]", '{"env_steps": 9, "kl']
    (folder / "diagnostics.jsonl").write_text("\n".join([good, *bad]) + "\n")
    run = read_run(folder)
    assert [snapshot.env_steps for snapshot in run.snapshots] == [7]
    assert any("4 damaged line" in problem for problem in run.problems)

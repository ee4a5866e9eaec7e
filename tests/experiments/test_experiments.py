# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The experiments' commands: what they run, that they go on where they stopped, and that what they draw is there."""

from __future__ import annotations

import dataclasses
import re

import pytest
from experiments import diversity, figures, hands, scale, toys
from experiments.table import owned, read_rows, save, write_rows
from experiments.toys import FIRST_SEED, Job, Row
from tests.envs.gate_runs import ALGORITHMS, TASKS

from cpo_rl.errors import UserError
from cpo_rl.presets import PRESETS
from cpo_rl.runs.folder import RunFolder

ROW = Row(
    task="fork", algorithm="cpo_regulated", seed=100, num_envs=384, target_kl=0.3, budget_iterations=0, solved=True,
    iterations=30, transitions=184_320, final_return=36.5, training_return=30.0, policy_kl=1.5, coupling_kl=0.31,
    ess_pooled=0.6, leader_std=0.4, gradient_steps=480, seconds=12.0, cpu_seconds=11.5, load=1.2,
)  # fmt: skip


def some_rows(jobs: list[Job]) -> list[Row]:
    """Rows that look like those of the jobs."""
    return [
        dataclasses.replace(
            ROW, task=job.task, algorithm=job.algorithm, seed=job.seed, num_envs=job.num_envs, target_kl=job.target_kl,
            transitions=100_000 + 7_000 * k, coupling_kl=job.target_kl or None,
            policy_kl=None if job.algorithm.startswith("ppo") else 1.0 + k % 5,
            ess_pooled=None if job.algorithm.startswith("ppo") else 0.5,
        )
        for k, job in enumerate(jobs)
    ]  # fmt: skip


def test_a_table_reads_as_it_was_written(tmp_path):
    rows = [ROW, dataclasses.replace(ROW, seed=101, solved=False, policy_kl=None, coupling_kl=None, ess_pooled=None)]
    write_rows(tmp_path / "t.csv", rows)
    assert read_rows(tmp_path / "t.csv", Row) == rows
    assert read_rows(tmp_path / "absent.csv", Row) == []


@pytest.mark.parametrize("damage", ["task,seed\nfork,1\n", "x", None])
def test_what_is_no_table_of_runs_is_refused_by_line(tmp_path, damage):
    write_rows(tmp_path / "t.csv", [ROW])
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(damage + "\n1\n" if damage else text.replace("True", "perhaps"))
    with pytest.raises(UserError, match=r"t\.csv, line 2"):
        read_rows(tmp_path / "t.csv", Row)


def test_one_command_at_a_time_adds_to_a_table(tmp_path):
    with owned(tmp_path / "t.csv"), pytest.raises(UserError, match="another process"), owned(tmp_path / "t.csv"):
        pass
    with owned(tmp_path / "t.csv"):
        pass


@pytest.mark.parametrize(
    ("jobs", "count"),
    [
        (diversity.jobs(list(diversity.EXPERIMENT_TASKS), 20), 3 * 20 * 11),
        (scale.jobs(list(scale.EXPERIMENT_TASKS), 5, list(scale.ENVS)), 2 * 5 * 4 * 5),
    ],
)
def test_every_run_is_asked_for_once_with_fresh_seeds(jobs, count):
    assert len(jobs) == len(set(jobs)) == count
    assert min(job.seed for job in jobs) == FIRST_SEED
    assert {job.task for job in jobs} <= TASKS.keys()
    assert {job.algorithm for job in jobs} <= ALGORITHMS.keys()


def test_a_target_reaches_the_algorithm():
    job = Job("fork", "cpo_regulated", 100, 768, 0.05)
    task = job.task_settings()
    assert task.num_envs == 768
    assert ALGORITHMS["cpo_regulated"](task)["algorithm"]["coupling_target_kl"] == 0.05
    assert ALGORITHMS["cpo"](task)["algorithm"]["coupling_target_kl"] == 0.0, "other presets are not regulated"


@pytest.mark.long
def test_finished_runs_are_kept_and_not_repeated(tmp_path, monkeypatch, capsys):
    table = tmp_path / "t.csv"
    jobs = [Job("fork", "cpo_regulated", 100, 96, 0.3, 5), Job("fork", "ppo", 100, 96, 0.0, 5)]
    first = toys.run_missing(jobs[:1], table, 1)
    assert first[0].coupling_kl is not None
    assert first[0].transitions == 5 * 96 * 16
    monkeypatch.setattr(toys, "run", lambda job: pytest.fail("made again") if job == jobs[0] else ORIGINAL(job))
    both = toys.run_missing(jobs, table, 1)
    assert both[0] == first[0]
    assert read_rows(table, Row) == both
    assert "1 of 2 runs are in" in capsys.readouterr().out


ORIGINAL = toys.run


def test_the_figures_show_every_setting(tmp_path):
    rows = some_rows(diversity.jobs(["fork", "recall"], 3))
    save(figures.diversity(rows), tmp_path / "d.svg")
    text = (tmp_path / "d.svg").read_text()
    for word in ("fork, 3 seeds", "recall", "cpo_regulated", "sapg_double_steps"):
        assert word in text
    assert figures.diversity_table(rows).count("\n") == 2 * 11 + 1
    rows = some_rows(scale.jobs(["fork"], 2, [384, 1536]))
    save(figures.scale(rows), tmp_path / "s.svg")
    assert re.search("24,576|1,536", (tmp_path / "s.svg").read_text())
    assert figures.scale_table(rows).count("\n") == 2 * 5 + 1


def test_a_mean_over_runs_that_were_not_solved_is_a_bound():
    rows = [dataclasses.replace(ROW, seed=seed) for seed in (100, 101)]
    for table in (figures.diversity_table, figures.scale_table):
        assert ">=" not in table(rows)
        assert ">= 184" in table([rows[0], dataclasses.replace(rows[1], solved=False)])


def test_every_name_of_a_narrow_figure_lies_inside_it():
    rows = some_rows(scale.jobs(["fork"], 1, [384]))
    for fig in (figures.scale(rows), figures.diversity(some_rows(diversity.jobs(["fork"], 1)))):
        fig.canvas.draw()
        box = fig.legends[0].get_window_extent()
        assert box.x0 >= 0.0
        assert box.x1 <= fig.bbox.x1


def test_the_same_rows_give_the_same_figure(tmp_path):
    rows = some_rows(diversity.jobs(["fork"], 2))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save(figures.diversity(rows), tmp_path / name / "d.svg")
    assert (tmp_path / "a" / "d.svg").read_bytes() == (tmp_path / "b" / "d.svg").read_bytes()


@pytest.mark.parametrize("study", hands.STUDIES.values())
def test_studies_name_presets_and_tasks_that_exist(study):
    assert set(study.agents) <= PRESETS.keys()
    for task, iterations in study.iterations.items():
        per_iteration = 2016 if "Cube" in task else 1536
        least = {497: 1.0e6, 196: 3.0e5, 1985: 4.0e6, 745: 1.5e6, 391: 6.0e5}[iterations]
        assert 1.0 <= iterations * per_iteration / least < 1.01


def test_a_study_reads_runs_into_points_and_sums_them_up(tmp_path, capsys):
    folder = RunFolder.create(tmp_path / "Reorient" / "cpo_1", task=hands.SHADOW, seed=1)
    folder.write_launch({"agent": "cpo"})
    for k in range(1, 13):
        values = {
            "Ensemble/kl_mean": 0.1 * k,
            "Ensemble/kl_to_leader_0": k,
            "Ensemble/kl_to_leader_1": 3.0 * k,
            "Leader/return": 10.0 * k,
            "Perf/total_env_steps": 2016.0 * k,
        }
        folder.metrics().append(k, 2016 * k, float(k), {**values, "Env/quarantined": 1.0 if k == 2 else 0.0})
    status = hands.main(["coupling", "--table", "--runs", str(tmp_path), "--output", str(tmp_path / "c.csv")])
    assert status == 0
    rows = read_rows(tmp_path / "c.csv", hands.Point)
    assert [(p.iteration, p.kl, p.kl_to_leader, p.quarantined) for p in rows] == [
        (5, 0.3, 6.0, 1.0),
        (10, 0.8, 16.0, 1.0),
    ]
    assert "| 1 | 20,160 |" in capsys.readouterr().out


@pytest.mark.parametrize("command", [diversity, scale])
def test_a_table_that_holds_nothing_ends_in_a_sentence(command, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--figures", "--output", str(tmp_path / "none.csv")])
    assert "holds no runs" in capsys.readouterr().err

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Seeds find each other, different configurations do not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_lab.report.grouping import Group, group_runs
from cpo_lab.report.reading import Run, read_run
from cpo_lab.report.style import colors_of
from cpo_rl.runs.configs import differing_keys, read_config
from cpo_rl.runs.curves import Curves
from cpo_rl.runs.folder import RunFolder


def make_run(name: str, x: list[float], y: list[float]) -> Run:
    steps, values = np.array(x, dtype=float), np.array(y, dtype=float)
    curves = Curves({"env_steps": steps, "wall_clock_s": steps / 2, "Leader/return": values})
    return Run(RunFolder(name), curves=curves)


def test_seeds_form_a_group_and_settings_split_it(tmp_path):
    folders = [write_run(tmp_path / "a", a, s) for a in ("ppo", "cpo") for s in (0, 1)]
    folders.append(write_run(tmp_path / "b", "cpo", 0, overrides={"awac_coef": 0.5}))
    groups = group_runs([read_run(folder) for folder in folders])
    assert [(g.label, len(g.runs)) for g in groups] == [
        ("CPO (awac_coef=0.001)", 2),
        ("CPO (awac_coef=0.5)", 1),
        ("PPO", 2),
    ]
    assert [g.num_policies for g in groups] == [6, 6, 1]


def test_a_run_without_configuration_is_not_mixed_with_others(tmp_path):
    known, unknown = write_run(tmp_path, "cpo", 0), write_run(tmp_path, "cpo", 1)
    (unknown / "params" / "agent.yaml").unlink()
    groups = group_runs([read_run(known), read_run(unknown)])
    assert [g.label for g in groups] == ["CPO #1", "CPO (config unknown)"]


def test_config_ignores_bookkeeping_and_reads_python_tags(tmp_path):
    one, two = (read_config(write_run(tmp_path / str(s), "cpo", s), []) for s in (0, 1))
    assert one == two
    assert one is not None
    assert one["env.sim.gravity"] == "[0.0, 0.0, -9.81]"
    assert differing_keys([one, {**one, "env.scene.num_envs": "96"}, None]) == ["env.scene.num_envs"]


def test_band_is_the_interquartile_mean_on_a_common_grid():
    runs = [make_run(str(k), [0, 10], [k, k + 10]) for k in range(3)]
    band = Group("t", "cpo", runs).band("Leader/return")
    assert band is not None
    np.testing.assert_allclose(band.x, [0, 10])
    np.testing.assert_allclose(band.center, [1, 11])
    assert band.complete == 2


def test_band_goes_on_without_a_seed_that_ended():
    runs = [make_run("long", [0, 5, 10], [0, 0, 0]), make_run("short", [0, 2.5, 5], [2, 2, 2])]
    band = Group("t", "cpo", runs).band("Leader/return")
    assert band is not None
    np.testing.assert_allclose(band.center, [1, 1, 0])
    assert band.complete == 2
    assert np.isnan(band.low[-1])
    assert len(band.seeds) == 2


def test_final_score_is_the_mean_of_the_last_tenth_and_early_runs_have_none():
    x = list(np.arange(1, 101))
    late = make_run("late", x, [0] * 89 + [5] * 11)
    early = make_run("early", x[:50], [100] * 50)
    group = Group("t", "cpo", [late, early])
    # Window 90..100: eleven values of 5; the value at 89 is outside.
    assert group.final_scores("Leader/return", 100) == [5.0]
    # At a budget of 50 both count: 45..50.
    assert group.final_scores("Leader/return", 50) == [0.0, 100.0]
    assert group.last_step("Leader/return") == 100


@pytest.mark.parametrize("axis", ["env_steps", "wall_clock_s"])
def test_missing_metric_gives_no_band(axis):
    assert Group("t", "cpo", [make_run("a", [1], [1])]).band("Leader/successes", axis) is None


def test_a_seed_counts_once_and_the_run_that_got_furthest_stands_for_it(tmp_path):
    folders = [
        write_run(tmp_path / "a", "cpo", 3, iterations=20),
        write_run(tmp_path / "b", "cpo", 3, iterations=60),
        write_run(tmp_path / "c", "cpo", 3, iterations=40),
        write_run(tmp_path / "d", "cpo", 4, iterations=30),
    ]
    group = group_runs([read_run(folder) for folder in folders])[0]
    assert [(run.seed, run.num_rows) for run in group.runs] == [(3, 60), (4, 30)]
    assert sorted(run.num_rows for run in group.repeats) == [20, 40]
    band = group.band("Leader/return")
    assert band is not None and len(band.seeds) == 2


def test_runs_of_unknown_seed_are_told_apart_by_their_folders(tmp_path):
    folders = [write_run(tmp_path / name, "cpo", 0) for name in ("a", "b")]
    for folder in folders:
        (folder / "manifest.json").write_text('{"task": "T", "algorithm": "cpo"}')
        agent = folder / "params" / "agent.yaml"
        agent.write_text(agent.read_text().replace("seed: 0\n", ""))
    group = group_runs([read_run(folder) for folder in folders])[0]
    assert [run.seed for run in group.runs] == [None, None]
    assert group.repeats == []


@pytest.mark.parametrize("algorithms", [["cpo"] * 4, ["cpo", "cpo", "sapg", "ppo", "mine", "mine"], ["mine"] * 20])
def test_configurations_of_one_algorithm_look_different(algorithms):
    styles = colors_of(algorithms)
    assert len(set(styles)) == len(styles)
    if len(algorithms) <= 7:
        assert len({color for color, _ in styles}) == len(styles), "a table shows the colour only"


def test_an_algorithm_has_the_same_colour_in_every_report():
    alone, together = colors_of(["cpo"]), colors_of(["cpo", "cpo", "sapg", "ppo"])
    assert alone[0] == together[0] == ("#0072B2", ())
    assert together[2:] == colors_of(["sapg", "ppo"])

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Advice beside curves that look wrong, and the figures that a report opens with."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_lab.report.advice import advice
from cpo_lab.report.build import build_report, write_report
from cpo_lab.report.grouping import group_runs
from cpo_lab.report.reading import read_runs
from cpo_lab.report.sections import OPENING


def change_column(folder, tag, values):
    """Replace a column of a run's table."""
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    place = head.split(",").index(tag)
    cells = [row.split(",") for row in rows]
    for row, value in zip(cells, values, strict=True):
        row[place] = f"{value:.6g}"
    (folder / "metrics.csv").write_text("".join(f"{line}\n" for line in [head, *map(",".join, cells)]))


FALLING = np.concatenate((np.geomspace(1e-3, 1e-6, 40), np.full(20, 1e-6)))
CASES = [
    ("Ensemble/ess_pooled", np.linspace(0.9, 0.01, 60), "worth 4.8%"),
    ("Ensemble/clipped_fraction_borrowed", np.linspace(0.9, 0.999, 60), "borrowed rows are clipped"),
    ("Optimization/learning_rate", FALLING, "stays at its lowest value, 1.0e-06"),
    ("Discriminator/accuracy", np.linspace(0.2, 0.999, 60), "adversarial_coef; 0 switches"),
    ("Ensemble/awac_saturation", np.full(60, 0.95), "awac_temperature"),
    ("Value/explained_variance", np.linspace(0.5, -0.4, 60), "the critic predicts worse"),
]


@pytest.mark.parametrize(("tag", "values", "words"), CASES)
def test_what_looks_wrong_at_the_end_is_advised_on(tmp_path, tag, values, words):
    folders = [write_run(tmp_path, "cpo", seed) for seed in range(3)]
    assert advice(group_runs(read_runs(folders)), tag) == ()
    change_column(folders[0], tag, values)
    assert advice(group_runs(read_runs(folders)), tag) == (), "one of three seeds is no rule"
    change_column(folders[1], tag, values)
    (sentence,) = advice(group_runs(read_runs(folders)), tag)
    assert sentence.startswith("CPO (2 of 3 seeds): ") and words in sentence and "Try: " in sentence


@pytest.mark.parametrize(
    ("tag", "values"),
    [
        ("Ensemble/ess_pooled", np.linspace(0.01, 0.9, 60)),  # it recovered
        ("Optimization/learning_rate", np.full(60, 5e-4)),  # fixed on purpose
        ("Optimization/learning_rate", np.concatenate((np.geomspace(1e-3, 1e-6, 40), np.geomspace(1e-6, 1e-4, 20)))),
        ("Leader/return", np.linspace(0, -1e9, 60)),  # nothing is known about it
    ],
)
def test_what_looks_right_is_left_alone(tmp_path, tag, values):
    folder = write_run(tmp_path, "cpo", 0)
    change_column(folder, tag, values)
    assert advice(group_runs(read_runs([folder])), tag) == ()


def test_the_page_shows_it_below_the_figure_and_says_what_is_good(tmp_path):
    folder = write_run(tmp_path / "runs", "cpo", 0)
    change_column(folder, "Ensemble/ess_pooled", np.full(60, 0.02))
    page = write_report(build_report([folder]), tmp_path / "out").read_text()
    figure = page.split("ensemble_ess_pooled'")[1].split("</figure>")[0]
    assert "<p class='advice'>CPO: followers&#x27; data are worth 2.0% of their number. Try: " in figure
    assert "Good: 0.3 to 0.9; below 0.05 the ensemble is lost." in figure


def test_a_task_opens_with_the_figures_of_the_paper(tmp_path):
    folders = [write_run(tmp_path, name, 0) for name in ("cpo", "sapg", "ppo")]
    (task,) = build_report(folders).tasks
    first = task.sections[0]
    assert first.title == OPENING
    kinds = [plate.key.rpartition("-")[2] for plate in first.plates]
    assert kinds == ["leader_successes", "kl_maps", "kl_maps", "ensemble_ess_pooled"]
    keys = [plate.key for section in task.sections for plate in section.plates]
    assert len(set(keys)) == len(keys), "no figure is shown twice"


def test_single_policies_have_no_such_opening(tmp_path):
    (task,) = build_report([write_run(tmp_path, "ppo", 0)]).tasks
    assert OPENING not in [section.title for section in task.sections]

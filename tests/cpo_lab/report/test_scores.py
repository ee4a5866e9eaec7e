# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Summaries of episodes."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from cpo_lab.report.scores import Row, compare_rows, plain, scores_csv, summarize


def test_summary_has_mean_and_interquartile_mean():
    scores = {s.quantity: s for s in summarize("run", "leader", "", {"return": [0, 1, 2, 3, 4, 5, 6, 1000.0]})}
    score = scores["return"]
    assert score.mean.point == pytest.approx(1021 / 8)
    assert score.iqm.point == pytest.approx(3.5)
    assert score.mean.low < score.mean.point < score.mean.high
    assert score.episodes == 8


def test_quantities_that_some_episodes_lack_are_counted():
    score = summarize("run", "leader", "", {"time_to_success": [np.nan, 2.0, 4.0]})[0]
    assert (score.episodes, score.mean.point) == (2, 3.0)


def test_a_rate_has_no_interquartile_mean():
    score = summarize("run", "leader", "", {"fall": [0.0, 0.0, 0.0, 1.0]})[0]
    assert score.mean.point == 0.25
    assert np.isnan(score.iqm.point)


def test_checkpoints_are_compared_policy_by_policy():
    rows = [
        Row(name, policy, {"return": [base, base + 1], "fall": [base / 10, base / 10]})
        for name, base in (("a", 0.0), ("b", 5.0))
        for policy in ("follower 0", "leader")
    ]
    found = compare_rows(rows, ["return", "fall", "absent"])
    assert [(c.quantity, c.first, c.second, c.probability.point) for c in found] == [
        ("return", "a follower 0", "b follower 0", 0.0),
        ("return", "a leader", "b leader", 0.0),
        ("fall", "a follower 0", "b follower 0", 1.0),  # fewer falls are better
        ("fall", "a leader", "b leader", 1.0),
    ]


def test_the_leader_of_one_checkpoint_is_compared_with_its_followers():
    rows = [Row("a", policy, {"return": [1.0, 2.0]}) for policy in ("follower 0", "follower 1", "leader", "all")]
    assert [(c.first, c.second) for c in compare_rows(rows, ["return"])] == [
        ("leader", "follower 0"),
        ("leader", "follower 1"),
    ]
    assert compare_rows(rows[:1], ["return"]) == []


def test_files_hold_the_numbers_and_no_nan():
    scores = summarize("run", "leader", "50x50x50", {"return": [1.0, 3.0], "time_to_success": [np.nan, np.nan]})
    rows = list(csv.DictReader(io.StringIO(scores_csv(scores))))
    assert [(r["quantity"], r["unit"], r["episodes"], r["mean"]) for r in rows] == [
        ("return", "", "2", "2"),
        ("time_to_success", "s", "0", ""),
    ]
    text = json.dumps([plain(score) for score in scores], allow_nan=False)
    assert json.loads(text)[1]["mean"]["point"] is None

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What evaluation calls checkpoints and how it writes intervals."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpo_lab.cli.evaluate import _names
from cpo_lab.report.statistics import Interval, interval_text

A, B = "2026-01-01_10-00-00_cpo", "2026-01-01_11-00-00_ppo"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([f"{A}/model_5.pt", f"{B}/model_5.pt"], ["cpo", "ppo"]),
        ([f"{A}/model_5.pt", f"{A}/model_9.pt"], ["cpo/model_5", "cpo/model_9"]),
        ([f"{A}/model_5.pt", "2026-01-02_10-00-00_cpo/model_5.pt"], [A, "2026-01-02_10-00-00_cpo"]),
        ([f"x/{A}/model_5.pt", f"y/{A}/model_5.pt"], ["cpo/model_5 (1)", "cpo/model_5 (2)"]),
        (["2026-01-01_10-00-00/model_5.pt"], ["2026-01-01_10-00-00"]),
    ],
)
def test_names_are_short_and_unique(files, names):
    assert _names([Path(file) for file in files]) == names


def test_intervals_as_text():
    nan = float("nan")
    assert interval_text(Interval(1.5, 1.0, 2.0, 9)) == "1.5 [1, 2]"
    assert interval_text(Interval(1.5, nan, nan, 1)) == "1.5"
    assert interval_text(Interval(nan, nan, nan, 0)) == "-"

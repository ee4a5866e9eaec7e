# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What people see."""

from __future__ import annotations

import io
import math
import time

from rich.console import Console

from cpo_rl.runners.console import ProgressDisplay

METRICS = {
    "Perf/env_steps_per_s": 1534.2,
    "Leader/return": 3.14159,
    "Leader/successes": 0.25,
    "Ensemble/kl_mean": 0.5,
    "Optimization/learning_rate": 5e-4,
    "Train/mean_reward": 99.0,
}


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False, soft_wrap=not terminal)


def test_lines_where_there_is_no_terminal():
    out = console(terminal=False)
    display = ProgressDisplay("auto", 60.0, out)
    display.start("T")
    display.update(1, 100, 12_340, 187.0, METRICS)
    display.update(2, 100, 24_680, 100.0, METRICS)
    display.update(100, 100, 1_234_000, 0.0, {"Leader/return": 2.0, "Ensemble/kl_mean": math.nan})
    display.stop()
    assert out.file.getvalue().splitlines() == [
        "iteration 1/100 · 12.3 k steps · env-steps/s 1,534 · leader return 3.142 · leader successes 0.25 · "
        "inter-policy KL 0.5 · learning rate 5.0e-04 · 3 min 07 s left",
        "iteration 100/100 · 1.23 M steps · env-steps/s 1,534 · leader return 2 · leader successes 0.25 · "
        "inter-policy KL 0.5 · learning rate 5.0e-04 · 0 s left",
    ]


def test_a_line_every_interval():
    out = console(terminal=False)
    display = ProgressDisplay("plain", 0.05, out)
    for i in range(1, 4):
        display.update(i, 100, i, 1.0, {})
        display.update(i, 100, i, 1.0, {})
        time.sleep(0.06)
    assert len(out.file.getvalue().splitlines()) == 3


def test_a_panel_on_a_terminal():
    out = console(terminal=True)
    display = ProgressDisplay("auto", 10.0, out)
    display.start("CpoLab-Task")
    display.update(3, 10, 5_000, 90.0, METRICS)
    display.message("the disk is full")
    display.stop()
    text = out.file.getvalue()
    for part in (
        "CpoLab-Task",
        "env-steps/s",
        "1,534",
        "leader return",
        "3.142",
        "leader successes",
        "0.25",
        "inter-policy KL",
        "5.0e-04",
        "3 of 10",
        "1 min 30 s",
        "the disk is full",
    ):
        assert part in text
    assert text.endswith("\x1b[?25h"), "the cursor must be visible again"


def test_a_value_that_is_not_there_is_a_dash():
    out = console(terminal=True)
    display = ProgressDisplay("auto", 10.0, out)
    display.start("T")
    display.update(1, 10, 5, 90.0, {})
    display.stop()
    assert "–" in out.file.getvalue()


def test_off_prints_only_what_must_be_seen():
    out = console(terminal=True)
    display = ProgressDisplay("off", 0.0, out)
    display.start("T")
    display.update(1, 1, 1, 1.0, METRICS)
    display.message("stopped")
    display.stop()
    assert out.file.getvalue().strip() == "stopped"

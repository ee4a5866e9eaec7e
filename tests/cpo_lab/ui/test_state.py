# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The state that every screen shows is what the run folder says, whatever is wrong with it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.cpo_lab.damage.folder_damage import damage
from tests.cpo_lab.report.synthetic_runs import write_run

from cpo_lab.ui import state as module
from cpo_lab.ui.state import MOST_RUNS, RunReader, Watch, charts
from cpo_lab.ui.terminal import picture
from cpo_lab.ui.web import page_state
from cpo_rl.errors import UserError
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.metric_names import find
from cpo_rl.runs.tables import read_metrics


def reader(folder):
    return RunReader(folder, folder.name)


def append(folder, **changes):
    """One more row, as training writes it: the last one with other values."""
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    cells = dict(zip(head.split(","), rows[-1].split(","), strict=True)) | changes
    with open(folder / "metrics.csv", "a") as table:
        table.write(",".join(str(cells[name]) for name in head.split(",")) + "\n")


def test_the_last_values_are_those_of_the_last_row(tmp_path):
    folder = write_run(tmp_path, "cpo", 1, iterations=900)  # more rows than a curve has points
    state, table = reader(folder).read(), read_metrics(folder / "metrics.csv")
    shown = state.table()
    assert shown["return"] == [table[f"Policy_{i}/return"][-1] for i in range(6)]
    assert shown["ESS"] == [*(table[f"Ensemble/ess_{i}"][-1] for i in range(5)), None]
    assert shown["noise"] == [table[f"Policy_{i}/std"][-1] for i in range(6)]
    assert "coupling" not in shown, "nothing measured it"
    matrix = json.loads((folder / "diagnostics.jsonl").read_text().splitlines()[-1])["kl_matrix"]
    assert state.kl is not None and state.kl.tolist() == matrix
    assert state.policies == [*(f"follower {i}" for i in range(5)), "leader"]
    assert state.heading == "Synthetic-Test-Data · cpo · seed 1"
    assert state.progress == "iteration 900 · 922 k steps"


def test_a_run_of_one_policy_shows_the_leaders_values(tmp_path):
    folder = write_run(tmp_path, "ppo")
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(text.replace("Policy_0/", "Nothing/"))
    state = reader(folder).read()
    table = read_metrics(folder / "metrics.csv")
    assert state.policies == ["leader"] and state.kl is None
    assert state.table()["return"] == [table["Leader/return"][-1]]
    assert list(state.lines(find("Policy_0/return"))) == [0]


def test_what_is_measured_now_and_then_keeps_its_last_value(tmp_path):
    folder = write_run(tmp_path, "cpo")
    before = reader(folder).read().table()
    append(folder, **{"Ensemble/ess_0": "", "Policy_0/return": 5.5, "Policy_1/return": "nan"})
    after = reader(folder).read().table()
    assert after["ESS"] == before["ESS"]
    assert after["return"] == [5.5, *before["return"][1:]]


def test_a_growing_run_is_followed_and_an_unchanged_table_is_not_read_again(tmp_path, monkeypatch):
    folder = write_run(tmp_path, "cpo")
    read = []
    monkeypatch.setattr(module, "read_curves", lambda path, inner=module.read_curves: read.append(path) or inner(path))
    one = reader(folder)
    assert one.read().table()["return"][0] != 7.25
    one.read()
    assert len(read) == 1
    append(folder, iteration=61, env_steps=61 * 1024, **{"Policy_0/return": 7.25})
    with open(folder / "metrics.csv", "a") as table:
        table.write("62,63488,1")  # being written
    state = one.read()
    assert len(read) == 2 and state.curves.end["iteration"] == 61
    assert state.table()["return"][0] == 7.25


def test_the_manifest_is_read_every_time(tmp_path):
    run = RunFolder.create(tmp_path / "a", task="T", algorithm="cpo", seed=3, max_iterations=40, num_policies=4)
    one = reader(run.path)
    assert one.read().progress.startswith("iteration 0 of 40")
    run.update(iteration=10, env_steps=2000, wall_clock_s=20.0)
    state = one.read()
    assert state.progress == "iteration 10 of 40 · 2 k steps · 1 min 00 s left"
    assert (state.share, state.num_policies, state.health) == (0.25, 4, "running")
    run.update(status="crashed", error="RuntimeError: the motor fell off")
    assert one.read().problems[0] == "RuntimeError: the motor fell off"


def test_a_silent_run_of_another_machine_says_so(tmp_path):
    run = RunFolder.create(tmp_path / "a", hardware={"host": "elsewhere"}, updated="2026-01-01T00:00:00+00:00")
    assert "silent for" in reader(run.path).read().progress


def test_every_metric_can_be_drawn(tmp_path):
    states = [reader(write_run(tmp_path, name)).read() for name in ("cpo", "ppo")]
    rows = charts(states)
    assert {"Policy_<i>/return", "Leader/return", "Ensemble/ess_<i>"} <= {row.tag for row in rows}
    assert len({row.tag for row in rows}) == len(rows)
    assert not {"iteration", "env_steps", "wall_clock_s"} & {row.tag for row in rows}
    for row in rows:
        lines = states[0].lines(row) | states[1].lines(row)
        assert lines and all(np.isfinite(values).any() for values in lines.values()), row.tag


@pytest.mark.parametrize("seed", range(60))
def test_damage_costs_what_is_damaged(tmp_path, seed):
    folder = write_run(tmp_path, ("cpo", "ppo")[seed % 2], iterations=8)
    rng = random.Random(seed)
    for _ in range(1 + seed % 3):
        damage(folder, rng)
    states = [reader(folder).read()]
    json.dumps(page_state(states, [row.tag for row in charts(states)]), allow_nan=False)
    picture(states, 80, None)


def test_markup_and_controls_of_a_folder_are_text(tmp_path):
    run = RunFolder.create(tmp_path / "a", task="[red]\x1b[31mT", algorithm="<b>x", error="\x1b]0;gone\x07")
    run.update(status="crashed")
    state = reader(run.path).read()
    assert "\x1b" not in state.heading + "".join(state.problems)


# -- which runs --------------------------------------------------------------------------------------------------------


def test_what_runs_now_is_watched_or_else_the_newest(tmp_path):
    with pytest.raises(UserError, match="no run"):
        Watch([], str(tmp_path))
    for name, status in (("a", "finished"), ("b", "finished")):
        RunFolder.create(tmp_path / "x" / name, status=status, task="T", created=f"2026-01-0{'ab'.index(name) + 1}")
    assert [state.name for state in Watch([], str(tmp_path)).read()] == ["b"]
    RunFolder.create(tmp_path / "x" / "c", created="2025-01-01", task="U")
    assert [state.name for state in Watch([], str(tmp_path)).read()] == ["c"]
    assert [state.name for state in Watch([str(tmp_path)], "", "T").read()] == ["a", "b"]
    with pytest.raises(UserError, match="of task 'V'"):
        Watch([str(tmp_path)], "", "V")
    with pytest.raises(UserError, match="matches no folder"):
        Watch([str(tmp_path / "no")], "")


def test_runs_of_one_name_are_told_apart_and_too_many_are_told(tmp_path):
    for k in range(MOST_RUNS + 2):
        RunFolder.create(tmp_path / f"seed_{k:02}" / "run", created=f"2026-01-01T00:00:{k:02}+00:00")
    watch = Watch([str(tmp_path)], "")
    names = [state.name for state in watch.read()]
    assert (len(names), watch.left_out) == (MOST_RUNS, 2)
    assert names[-1] == f"seed_{MOST_RUNS + 1:02}/run" and len(set(names)) == MOST_RUNS


def test_a_run_that_vanishes_is_shown_as_unknown(tmp_path):
    folder = write_run(tmp_path, "cpo")
    watch = Watch([str(folder)], "")
    assert watch.read()[0].health == "finished"
    shutil.rmtree(folder)
    assert watch.read()[0].health == "unknown"


def test_reading_takes_a_small_share_of_the_time(tmp_path):
    watch = Watch([str(write_run(tmp_path, "cpo"))], "")
    watch.read()
    assert watch.pause_s(2.0) == 2.0
    watch._took_s = 3.0
    assert watch.pause_s(2.0) == pytest.approx(30.0)


def test_the_state_needs_neither_torch_nor_omni():
    code = (
        "import sys, cpo_lab.ui.state, cpo_lab.ui.terminal, cpo_lab.cli.watch; "
        "assert not {'torch', 'omni', 'carb', 'isaaclab', 'matplotlib', 'scipy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

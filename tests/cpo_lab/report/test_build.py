# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Whole reports: content, missing data, files, speed."""

from __future__ import annotations

import csv
import json
import re
import resource
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from tests.cpo_lab.report.synthetic_runs import TASK, write_run

from cpo_lab.cli import main
from cpo_lab.report import page_tables
from cpo_lab.report.build import build_report, write_report


class TagBalance(HTMLParser):
    """Collects tags that are closed in the wrong order."""

    VOID = frozenset({"meta", "link", "br", "input", "path", "use", "rect", "image"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.errors: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID and (not self.stack or self.stack.pop() != tag):
            self.errors.append(tag)


def read_page(folder) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    folders = [write_run(root, name, seed) for name in ("ppo", "sapg", "cpo") for seed in range(3)]
    out = tmp_path_factory.mktemp("report")
    report = build_report(folders, "Ours < theirs & others")
    write_report(report, out)
    return report, out


def test_every_figure_is_in_the_page_and_in_files(complete):
    report, out = complete
    page = read_page(out)
    assert len(report.plates) > 25
    assert not any(plate.is_empty for plate in report.plates)
    for plate in report.plates:
        assert f"data-plate='{plate.key}'" in page
        ElementTree.parse(out / "figures" / f"{plate.key}.svg")
        assert (out / "figures" / f"{plate.key}.png").read_bytes().startswith(b"\x89PNG")
    assert page.count("<svg") == len(report.plates)


def test_page_is_well_formed_self_contained_and_escaped(complete):
    page = read_page(complete[1])
    balance = TagBalance()
    balance.feed(page)
    assert balance.errors == []
    assert balance.stack == []
    assert "Ours &lt; theirs &amp; others" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//|file:)""", page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_page_states_numbers_settings_hardware_and_cautions(complete):
    page = read_page(complete[1])
    for text in (
        "3 groups",
        "awac_coef",
        "x86_64, 2 CPUs",
        "0123456789",
        "Fewer than 5 seeds",
        "torch 2.11.0",
        "61.4 k",
    ):
        assert text in page
    assert "Nothing: every run had all its files" in page


def test_an_alarm_of_a_run_stands_among_the_cautions_and_is_escaped(tmp_path):
    folder = write_run(tmp_path, "cpo", 0)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["history"] = [{"event": "ensemble alarm", "message": "The ensemble looks <b>lost</b> in iteration 7."}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    report = build_report([folder])
    notes = page_tables._cautions(report)
    assert f"Alarm in {folder.parent.name}/{folder.name}: The ensemble looks &lt;b&gt;lost&lt;/b&gt; in iter" in notes


def test_final_scores_are_those_of_the_runs(complete):
    report, out = complete
    with (out / "data" / "final_scores.csv").open() as stream:
        rows = {(row["group"], row["metric"]): row for row in csv.DictReader(stream)}
    row = rows["CPO", "Leader/return"]
    cpo = next(group for group in report.tasks[0].groups if group.label == "CPO")
    # 60 iterations of 1024 steps: the last tenth begins at step 55296 = iteration 54.
    expected = [float(run.metrics["Leader/return"][53:].mean()) for run in cpo.runs]
    assert [float(score) for score in row["scores"].split()] == pytest.approx(expected, rel=1e-5)
    assert float(row["iqm"]) == pytest.approx(sum(expected) / 3, rel=1e-5)
    assert float(row["low_95"]) < float(row["iqm"]) < float(row["high_95"])


def test_damaged_folders_still_give_a_report(tmp_path):
    folders = [write_run(tmp_path, "cpo", seed) for seed in range(6)]
    (folders[0] / "metrics.csv").unlink()
    (folders[1] / "manifest.json").write_text("{")
    (folders[2] / "diagnostics.jsonl").write_bytes(b"\0\0\0")
    shutil.rmtree(folders[3] / "params")
    for file in folders[4].iterdir():
        if file.is_file():
            file.unlink()
    (folders[5] / "metrics.csv").write_text("iteration,env_steps,wall_clock_s,Leader/return\n1,1024,2.0,nan\n")
    write_report(build_report(folders), tmp_path / "out")
    page = read_page(tmp_path / "out")
    for text in (
        "metrics.csv is missing",
        "manifest.json is damaged",
        "diagnostics.jsonl holds no KL matrix",
        "params/env.yaml is missing",
        "No checkpoint",
        "config unknown",
    ):
        assert text in page, text


def test_runs_with_nothing_but_a_manifest_give_a_report_without_figures(tmp_path):
    folder = write_run(tmp_path, "cpo", 0)
    for file in ("metrics.csv", "diagnostics.jsonl"):
        (folder / file).unlink()
    report = build_report([folder])
    write_report(report, tmp_path / "out")
    assert all(plate.is_empty for plate in report.plates)
    assert "No data in these runs." in read_page(tmp_path / "out")


def test_a_single_iteration_is_drawn(tmp_path):
    write_report(build_report([write_run(tmp_path, "cpo", 0, iterations=1, diagnostics_interval=1)]), tmp_path / "out")
    assert "One seed only" in read_page(tmp_path / "out")


def test_command_writes_where_told_and_names_bad_input(tmp_path, capsys):
    write_run(tmp_path, "ppo", 0, iterations=3)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out"), "--title", "Mine"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    assert "<h1>Mine</h1>" in read_page(tmp_path / "out")
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "matches no folder" in capsys.readouterr().err
    assert main(["report"]) == 2


def test_two_reports_of_the_same_runs_have_equal_figures(tmp_path):
    folder = write_run(tmp_path, "cpo", 0, iterations=10)
    for name in ("a", "b"):
        write_report(build_report([folder]), tmp_path / name)
    for file in (tmp_path / "a" / "figures").glob("*.svg"):
        assert file.read_bytes() == (tmp_path / "b" / "figures" / file.name).read_bytes()


def test_a_repeated_seed_is_said_and_gives_no_interval(tmp_path):
    folders = [write_run(tmp_path / name, "ppo", 7, iterations=n) for name, n in (("a", 20), ("b", 10))]
    report = build_report(folders)
    write_report(report, tmp_path / "out")
    page = read_page(tmp_path / "out")
    assert "One seed only" in page
    assert f"Run more than once: seed 7 of PPO on {TASK}." in page
    assert page.count("7 (repeated)") == 1
    with (tmp_path / "out" / "data" / "final_scores.csv").open() as stream:
        assert {row["seeds"] for row in csv.DictReader(stream)} == {"1"}


def test_configurations_of_one_algorithm_are_told_apart_in_tables_too(tmp_path):
    folders = [write_run(tmp_path / str(c), "cpo", 0, iterations=5, overrides={"awac_coef": c}) for c in (0.1, 0.2)]
    write_report(build_report(folders), tmp_path / "out")
    page = read_page(tmp_path / "out")
    labels = ("CPO (awac_coef=0.1)", "CPO (awac_coef=0.2)")
    assert f"One algorithm in several configurations on {TASK}: {', '.join(labels)}." in page
    swatches = {re.search(rf'style="background:(#\w+)"></span>{re.escape(label)}', page)[1] for label in labels}
    assert len(swatches) == 2


@pytest.mark.slow
def test_hundred_long_runs_take_less_than_a_minute_and_two_gigabytes(tmp_path):
    root = tmp_path / "runs"
    for algorithm in ("ppo", "sapg", "cpo", "pbt"):
        base = write_run(tmp_path / "base", algorithm, iterations=10_000, extra_columns=30, diagnostics_interval=10)
        for task in range(5):
            for seed in range(5):
                folder = shutil.copytree(base, root / f"task_{task}" / f"{algorithm}_{seed}")
                manifest = json.loads((folder / "manifest.json").read_text())
                manifest |= {"seed": seed, "task": f"{TASK}-{task}"}
                (folder / "manifest.json").write_text(json.dumps(manifest))
    started = time.perf_counter()
    command = [sys.executable, "-c", "import sys; from cpo_lab.cli import main; sys.exit(main(sys.argv[1:]))"]
    subprocess.run([*command, "report", str(root), "--out", str(tmp_path / "out")], check=True)
    assert time.perf_counter() - started < 60
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 * 1024**2  # kB, largest process
    assert "100 runs in 20 groups" in read_page(tmp_path / "out")


def test_one_seed_gives_no_probability_of_improvement(tmp_path):
    folders = [write_run(tmp_path, name, 0) for name in ("ppo", "sapg")]
    assert not any("improvement" in plate.key for plate in build_report(folders).plates)
    folders += [write_run(tmp_path, name, 1) for name in ("ppo", "sapg")]
    assert sum("improvement" in plate.key for plate in build_report(folders).plates) == 2


def test_many_groups_are_drawn_in_several_processes_with_the_same_result(tmp_path, monkeypatch):
    folders = [
        write_run(tmp_path, name, 0, task=task, iterations=4, num_policies=2)
        for task in ("One", "Two")
        for name in ("ppo", "sapg", "cpo")
    ]
    several = build_report(folders)
    monkeypatch.setattr("cpo_lab.report.build.GROUPS_PER_POOL", 100)
    alone = build_report(folders)
    assert [(p.key, p.svg, p.caption) for p in several.plates] == [(p.key, p.svg, p.caption) for p in alone.plates]

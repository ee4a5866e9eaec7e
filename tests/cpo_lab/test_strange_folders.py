# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One strange folder spoils nothing: names of every kind, bombs, absurd tables. The others are shown as always."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.cpo_lab.report.synthetic_runs import add_columns, write_run

from cpo_lab.cli import evaluate, main
from cpo_lab.report.build import build_report, write_report
from cpo_lab.report.reading import read_run
from cpo_lab.report.scores import Row, compare_rows, scores_csv, summarize
from cpo_lab.report.spreadsheet import csv_text
from cpo_rl.errors import UserError
from cpo_rl.runs.configs import read_yaml
from cpo_rl.runs.curves import MAX_COLUMNS
from cpo_rl.runs.files import expanded, printable
from cpo_rl.runs.find import named_runs, resolve_checkpoint

NAMES = [
    "[red]run[/red]",
    "[/]",
    "[bold",
    "a'b\"c",
    "$\\frac{1}$",
    "$",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "+1+1",
    "<script>alert(1)</script>",
    "]]>",
    "&amp;",
    "new\nline",
    "\x1b[2Jcleared",
    "\x07bell",
    "\u202eright to left",
    "漢字と絵文字🤖",
    "%s%d{0}",
    "x" * 250,
    "..hidden",
    "-rf",
    "~nobody",
]


@pytest.fixture
def sound(tmp_path):
    """A run beside which strange ones lie."""
    return write_run(tmp_path / "runs", "cpo", 1, iterations=6)


def listed(capsys, *arguments: str) -> str:
    assert main(["runs", *arguments]) == 0
    return capsys.readouterr().out


def rename(folder: Path, name: str) -> Path:
    return folder.rename(folder.with_name(name.replace("/", "|")))


def say(folder: Path, **fields) -> None:
    """Change what the manifest says."""
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("name", NAMES)
def test_runs_lists_folders_of_any_name(tmp_path, sound, capsys, name):
    strange = rename(write_run(tmp_path / "runs", "sapg", 2, iterations=6), name)
    out = listed(capsys, str(tmp_path / "runs"))
    assert sound.name in out.replace("\n", "")
    assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out
    if not name.startswith("."):  # hidden ones are found by name only
        assert printable(strange.name)[:20] in out
    rows = json.loads(listed(capsys, str(strange), "--json"))
    assert rows[0]["folder"] == str(strange)


@pytest.mark.parametrize("text", [*NAMES, "y" * 5000])
def test_runs_shows_what_a_manifest_says_as_text(tmp_path, sound, capsys, text):
    strange = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    say(strange, algorithm=text, error=text, status="crashed", task=text, physics=text)
    out = listed(capsys, str(tmp_path / "runs"))
    assert "\x1b" not in out and sound.name in out.replace("\n", "")
    assert max(map(len, out.splitlines())) < 500


def test_numbers_beyond_everything(tmp_path, sound, capsys):
    strange = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    huge = 2**62
    say(
        strange, status="running", pid=huge, iteration=1, max_iterations=huge, env_steps=huge, seed=-huge,
        wall_clock_s=1e308, last={"Leader/return": 1e308}, best={"score": -1e308, "iteration": 1e300},
        hardware={"host": "elsewhere"}, updated="0001-01-01T00:00:00+00:00",
    )  # fmt: skip
    listed(capsys, str(tmp_path / "runs"))
    assert "Infinity" not in listed(capsys, str(tmp_path / "runs"), "--json")


def report(tmp_path: Path) -> str:
    """Make a report of everything; return the page."""
    folders = sorted(file.parent for file in (tmp_path / "runs").rglob("manifest.json"))
    return write_report(build_report(folders, "T"), tmp_path / "out").read_text()


@pytest.mark.parametrize("name", ["[red]run[/red]", "$\\frac{1}$ <script>alert(1)</script>\x1b[2J=1+1"])
def test_a_report_of_strange_names(tmp_path, sound, name):
    strange = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    say(strange, algorithm=name, task=name, physics=name, versions={name: name}, hardware={name: name})
    say(strange, history=[{"event": "ensemble alarm", "message": name * 1000}])
    add_columns(strange, {f"Task/{name}": None, f"=1+1/{name}": None, "@x": None})
    rename(strange, name)
    page = report(tmp_path)
    assert "<script>alert" not in page and "\x1b" not in page and sound.name in page
    for file in (tmp_path / "out/data").glob("*.csv"):
        cells = [cell for row in csv.reader(io.StringIO(file.read_text())) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "+"))]


# -- bounded -----------------------------------------------------------------------------------------------------------


def bomb_merge() -> str:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    return "\n".join(lines) + "\n"


def bomb_alias() -> str:
    lines = ["a0: &a0 [1, [2]]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
    return "\n".join(lines) + "\n"


BOMBS = {
    "deep list": "[" * 300_000,
    "deep mapping": "{a: " * 300_000,
    "deep block": "\n".join(" " * i + "a:" for i in range(2000)),
    "deep dashes": "- " * 100_000 + "x",
    "merge keys": bomb_merge(),
    "aliases": bomb_alias(),
    "long": "a: " + "x" * (9 << 20),
    "self": "a: &a [*a]\n",
    "set of nonsense": "!!set [1, 2]\n",
    "unhashable": "? [1, {2: 3}]\n: 4\n",
    "date": "a: 2001-99-99\n",
    "binary": "a: !!binary '%'\n",
    "int": "a: !!int x\n",
    "float of a list": "a: !!float [1]\n",
    "python": "a: !!python/object/apply:os.system ['touch never']\n",
    "huge integer": "a: " + "9" * 100_000 + "\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_yaml_is_damage_or_plain_and_soon_read(tmp_path, monkeypatch, name):
    """In a process of its own, because deep nesting crashed it, and with bounded memory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.yaml").write_text(BOMBS[name])
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + (2 << 30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            read_yaml(tmp_path / "bomb.yaml")
        except ValueError:
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert time.perf_counter() - started < 30
    assert [file.name for file in tmp_path.iterdir()] == ["bomb.yaml"], "nothing of it was run"


@pytest.mark.parametrize("name", ["deep list", "merge keys", "aliases"])
def test_a_report_beside_a_bomb(tmp_path, sound, name):
    strange = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    (strange / "params/env.yaml").write_text(BOMBS[name])
    run = read_run(strange)
    assert run.config is None or name == "merge keys"
    assert any("env.yaml" in problem for problem in run.problems) or name == "merge keys"


@pytest.mark.parametrize("part", ["manifest.json", "run.json", "launch.json"])
@pytest.mark.parametrize("content", ["[" * 300_000, '{"a":' * 300_000, '{"format": 1, "seed": ' + "9" * 10_000 + "}"])
def test_a_bomb_of_json_is_damage(tmp_path, sound, capsys, part, content):
    strange = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    (strange / part).write_text(content)
    assert sound.name in listed(capsys, str(tmp_path / "runs")).replace("\n", "")


def test_a_table_with_absurd_columns_is_read_in_part(tmp_path):
    folder = write_run(tmp_path / "runs", "ppo", 2, iterations=6)
    head, *rows = (folder / "metrics.csv").read_text().splitlines()
    wide = [head + "".join(f",c{i}" for i in range(50_000)), *(row + ",1" * 50_000 for row in rows)]
    (folder / "metrics.csv").write_text("\n".join(wide) + "\n")
    started = time.perf_counter()
    run = read_run(folder)
    assert time.perf_counter() - started < 10
    assert len(run.metrics) <= MAX_COLUMNS and run.num_rows == 6
    assert any("columns; the first 2,000 are read" in problem for problem in run.problems)


def test_absurd_matrices_are_damage(tmp_path):
    folder = write_run(tmp_path / "runs", "cpo", 2, iterations=6)
    size = 400
    matrix = [[0] * size] * size
    lines = [json.dumps({"iteration": 1, "env_steps": 1, "kl_matrix": matrix}), "x" * (6 << 20)]
    (folder / "diagnostics.jsonl").write_text("\n".join(lines) + "\n")
    run = read_run(folder)
    assert run.snapshots == [] and any("diagnostics.jsonl" in problem for problem in run.problems)


# -- text --------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=400))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_printable_text_stays_on_its_line(text):
    shown = printable(text)
    assert shown.isprintable() and len(shown) <= 300
    if text.isprintable() and len(text) <= 300:
        assert shown == text


@given(st.one_of(st.text(max_size=30), st.sampled_from(NAMES), st.floats(), st.integers()))
@settings(max_examples=300)
def test_no_cell_starts_a_formula(value):
    (row,) = csv.reader(io.StringIO(csv_text([[value]])))
    cell = row[0] if row else ""
    try:
        float(cell)
    except ValueError:
        parts = cell.split(" ")
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "|", "%")) or all(
            part.lstrip("+-")[:1].isalnum() for part in parts
        )


def test_numbers_stay_numbers():
    assert csv_text([["-1.5", -2, "1e-3", "-1 -2.5", "", "nan", "-inf"]]) == "-1.5,-2,1e-3,-1 -2.5,,nan,-inf\n"


def test_scores_start_no_formula():
    text = scores_csv(summarize("=cmd|' /C calc'!A0", "leader", "", {"@x": [1.0, 2.0], "return": [-1.0, -2.0]}))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=cmd|' /C calc'!A0" in cells and "'@x" in cells and "-1.5" in cells


@pytest.mark.parametrize("name", NAMES)
def test_evaluations_are_named_in_tables_as_text(tmp_path, capsys, name):
    folders = [tmp_path / name, tmp_path / "other"]
    first, second = evaluate._names([folder / "model_1.pt" for folder in folders])
    values = {"return": [1.0, 2.0, 3.0]}
    scores = [*summarize(first, "leader", "", values), *summarize(second, "leader", "", values)]
    rows = [evaluate_row(first, values), evaluate_row(second, values)]
    console = Console(width=400, file=io.StringIO())
    evaluate._show(console, scores, compare_rows(rows, ("return",)))
    shown = console.file.getvalue()
    assert first in shown and "\x1b[2J" not in shown


def evaluate_row(name: str, values):
    return Row(name, "leader", values)


def test_a_home_that_nobody_has_is_no_traceback(capsys):
    assert str(expanded("~nobody-has-this-name/runs")) == "~nobody-has-this-name/runs"
    assert main(["runs", "~nobody-has-this-name/runs"]) == 2
    assert main(["report", "~nobody-has-this-name/runs"]) == 2
    with pytest.raises(UserError):
        resolve_checkpoint("~nobody-has-this-name/model_1.pt", "logs")


@pytest.mark.skipif(os.geteuid() != 0, reason="another account is needed, which only root can become")
def test_a_folder_one_may_not_read_costs_that_folder(tmp_path, sound):
    """As another account: root may read everything."""
    closed = write_run(tmp_path / "runs", "sapg", 2, iterations=6)
    closed.chmod(0o000)
    half = write_run(tmp_path / "runs", "ppo", 3, iterations=6)
    (half / "metrics.csv").chmod(0o000)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    pid = os.fork()
    if pid == 0:
        os.setgid(12345)
        os.setuid(12345)
        found = [run.path for run in named_runs([str(tmp_path / "runs")])]
        told = read_run(half).problems
        sys.stdout.flush()
        os._exit(0 if found == [sound, half] and any("metrics.csv" in text for text in told) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

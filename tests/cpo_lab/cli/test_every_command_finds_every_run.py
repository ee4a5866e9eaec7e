# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What ``cpo-lab runs`` lists, ``latest`` finds and ``report`` reads, whoever wrote the run and wherever it lies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpo_lab.cli import main
from cpo_lab.report.reading import read_run
from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.find import DEPTH, find_runs, named_runs, resolve_checkpoint
from cpo_rl.runs.folder import RunFolder

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"


def library(folder: Path, created: str = "2026-01-01T00:00:00+00:00") -> None:
    """What cpo_rl leaves when it is used without Isaac Lab, as scripts/train_toy.py does."""
    RunFolder.create(folder, task=TASK, algorithm="cpo", seed=3, status="finished", created=created)
    CheckpointStore(folder).save(b"weights", CheckpointManifest(7, identity={"task": TASK}))


def stock(folder: Path, created: str = "2026-01-01T00:00:00+00:00") -> None:
    """What ``isaaclab train`` leaves: no manifest, no sidecars, files named by the last iteration from 0."""
    (folder / "params").mkdir(parents=True)
    run = {"version": 1, "task": TASK, "created_at": created, "metadata": {"agent": "rsl_rl_cfg_entry_point"}}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "params/agent.yaml").write_text("seed: 42\nmax_iterations: 8\nalgorithm:\n  algorithm: cpo\n")
    (folder / "params/env.yaml").write_text("seed: 42\n")
    (folder / "model_7.pt").write_bytes(b"weights")


def ours(folder: Path, created: str = "2026-01-01T00:00:00+00:00") -> None:
    """What ``cpo-lab train`` leaves."""
    stock(folder, created)
    (folder / "model_7.pt").unlink()
    library(folder, created)
    RunFolder(folder).write_launch({"task": TASK, "agent": "cpo", "overrides": [], "iterations": 7})


def torn_manifest(folder: Path) -> None:
    """A run of ours whose manifest was damaged."""
    ours(folder)
    (folder / "manifest.json").write_text('{"format": 1, "ta')


def wrong_kinds(folder: Path) -> None:
    """A run whose manifest is JSON but holds nonsense in every field."""
    ours(folder)
    fields = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({name: [{}] for name in fields} | {"format": 1}))


def newer_format(folder: Path) -> None:
    """A run of a later version."""
    ours(folder)
    (folder / "manifest.json").write_text('{"format": 99}')


def torn_launch(folder: Path) -> None:
    """A run whose request was damaged."""
    ours(folder)
    (folder / "launch.json").write_bytes(b"\xff\xfe{")


def copied_selectively(folder: Path) -> None:
    """What a colleague sends: the newest checkpoint, the table and the configuration."""
    ours(folder)
    for name in ("manifest.json", "run.json", "launch.json"):
        (folder / name).unlink()
    (folder / "metrics.csv").write_text("iteration,env_steps,wall_clock_s\n7,70,1.0\n")


WRITTEN_BY = [library, stock, ours, torn_manifest, wrong_kinds, newer_format, torn_launch, copied_selectively]
PLACES = ["run", "experiment/run", "pbt_hand/member_02", "rsl_rl/experiment/run", "logs/rsl_rl/experiment/run",
          "experiment/[brackets] and spaces", "experiment/[red]run"]  # fmt: skip


def listed(capsys: pytest.CaptureFixture, *arguments: str) -> list[str]:
    assert main(["runs", *arguments, "--json"]) == 0
    return [row["folder"] for row in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize("write", WRITTEN_BY, ids=lambda write: write.__name__)
@pytest.mark.parametrize("place", PLACES)
def test_a_run_is_found_by_all(tmp_path, capsys, write, place):
    folder = tmp_path / place
    write(folder)
    assert listed(capsys, str(tmp_path)) == [str(folder)]
    assert main(["runs", str(tmp_path)]) == 0
    assert folder.name in capsys.readouterr().out
    for selector in ("latest", "best", str(folder)):
        assert resolve_checkpoint(selector, tmp_path) == folder / "model_7.pt"
    assert resolve_checkpoint("latest", tmp_path, task=TASK) == folder / "model_7.pt"
    assert [run.path for run in named_runs([str(tmp_path)])] == [folder]
    assert read_run(folder).name.endswith(folder.name)


@pytest.mark.parametrize("write", WRITTEN_BY, ids=lambda write: write.__name__)
def test_a_pattern_names_runs(tmp_path, capsys, write):
    write(tmp_path / "experiment/2026-01-01_a")
    write(tmp_path / "experiment/2026-01-02_b")
    wanted = tmp_path / "experiment/2026-01-02_b"
    pattern = str(tmp_path / "*/*_b")
    assert listed(capsys, pattern) == [str(wanted)]
    assert [run.path for run in named_runs([pattern])] == [wanted]
    assert resolve_checkpoint("latest", pattern) == wanted / "model_7.pt"
    assert resolve_checkpoint(pattern, "nowhere") == wanted / "model_7.pt"
    assert resolve_checkpoint(f"{pattern}:best", "nowhere") == wanted / "model_7.pt"


def test_all_kinds_side_by_side_are_ordered_by_their_start(tmp_path, capsys):
    for day, (write, name) in enumerate([(stock, "c"), (library, "a"), (ours, "b")], start=1):
        write(tmp_path / "experiment" / name, f"2026-01-0{day}T00:00:00+00:00")
    copied_selectively(tmp_path / "experiment/sent")
    assert resolve_checkpoint("latest", tmp_path).parent.name == "b"
    assert [Path(folder).name for folder in listed(capsys, str(tmp_path))] == ["sent", "c", "a", "b"]
    assert [run.path.name for run in named_runs([str(tmp_path)])] == ["sent", "c", "a", "b"]


def test_a_stock_run_shows_what_its_files_tell(tmp_path, capsys):
    stock(tmp_path / "run")
    main(["runs", str(tmp_path), "--json"])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["task"], row["algorithm"], row["seed"], row["health"]) == (TASK, "cpo", 42, "unknown")
    assert (row["iteration"], row["max_iterations"], row["problems"]) == (8, 8, [])


@pytest.mark.parametrize("write", [torn_manifest, wrong_kinds, newer_format])
def test_damage_is_told_and_costs_nobody_else(tmp_path, capsys, write):
    ours(tmp_path / "sound")
    write(tmp_path / "damaged")
    assert main(["runs", str(tmp_path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("damaged: manifest.json")]
    assert len(told) == 1
    assert len(listed(capsys, str(tmp_path))) == 2


@pytest.mark.parametrize(
    "value", [True, -1, 10**400, 1e300, float("inf"), float("nan"), "text", [1], {"a": 1}], ids=repr
)
def test_no_value_of_a_manifest_ends_the_listing(tmp_path, capsys, value):
    ours(tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    numbers = {"Leader/return": value, "score": value, "iteration": value}
    for fields in (dict.fromkeys(manifest, value), {**manifest, "last": numbers, "best": numbers, "status": "running"}):
        (tmp_path / "run/manifest.json").write_text(json.dumps({**fields, "format": 1}))
        assert main(["runs", str(tmp_path)]) == 0
        assert "Infinity" not in capsys.readouterr().out
        assert listed(capsys, str(tmp_path)) == [str(tmp_path / "run")]


NAMES = {
    "bytes": b"\xff\xfe run",
    "letters": "läuft · ΔΩ".encode(),
    "line": b"a\nb",
    "markup": b"[red]x[/]",
    "dash": b"-x",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_or_text_ends_a_command(tmp_path, name):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/runs/" + name))
    ours(folder)
    RunFolder.open(folder).update(status="crashed", algorithm="[bold]b[/]", error="[red] and \N{GREEK SMALL LETTER MU}")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (["runs"], ["runs", "--json"], ["report", "--out", str(tmp_path / "report")]):
        arguments = [sys.executable, "-m", "cpo_lab.cli", *command, str(tmp_path / "runs")]
        done = subprocess.run(arguments, capture_output=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr
    (run,) = find_runs(tmp_path)
    assert run.path == folder and run.problems == []


def test_text_that_no_file_can_hold_is_damage(tmp_path):
    ours(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "error": "\ud800"}))
    (run,) = find_runs(tmp_path)
    assert run.problems == ["manifest.json is damaged (field error)."] and run.manifest["status"] == "finished"


def test_what_is_no_run_is_passed_over(tmp_path, capsys, caplog):
    library(tmp_path / "experiment/run")
    (tmp_path / "experiment/junk").mkdir()
    (tmp_path / "experiment/junk/manifest.json").write_text("{")
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    (tmp_path / "metrics.csv").write_text("of,something,else\n")
    assert listed(capsys, str(tmp_path)) == [str(tmp_path / "experiment/run")]
    assert "junk: manifest.json is damaged" in caplog.text


def test_what_lies_inside_a_run_belongs_to_it(tmp_path, capsys):
    library(tmp_path / "run")
    library(tmp_path / "run/exported/copy")
    assert listed(capsys, str(tmp_path)) == [str(tmp_path / "run")]


def test_a_run_is_listed_once_however_it_is_reached(tmp_path):
    library(tmp_path / "a/run")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    assert [run.path for run in find_runs(tmp_path, tmp_path / "a", str(tmp_path / "*/run"))] == [tmp_path / "a/run"]


def test_the_search_ends_at_a_depth(tmp_path):
    place = tmp_path
    for level in range(DEPTH + 1):
        place = place / str(level)
    library(place)
    assert find_runs(tmp_path) == []
    assert [run.path for run in find_runs(tmp_path / "0")] == [place]


def test_a_checkpoint_and_its_sidecar_alone_say_their_task(tmp_path):
    settings = {"seed": 5, "algorithm": {"algorithm": "sapg"}}
    CheckpointStore(tmp_path).save(b"x", CheckpointManifest(3, identity={"task": TASK}, config=settings))
    run = RunFolder.read(tmp_path)
    assert (run.task, run.algorithm, run.seed, run.iteration) == (TASK, "sapg", 5, 3)


def test_nothing_found_is_one_sentence(tmp_path):
    for selector in ("latest", "best"):
        with pytest.raises(UserError, match=f"--checkpoint {selector} found no run of task 'T'"):
            resolve_checkpoint(selector, tmp_path, task="T")

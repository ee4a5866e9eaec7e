# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What has the name of a run's file and is none: pipes, devices and folders are neither read nor written into."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.configs import read_config, read_yaml
from cpo_rl.runs.dump import read_dump
from cpo_rl.runs.files import open_file, read_file, read_json
from cpo_rl.runs.folder import RunFolder
from cpo_rl.runs.tables import MetricsTable, complete_lines, has_lines, open_rows, read_metrics


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path.name)


KINDS = [pipe, zeros, folder, circle]
READERS: list[Callable[[Path], object]] = [
    open_file,
    read_json,
    read_yaml,
    complete_lines,
    read_metrics,
    read_dump,
    read_checkpoint,
    lambda path: read_checkpoint(path, unchecked=True),
    lambda path: read_file(path, 100),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_no_reader_waits_or_reads_for_ever(tmp_path, kind, reader):
    kind(tmp_path / "model_1.pt")
    with pytest.raises((OSError, UserError)):
        reader(tmp_path / "model_1.pt")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_counts_as_records(tmp_path, kind):
    kind(tmp_path / "metrics.csv")
    assert has_lines(tmp_path / "metrics.csv", 2)


def test_nothing_larger_than_said_is_read(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "f", 100) == b"x" * 100
    with pytest.raises(ValueError, match="larger"):
        read_file(tmp_path / "f", 99)
    os.truncate(tmp_path / "f", 1 << 40)  # a terabyte of nothing
    for reader in (read_yaml, read_json, read_dump, lambda p: read_checkpoint(p, unchecked=True)):
        with pytest.raises((ValueError, UserError)):
            reader(tmp_path / "f")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_is_no_file_is_not_complete(tmp_path, kind):
    runner = make_runner(ensemble_cfg(), tmp_path)
    runner.learn(2)
    checkpoint = tmp_path / "model_2.pt"
    checkpoint.unlink()
    kind(checkpoint)
    assert not CheckpointStore(tmp_path).is_complete(checkpoint)
    assert 2 not in CheckpointStore(tmp_path).complete()
    with pytest.raises(UserError):
        read_checkpoint(checkpoint)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["run.log", "launch.json", "run.json", "diagnostics.jsonl", "params/env.yaml", "params"]
)
def test_a_run_goes_on_beside_what_stands_in_the_way(tmp_path, kind, name):
    runner = make_runner(ensemble_cfg(), tmp_path)
    runner.learn(1)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.unlink()
    kind(path)
    again = make_runner(ensemble_cfg(), tmp_path)
    again.resume()
    again.learn(1)
    assert RunFolder.read(tmp_path).iteration == 2
    if (name, kind) != ("params", folder):
        assert os.path.lexists(path.with_name(f"{path.name}.damaged")), "it is kept"
        assert not os.path.lexists(path) or path.is_file()
    problems: list[str] = []
    assert read_config(tmp_path, problems) is None, "the settings are another test's"


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("iteration,x\n", 0), ("iteration,x\n1,2\n2,3\n3", 2), ("torn", 0)]
)
def test_rows_are_the_complete_lines_below_the_header(tmp_path, text, count):
    (tmp_path / "metrics.csv").write_text(text)
    with open_rows(tmp_path / "metrics.csv") as rows:
        assert rows.count == count == len(list(rows.lines))


def test_a_new_column_leaves_the_rows_before_as_they_are(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    table.append(1, 10, 0.12345, {"a": 1.0})
    table.append(2, 20, 1.0, {"a": 2.0, "b": 3.0})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == ["iteration,env_steps,wall_clock_s,a,b", "1,10,0.123,1", "2,20,1,2,3"]
    assert MetricsTable(tmp_path / "metrics.csv").columns == table.columns


def test_lines_are_counted_up_to_what_was_asked(tmp_path):
    (tmp_path / "f").write_text("a\nb\n" + "x" * 3_000_000)
    assert [has_lines(tmp_path / "f", n) for n in (0, 1, 2, 3)] == [True, True, True, False]
    assert not has_lines(tmp_path / "absent", 1)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_in_a_record_does_not_keep_it_from_being_written_again(tmp_path, number):
    runner = make_runner(ensemble_cfg(), tmp_path)
    runner.learn(1)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        manifest.read_text().replace('"num_envs": ', f'"score": [{number}, {{"x": {number}}}], "num_envs": ')
    )
    assert read_json(manifest, finite=True)["score"] == [None, {"x": None}]
    again = make_runner(ensemble_cfg(), tmp_path)
    again.resume()
    again.learn(1)
    assert RunFolder.read(tmp_path).iteration == 2

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""metrics.csv and diagnostics.jsonl in any state: a run continues, a reader passes over what does not parse."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cpo_rl.runners.support import ensemble_cfg, make_runner

from cpo_rl.runs import tables
from cpo_rl.runs.curves import read_curves, read_snapshots
from cpo_rl.runs.tables import JsonLines, MetricsTable, read_metrics

FILES = ("metrics.csv", "diagnostics.jsonl")


def write(folder: Path) -> None:
    """Write three iterations of both files."""
    for i in (1, 2, 3):
        MetricsTable(folder / FILES[0]).append(i, i * 10, i * 0.5, {"x": float(i), 'q "r", s': 1.0})
        JsonLines(folder / FILES[1]).append(i, i * 10, {"kl_matrix": [[0.0, 1.0], [2.0, 0.0]]})


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has a limit
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def replace_by_link(target: str):
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(path.name if target == "itself" else target)

    return damage


def content(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    "missing": Path.unlink,
    "empty": content(lambda data: b""),
    "newline only": content(lambda data: b"\n"),
    "newlines": content(lambda data: b"\n" * 50),
    "zeros": content(lambda data: b"\0" * len(data)),
    "zeros at the end": content(lambda data: data + b"\0" * 4096),
    "zeros for the last line": content(lambda data: data[:-20] + b"\0" * 20),
    "no newline at the end": content(lambda data: data[:-1]),
    "half a line": content(lambda data: data[:-7]),
    "half of the first line": content(lambda data: data[:9]),
    "first line gone": content(lambda data: data.split(b"\n", 1)[1]),
    "first line twice": content(lambda data: data.split(b"\n", 1)[0] + b"\n" + data),
    "last line twice": content(lambda data: data + data.splitlines(keepends=True)[-1]),
    "backwards": content(lambda data: b"".join(reversed(data.splitlines(keepends=True)))),
    "written by two": content(lambda data: data + b"".join(data.splitlines(keepends=True)[1:])),
    "carriage returns": content(lambda data: data.replace(b"\n", b"\r\n")),
    "old Mac": content(lambda data: data.replace(b"\n", b"\r")),
    "UTF-16": content(lambda data: data.decode().encode("utf-16")),
    "byte order mark": content(lambda data: b"\xef\xbb\xbf" + data),
    "Latin-1": content(lambda data: data.replace(b"x", b"\xe9")),
    "half a letter": content(lambda data: data[:-1] + b"\xe2\x82\n"),
    "a quote": content(lambda data: data.replace(b"1", b'"', 1)),
    "quotes everywhere": content(lambda data: data.replace(b",", b'"')),
    "binary": content(lambda data: bytes(range(256)) * 8),
    "a picture": content(lambda data: b"\x89PNG\r\n\x1a\n" + data),
    "a huge line": content(lambda data: data + b"9" * 300_000 + b"\n"),
    "a huge header": content(lambda data: b"a" * 300_000 + b"," + data),
    "ten thousand cells": content(lambda data: data + b"1," * 10_000 + b"\n"),
    "deep JSON": content(lambda data: data + b'{"iteration":' * 50_000 + b"\n"),
    "another's lines": content(lambda data: b'{"a": 1}\n[1]\n"x"\n3\nnull\n' + data),
    "iterations of other kinds": content(
        lambda data: data + b"".join(b'{"iteration": %s}\n' % v for v in (b"null", b'"2"', b"[2]", b"1e400", b"true"))
    ),
    "an iteration beyond numbers": content(lambda data: data + b'{"iteration": ' + b"9" * 400 + b"}\n"),
    "an iteration beyond Python": content(lambda data: data + b'{"iteration": ' + b"9" * 9000 + b"}\n"),
    "rows of no number": content(lambda data: data + b"nan,1,1,1\ninf,1,1,1\n-inf,1,1,1\n,,,\n1.5,1,1,1\n1e400,1\n"),
    "a folder": replace_by_folder,
    "a pipe": replace_by_pipe,
    "a socket": replace_by_socket,
    "a link to nowhere": replace_by_link("nowhere"),
    "a link to itself": replace_by_link("itself"),
    "a link to zeros": replace_by_link("/dev/zero"),
    "nobody may read": lambda path: path.chmod(0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_no_damage_ends_a_resume_and_every_iteration_appears_once(tmp_path, kind):
    write(tmp_path)
    for name in FILES:
        DAMAGE[kind](tmp_path / name)
    table, lines = MetricsTable(tmp_path / FILES[0]), JsonLines(tmp_path / FILES[1])
    for file in (table, lines):
        file.truncate_after(2)
    for i in (3, 4):
        table.append(i, i * 10, 1.0, {"x": 40.0})
        lines.append(i, i * 10, {"kl_matrix": [[0.0, 1.0], [2.0, 0.0]]})
    read, entries = read_metrics(table.path), [entry["iteration"] for entry in lines.read()]
    assert read["iteration"] == sorted(set(read["iteration"])) and read["iteration"][-2:] == [3, 4]
    assert read["x"][-2:] == [40.0, 40.0]
    assert entries[-2:] == [3, 4] and entries.count(3) == 1
    assert read_curves(table.path).num_rows == len(read["iteration"])
    assert read_snapshots(lines.path)[0]


@pytest.mark.parametrize("kind", sorted(set(DAMAGE) - {"nobody may read"}))
def test_readers_pass_over_what_does_not_parse(tmp_path, kind, caplog):
    write(tmp_path)
    for name in FILES:
        DAMAGE[kind](tmp_path / name)
    for read in (lambda: read_metrics(tmp_path / FILES[0]), JsonLines(tmp_path / FILES[1]).read):
        unreadable = contextlib.nullcontext() if (tmp_path / FILES[0]).is_file() else contextlib.suppress(OSError)
        with caplog.at_level(logging.WARNING), unreadable:
            read()


def test_how_much_was_left_out_is_said(tmp_path, caplog):
    write(tmp_path)
    for name in FILES:
        with (tmp_path / name).open("ab") as file:
            file.write(b"junk\n{}\n")
    with caplog.at_level(logging.WARNING):
        assert read_metrics(tmp_path / FILES[0])["iteration"] == [1, 2, 3]
        assert len(JsonLines(tmp_path / FILES[1]).read()) == 3
    said = [record.message for record in caplog.records]
    assert [sentence.split(" has ")[1] for sentence in said] == [
        "2 damaged row(s), left out.",
        "2 damaged line(s), left out.",
    ]


@settings(max_examples=150)
@given(data=st.data())
def test_any_bytes_anywhere(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("d")
    write(folder)
    for name in FILES:
        content_now = (folder / name).read_bytes()
        start = data.draw(st.integers(0, len(content_now)))
        stop = data.draw(st.integers(start, len(content_now)))
        (folder / name).write_bytes(content_now[:start] + data.draw(st.binary(max_size=20)) + content_now[stop:])
    table, lines = MetricsTable(folder / FILES[0]), JsonLines(folder / FILES[1])
    for file in (table, lines):
        file.truncate_after(2)
    table.append(3, 30, 1.0, {"x": 40.0})
    lines.append(3, 30, {})
    read = read_metrics(table.path)
    assert read["iteration"] == sorted(set(read["iteration"])) and read["iteration"][-1] == 3
    assert [entry["iteration"] for entry in lines.read()].count(3) == 1


def test_what_is_put_aside_replaces_nothing(tmp_path):
    for text in ("one\n", "two\n", "three\n"):
        (tmp_path / "metrics.csv").write_text(text)
        MetricsTable(tmp_path / "metrics.csv").truncate_after(1)
    names = ("metrics.csv.damaged", "metrics.csv.damaged-2", "metrics.csv.damaged-3")
    assert [(tmp_path / name).read_text() for name in names] == ["one\n", "two\n", "three\n"]


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 4, 7])
@pytest.mark.parametrize("can_cut", [True, False], ids=["", "nor can it be cut"])
def test_a_disk_that_takes_half_a_line_leaves_whole_lines(tmp_path, monkeypatch, taken, can_cut):
    """The second write of a line fails, as on a disk that has just become full."""
    write(tmp_path)
    real, calls = os.write, []

    def short(descriptor, data):
        calls.append(len(data))
        if len(calls) % 2 == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data[:taken]))

    def no_cut(*args):
        raise OSError(errno.EIO, "Input/output error")

    table, lines = MetricsTable(tmp_path / FILES[0]), JsonLines(tmp_path / FILES[1])
    monkeypatch.setattr(tables.os, "write", short)
    if not can_cut:
        monkeypatch.setattr(tables.os, "ftruncate", no_cut)
    for append in (lambda: table.append(4, 40, 2.0, {"x": 4.0}), lambda: lines.append(4, 40, {"kl_matrix": [[0.0]]})):
        with pytest.raises(OSError, match="No space left"):
            append()
    monkeypatch.setattr(tables.os, "write", real)
    table.append(5, 50, 2.5, {"x": 5.0})
    lines.append(5, 50, {})
    assert read_metrics(table.path)["x"][-1] == 5.0
    assert read_metrics(table.path)["iteration"][-1] == 5
    assert [entry["iteration"] for entry in lines.read()] == [1, 2, 3, 5]
    if can_cut:
        assert read_metrics(table.path)["iteration"] == [1, 2, 3, 5]


def test_short_writes_go_on_where_they_ended(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(tables.os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    write(tmp_path)
    assert read_metrics(tmp_path / FILES[0])["x"] == [1.0, 2.0, 3.0]
    assert [json.loads(line)["iteration"] for line in (tmp_path / FILES[1]).read_text().splitlines()] == [1, 2, 3]


def test_a_name_with_line_ends_or_half_a_letter_stays_one_line(tmp_path):
    table = MetricsTable(tmp_path / "metrics.csv")
    for i in (1, 2):
        table.append(i, i, 1.0, {"two\nlines": float(i)})
    assert read_metrics(table.path)["two lines"] == [1.0, 2.0]
    JsonLines(tmp_path / "d.jsonl").append(1, 1, {"half \ud800": 1})
    assert JsonLines(tmp_path / "d.jsonl").read()[0]["iteration"] == 1


# -- a whole run -------------------------------------------------------------------------------------------------------


def test_a_run_whose_records_are_all_damaged_continues(tmp_path):
    make_runner(ensemble_cfg(), tmp_path / "run").learn(2)
    for name in ("metrics.csv", "diagnostics.jsonl"):
        replace_by_folder(tmp_path / "run" / name)
    again = make_runner(ensemble_cfg(), tmp_path / "run")
    assert again.resume()
    again.learn(2)
    assert again.outcome.exit_code == 0
    assert read_metrics(tmp_path / "run/metrics.csv")["iteration"] == [3, 4]
    assert (tmp_path / "run/metrics.csv.damaged/inside").exists()


def test_diagnostics_are_cut_back_when_a_run_continues(tmp_path):
    make_runner(ensemble_cfg(diagnostics_interval=1), tmp_path / "run").learn(5)
    for suffix in ("pt", "json"):
        (tmp_path / f"run/model_5.{suffix}").unlink()
    again = make_runner(ensemble_cfg(diagnostics_interval=1), tmp_path / "run")
    assert again.resume() and again.completed_iterations == 4
    again.learn(2)
    entries = [json.loads(line)["iteration"] for line in (tmp_path / "run/diagnostics.jsonl").read_text().splitlines()]
    assert entries == [1, 2, 3, 4, 5, 6]

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os

import pytest

from cpo_rl.runs import files as atomic


def test_it_creates_and_replaces(tmp_path):
    target = tmp_path / "a.txt"
    atomic.write_text(target, "one")
    atomic.write_text(target, "zwei ä")
    assert target.read_text(encoding="utf-8") == "zwei ä"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_refuses_what_it_cannot_express_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    atomic.write_json(target, {"b": [1, None]})
    before = target.read_text()
    assert before == '{\n  "b": [\n    1,\n    null\n  ]\n}\n'
    for bad in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((ValueError, TypeError)):
            atomic.write_json(target, bad)
    assert target.read_text() == before and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_leftover(tmp_path, monkeypatch, call):
    target = tmp_path / "a.txt"
    atomic.write_text(target, "old")

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_data_reach_the_disk_before_the_name_does_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def record(*args, _name=name, _real=real):
            calls.append(
                (_name, os.path.basename(str(os.readlink(f"/proc/self/fd/{args[0]}"))) if _name == "fsync" else "")
            )
            return _real(*args)

        monkeypatch.setattr(atomic.os, name, record)
    atomic.write_text(tmp_path / "a.txt", "x")
    assert [name for name, _ in calls] == ["fsync", "replace", "fsync"]
    assert calls[0][1].startswith(".a.txt") and calls[2][1] == tmp_path.name


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path):
    atomic.sync_folder(tmp_path / "missing")


def test_leftovers_are_hidden_temporaries_only(tmp_path):
    for name in (".model_3.pt.77.tmp", ".hidden", "model_3.tmp", "model_3.pt"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".folder.tmp").mkdir()
    assert atomic.remove_leftovers(tmp_path) == [".model_3.pt.77.tmp"]
    assert sorted(os.listdir(tmp_path)) == [".folder.tmp", ".hidden", "model_3.pt", "model_3.tmp"]


def test_temporaries_do_not_look_like_checkpoints(tmp_path):
    import re

    names = []
    atomic.atomic_write(tmp_path / "model_3.pt", lambda file: names.append(os.path.basename(file.name)))
    assert not re.match(r"model_.*\.pt", names[0])

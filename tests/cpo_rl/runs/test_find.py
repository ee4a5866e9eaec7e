# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``latest``, ``best``, folders and files, beside runs of the stock launcher."""

from __future__ import annotations

import json

import pytest

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import CheckpointManifest
from cpo_rl.runs.checkpoints import CheckpointStore
from cpo_rl.runs.find import Contents, checkpoint_in, contents_of, resolve_checkpoint


def run_json(folder, task, created, agent="rsl_rl_cfg_entry_point"):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"version": 1, "library": "rsl_rl", "task": task, "created_at": created, "metadata": {"agent": agent}}
    (folder / "run.json").write_text(json.dumps(content))


def ours(folder, task, created, scores, agent="rsl_rl_cfg_entry_point"):
    run_json(folder, task, created, agent)
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "task": task, "created": created}))
    for iteration, score in scores.items():
        CheckpointStore(folder).save(b"%d" % iteration, CheckpointManifest(iteration, score=score))


@pytest.fixture
def logs(tmp_path):
    ours(tmp_path / "old", "A", "2026-01-01T00:00:00+00:00", {10: 9.0, 20: 1.0})
    ours(tmp_path / "new", "A", "2026-02-01T00:00:00+00:00", {5: 2.0, 30: 1.0})
    ours(tmp_path / "other", "B", "2026-03-01T00:00:00+00:00", {7: 1.0}, agent="rsl_rl_sapg_cfg_entry_point")
    ours(tmp_path / "empty", "A", "2026-04-01T00:00:00+00:00", {})
    return tmp_path


def test_the_newest_compatible_run_decides_then_the_checkpoint(logs):
    assert resolve_checkpoint("latest", logs, task="A") == logs / "new/model_30.pt"
    assert resolve_checkpoint("best", logs, task="A") == logs / "new/model_5.pt"
    assert resolve_checkpoint("latest", logs) == logs / "other/model_7.pt"
    assert resolve_checkpoint("latest", logs, task="lab:A") == logs / "new/model_30.pt"
    assert resolve_checkpoint("latest", logs, agent="rsl_rl_cfg_entry_point") == logs / "new/model_30.pt"


def test_folders_and_files(logs):
    assert resolve_checkpoint(str(logs / "old"), "x") == logs / "old/model_20.pt"
    assert resolve_checkpoint(f"{logs / 'old'}:best", "x") == logs / "old/model_10.pt"
    assert resolve_checkpoint(f"{logs / 'old'}:latest", "x") == logs / "old/model_20.pt"
    assert resolve_checkpoint(str(logs / "old/model_10.pt"), "x") == logs / "old/model_10.pt"


def test_nothing_found_is_said_with_the_place(logs):
    with pytest.raises(UserError, match="found no run of task 'C'"):
        resolve_checkpoint("latest", logs, task="C")
    with pytest.raises(UserError, match="found no run with"):
        resolve_checkpoint("best", logs / "nowhere")
    with pytest.raises(UserError, match="holds no complete checkpoint"):
        resolve_checkpoint(str(logs / "empty"), "x")
    with pytest.raises(UserError, match="no such file"):
        resolve_checkpoint(str(logs / "old/model_11.pt"), "x")


def test_a_file_without_a_sidecar_counts_only_where_no_other_has_one(logs):
    (logs / "new/model_99.pt").write_bytes(b"x")
    assert resolve_checkpoint("latest", logs, task="A") == logs / "new/model_30.pt"
    (logs / "empty/model_99.pt").write_bytes(b"x")
    (logs / "empty/model_config.json").write_text("{}")
    assert resolve_checkpoint("latest", logs, task="A") == logs / "empty/model_99.pt"
    (logs / "empty/model_99.json").write_text("{}")
    assert checkpoint_in(logs / "empty") is None


def test_runs_of_the_stock_launcher_are_found(logs):
    stock = logs / "stock"
    run_json(stock, "A", "2026-05-01T00:00:00+00:00")
    for name in ("model_9.pt", "model_150.pt", "model_best.pt"):
        (stock / name).write_bytes(b"x")
    assert resolve_checkpoint("latest", logs, task="A") == stock / "model_150.pt"
    assert resolve_checkpoint("best", logs, task="A") == stock / "model_150.pt"


def test_folders_that_are_no_runs_are_ignored(logs):
    (logs / "junk").mkdir()
    (logs / "junk/run.json").write_text("{")
    (logs / "file").write_text("x")
    (logs / "half").mkdir()
    (logs / "half/run.json").write_text('{"created_at": 3}')
    assert resolve_checkpoint("latest", logs, task="A") == logs / "new/model_30.pt"


HEADER, ROW, LINE = b"iteration,env_steps,wall_clock_s\n", b"1,2,3\n", b'{"iteration": 1}\n'
CONTENTS = {
    "nothing": ({}, False, False),
    "something else": ({"slurm.log": b"x", ".lock": b"{}", "models": b"", "my_model_3.pt": b"x"}, False, False),
    "a manifest": ({"manifest.json": b'{"format": 1, "iteration": 0}'}, True, False),
    "a damaged manifest": ({"manifest.json": b"{"}, True, False),
    "only the launcher's": ({"run.json": b"{}", "launch.json": b"{}", "run.log": b"", "params": b""}, True, False),
    "events": ({"events.out.tfevents.1": b"x"}, True, False),
    "a header": ({"metrics.csv": HEADER}, True, False),
    "half a row": ({"metrics.csv": HEADER + ROW[:-1]}, True, False),
    "a row": ({"metrics.csv": HEADER + ROW}, True, True),
    "half a line": ({"diagnostics.jsonl": LINE[:-1]}, True, False),
    "a line": ({"diagnostics.jsonl": LINE}, True, True),
    "an iteration": ({"manifest.json": b'{"format": 1, "iteration": 1}'}, True, True),
    "a sidecar": ({"model_3.json": b"{}"}, True, False),
    "half a checkpoint": ({"model_3.pt": b"x", "model_3.json": b"{}"}, True, True),
    "a dump": ({"dump_3.pt": b"x"}, True, True),
    "published states": ({"published": b""}, True, True),
    "records put aside": ({"metrics.csv.damaged": ROW}, True, False),
}
"""Content of a folder, whether a run wrote it, and whether it tells of a finished iteration."""


@pytest.mark.parametrize("name", CONTENTS)
def test_what_a_folder_holds_already(tmp_path, name):
    files, is_run, trained = CONTENTS[name]
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    found = contents_of(tmp_path)
    assert (bool(found.files), found.trained, found.checkpoint) == (is_run, trained, None)
    assert set(found.files) == (set(files) if is_run else set())
    assert contents_of(tmp_path / "missing") == Contents(None, (), False)


def test_a_folder_with_a_complete_checkpoint_can_be_continued(tmp_path):
    CheckpointStore(tmp_path).save(b"weights", CheckpointManifest(7))
    assert contents_of(tmp_path) == Contents(tmp_path / "model_7.pt", ("model_7.json", "model_7.pt"), True)


def test_a_table_that_cannot_be_read_counts_as_trained_and_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    assert contents_of(tmp_path).trained
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be read"):
        contents_of(tmp_path / "file")

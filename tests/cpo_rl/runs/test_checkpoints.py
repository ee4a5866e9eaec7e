# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Complete or ignored; newest, best, rotation."""

from __future__ import annotations

import json
import os
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import FORMAT, CheckpointManifest, manifest_path, sha256
from cpo_rl.runs.checkpoints import CheckpointStore, checkpoint_iteration, read_complete, write_checkpoint
from cpo_rl.runs.find import checkpoint_in


def add(store, iteration, score=None, data=None):
    return store.save(data or b"state %d" % iteration, CheckpointManifest(iteration, score=score))


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_saving_writes_file_and_sidecar(tmp_path):
    path = add(CheckpointStore(tmp_path), 20, 1.5)
    assert names(tmp_path) == ["model_20.json", "model_20.pt"]
    stored = json.loads((tmp_path / "model_20.json").read_text())
    assert (stored["size"], stored["sha256"], stored["score"], stored["format"]) == (
        8,
        sha256(b"state 20"),
        1.5,
        FORMAT,
    )
    data, manifest = read_complete(path)
    assert data == b"state 20" and manifest.iteration == 20


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_stored_as_none(tmp_path, score):
    add(CheckpointStore(tmp_path), 1, score)
    assert json.loads((tmp_path / "model_1.json").read_text())["score"] is None


def test_latest_goes_by_number_not_by_name(tmp_path):
    store = CheckpointStore(tmp_path)
    for iteration in (9, 100, 20):
        add(store, iteration)
    assert store.latest().name == "model_100.pt"
    assert list(store.manifests()) == [9, 20, 100]


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "no sidecar", "broken sidecar", "other iteration", "empty"])
def test_what_is_not_complete_is_passed_over(tmp_path, damage):
    store = CheckpointStore(tmp_path)
    add(store, 1, score=1.0)
    path, sidecar = add(store, 2, score=2.0), tmp_path / "model_2.json"
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage in ("cut", "grow", "empty"):
        path.write_bytes({"cut": data[:-1], "grow": data + b"x", "empty": b""}[damage])
    elif damage == "no sidecar":
        sidecar.unlink()
    elif damage == "broken sidecar":
        sidecar.write_text(sidecar.read_text()[:-20])
    else:
        sidecar.write_text(sidecar.read_text().replace('"iteration": 2', '"iteration": 3'))
    assert store.latest().name == "model_1.pt"
    assert store.best().name == "model_1.pt"


@pytest.mark.parametrize("damage", ["file", "sidecar", "both", "content"])
def test_reading_a_damaged_one_is_refused(tmp_path, damage):
    path = add(CheckpointStore(tmp_path), 2)
    if damage in ("file", "both"):
        path.unlink()
    if damage in ("sidecar", "both"):
        manifest_path(path).unlink()
    if damage == "content":
        path.write_bytes(b"state 3")
    with pytest.raises(UserError, match="choose another"):
        read_complete(path)


def test_sidecars_of_a_newer_format_are_refused_by_number(tmp_path):
    path = add(CheckpointStore(tmp_path), 2)
    values = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({**values, "format": FORMAT + 1}))
    with pytest.raises(UserError, match=f"format {FORMAT + 1}; this version reads up to {FORMAT}"):
        read_complete(path)
    assert CheckpointStore(tmp_path).latest() is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"iteration": -1}', '{"iteration": "2"}', '{"iteration": 2, "size": "8"}']
)
def test_sidecars_that_say_nothing_are_refused(tmp_path, text):
    (tmp_path / "model_2.json").write_text(text)
    with pytest.raises(UserError, match="missing or damaged"):
        CheckpointManifest.read(tmp_path / "model_2.json")


def test_the_state_before_the_first_iteration_is_a_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path)
    add(store, 0)
    assert store.latest() == store.path(0)


def test_unknown_fields_of_a_sidecar_are_ignored(tmp_path):
    path = add(CheckpointStore(tmp_path), 2)
    values = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps({**values, "mood": "good"}))
    assert read_complete(path)[1].iteration == 2


def test_empty_and_missing_folders_hold_nothing(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        store = CheckpointStore(folder)
        assert store.latest() is None and store.best() is None and store.manifests() == {} and store.clean() == []


def test_best_prefers_the_newer_of_equals_and_falls_back_to_the_newest(tmp_path):
    store = CheckpointStore(tmp_path)
    add(store, 1)
    add(store, 2)
    assert store.best().name == "model_2.pt"
    for iteration, score in ((3, 5.0), (4, 5.0), (5, -1.0)):
        add(store, iteration, score)
    assert store.best().name == "model_4.pt"


def test_rotation_keeps_newest_and_best_and_clears_lonely_sidecars(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    (tmp_path / "model_0.json").write_text("{}")
    (tmp_path / "model_config.json").write_text("{}")
    for iteration, score in enumerate([1.0, 9.0, 2.0, 3.0, 4.0], start=1):
        add(store, iteration, score)
    assert names(tmp_path) == sorted(
        ["model_config.json", *(f"model_{i}.{suffix}" for i in (2, 4, 5) for suffix in ("pt", "json"))]
    )


def test_zero_keeps_all_and_negative_limits_are_refused(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=0, keep_best=0)
    for iteration in range(1, 8):
        add(store, iteration)
    assert len(store.manifests()) == 7
    for limits in ({"keep_last": -1}, {"keep_best": -1}):
        with pytest.raises(UserError, match=f"{next(iter(limits))} must be 0 or more"):
            CheckpointStore(tmp_path, **limits)


def test_no_best_to_keep_deletes_the_best(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=1, keep_best=0)
    add(store, 1, 100.0)
    add(store, 2, 1.0)
    assert list(store.manifests()) == [2]


def test_a_complete_checkpoint_is_never_written_again_but_an_incomplete_one_is(tmp_path):
    store = CheckpointStore(tmp_path)
    path = add(store, 1, data=b"first")
    add(store, 1, data=b"second")
    assert path.read_bytes() == b"first"
    manifest_path(path).unlink()
    add(store, 1, data=b"third")
    assert read_complete(path)[0] == b"third"


def test_an_explicit_path_is_replaced_and_never_beside_the_old_sidecar(tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    write_checkpoint(path, b"one", CheckpointManifest(1))
    import cpo_rl.runs.checkpoints as store_module

    monkeypatch.setattr(store_module, "write_json", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, b"two", CheckpointManifest(2))
    assert not manifest_path(path).exists()


def test_names(tmp_path):
    assert checkpoint_iteration("a/model_12.pt") == 12
    assert [
        checkpoint_iteration(n) for n in ("model_12.pth", "model_.pt", "xmodel_1.pt", "model_1.json", ".model_1.pt")
    ] == [None] * 5


@settings(max_examples=25, deadline=None)
@given(
    scores=st.lists(st.one_of(st.none(), st.integers(-3, 3).map(float)), min_size=1, max_size=9),
    keep_last=st.integers(1, 4),
    keep_best=st.integers(0, 3),
)
def test_rotation_against_a_model(tmp_path_factory, scores, keep_last, keep_best):
    """After every save: the newest are there, and so are the best of those that survived so far."""
    folder = tmp_path_factory.mktemp("s")
    store = CheckpointStore(folder, keep_last, keep_best)
    alive: dict[int, float | None] = {}
    for iteration, score in enumerate(scores, start=1):
        add(store, iteration, score)
        alive[iteration] = score
        ranked = sorted((i for i in alive if alive[i] is not None), key=lambda i: (alive[i], i), reverse=True)
        keep = set(sorted(alive)[-keep_last:]) | set(ranked[:keep_best])
        alive = {i: alive[i] for i in keep}
        assert set(store.manifests()) == set(alive)
        assert store.latest() == store.path(iteration)


def damage(path, kind):
    """Change a checkpoint's file without changing its size, or cut it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data) if kind == "flipped" else bytes(data[:-3]))


@pytest.mark.parametrize("kind", ["flipped", "cut"])
def test_resume_selection_rotation_and_the_check_against_forking_agree_on_what_is_complete(tmp_path, kind):
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    for iteration in (1, 2, 3):
        add(store, iteration, score=float(iteration))
    damage(store.path(3), kind)
    assert store.latest() == store.best() == store.path(2) == checkpoint_in(tmp_path, "best")
    assert list(store.complete()) == [2] or list(store.complete()) == [1, 2]
    assert store.complete(after=2) == {}, "what is damaged stands in nobody's way"
    add(store, 4, score=0.0)
    assert {2, 4} == set(store.complete()), "what is damaged takes no place of the newest or the best"
    add(store, 3, data=b"state 3 again")
    assert store.latest() == store.path(4) and 3 in store.complete(), "it is written again when its turn comes"


def test_a_checkpoint_damaged_after_it_was_found_whole_is_noticed(tmp_path):
    store = CheckpointStore(tmp_path)
    path = add(store, 1)
    for file in (path, manifest_path(path)):
        os.utime(file, (1e9, 1e9))
    assert store.is_complete(path) and store.is_complete(path)
    damage(path, "flipped")
    assert not store.is_complete(path)


def test_a_whole_checkpoint_is_read_once_and_a_fresh_one_again(tmp_path, monkeypatch):
    store, reads = CheckpointStore(tmp_path), []
    path = add(store, 1)
    real = CheckpointManifest.matches_file
    monkeypatch.setattr(CheckpointManifest, "matches_file", lambda self, p: reads.append(p) or real(self, p))
    for _ in range(2):
        assert store.is_complete(path)
    assert len(reads) == 2, "within the coarseness of the clock a change could go unseen"
    for file in (path, manifest_path(path)):
        os.utime(file, (1e9, 1e9))
    for _ in range(3):
        assert store.is_complete(path)
    assert len(reads) == 3


def test_what_the_guard_saved_displaces_nothing_and_is_never_the_best(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=2, keep_best=1)
    for iteration, score in ((1, 9.0), (2, 1.0), (3, 2.0)):
        add(store, iteration, score)
    for iteration in (4, 5, 6, 7):
        store.save(b"state", CheckpointManifest(iteration, score=100.0, stopped_by_guard=True, exact=False))
        assert set(store.complete()) == {1, 2, 3, iteration}
        assert store.latest() == store.path(iteration) and store.best() == store.path(1)
    add(store, 8, 3.0)
    assert set(store.complete()) == {1, 3, 8} and store.latest() == store.path(8)


def test_of_files_without_sidecars_the_newest_intact_one_counts(tmp_path):
    for iteration in (1, 2, 3, 4):
        with zipfile.ZipFile(tmp_path / f"model_{iteration}.pt", "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02}." * 50)
    assert checkpoint_in(tmp_path).name == "model_4.pt"
    damage(tmp_path / "model_4.pt", "cut")
    damage(tmp_path / "model_3.pt", "flipped")
    os.unlink(tmp_path / "model_2.pt")
    os.mkfifo(tmp_path / "model_2.pt")
    assert checkpoint_in(tmp_path).name == "model_1.pt"
    os.unlink(tmp_path / "model_1.pt")
    assert checkpoint_in(tmp_path).name == "model_4.pt", "reading it says what is wrong"


def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path):
    store = CheckpointStore(tmp_path)
    add(store, 1)
    for name in ("model_2.pt", "model_2.json", "model_3.json"):
        os.mkfifo(tmp_path / name)
    manifest_path(store.path(1)).replace(tmp_path / "model_3.json")
    write_checkpoint(store.path(1), b"state 1", CheckpointManifest(1))
    assert store.latest() == store.path(1) and list(store.manifests()) == [1]


@pytest.mark.parametrize("value", [None, 3, "yes", [], float("nan")])
def test_a_sidecar_with_fields_of_other_kinds_is_damaged(tmp_path, value):
    path = add(CheckpointStore(tmp_path), 1)
    stored = json.loads(manifest_path(path).read_text())
    for name in ("stopped_by_guard", "sha256", "score"):
        if (name, value) in (("score", None), ("score", 3), ("sha256", "yes")):
            continue
        manifest_path(path).write_text(json.dumps({**stored, name: value}))
        with pytest.raises(UserError, match="missing or damaged"):
            CheckpointManifest.read(manifest_path(path))

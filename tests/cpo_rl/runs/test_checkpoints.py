# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Complete or ignored; newest, best, rotation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.errors import UserError
from cpo_rl.runs.checkpoint_manifest import FORMAT, CheckpointManifest, manifest_path, sha256
from cpo_rl.runs.checkpoints import CheckpointStore, checkpoint_iteration, read_complete, write_checkpoint


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

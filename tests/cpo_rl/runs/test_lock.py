# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One process per run folder, whatever way its owner ends."""

from __future__ import annotations

import errno
import gc
import json
import multiprocessing
import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpo_rl.errors import UserError
from cpo_rl.runs import lock
from cpo_rl.runs.lock import LOCK_FILE, make_run_folder, move_aside, own_folder

FORK = multiprocessing.get_context("fork")


class Owner:
    """Another process that owns a folder until it is told to end."""

    def __init__(self, folder: Path, *, leaves_child: bool = False) -> None:
        mine, theirs = FORK.Pipe()
        self.process = FORK.Process(target=self._own, args=(folder, theirs, leaves_child))
        self.process.start()
        theirs.close()
        assert mine.poll(30)
        self.child = mine.recv()
        self.pid = self.process.pid

    @staticmethod
    def _own(folder: Path, pipe, leaves_child: bool) -> None:
        held = own_folder(folder)
        child = os.fork() if leaves_child else None
        if child == 0:
            time.sleep(60)
            os._exit(0)
        pipe.send(child)
        time.sleep(60)
        held.close()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.join()


@pytest.fixture
def owner(tmp_path):
    owners: list[Owner] = []

    def start(folder: Path = tmp_path / "run", **options: bool) -> Owner:
        owners.append(Owner(folder, **options))
        return owners[-1]

    yield start
    for each in owners:
        each.process.kill()
        each.process.join()
        if each.child:
            os.kill(each.child, signal.SIGKILL)


def test_a_second_process_is_refused_with_host_and_process_of_the_first(tmp_path, owner):
    first = owner()
    with pytest.raises(UserError) as refusal:
        own_folder(tmp_path / "run")
    sentence = str(refusal.value)
    assert f"process {first.pid} on host {socket.gethostname()!r} (this machine) since 20" in sentence
    assert str(tmp_path / "run") in sentence and "\n" not in sentence
    own_folder(tmp_path / "other").close()


def test_who_does_not_wait_is_refused_at_once(tmp_path, owner):
    owner()
    began = time.monotonic()
    with pytest.raises(UserError):
        own_folder(tmp_path / "run")
    assert time.monotonic() - began < 0.8


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"pid": 7, "host": "elsewhere", "since": "2026"}, "process 7 on host 'elsewhere' since 2026"),
        ({"pid": 7, "host": "elsewhere"}, "process 7 on host 'elsewhere'"),
        ({"pid": 7, "host": "elsewhere", "since": 3}, "process 7 on host 'elsewhere'"),
        ({"pid": 7, "host": socket.gethostname()}, f"process 7 on host {socket.gethostname()!r} (this machine)"),
        ({"pid": True, "host": "elsewhere"}, "another process"),
        ({"pid": 7, "host": 7}, "another process"),
        ({"pid": "7", "host": "elsewhere"}, "another process"),
    ],
)
def test_an_owner_is_described_as_far_as_its_lock_file_tells(tmp_path, told, words):
    (tmp_path / LOCK_FILE).write_text(json.dumps(told))
    assert lock._owner(tmp_path) == words


def test_the_lock_goes_with_its_owner_however_that_ends(tmp_path, owner):
    owner().kill()
    own_folder(tmp_path / "run").close()


def test_a_child_that_outlives_its_parent_does_not_keep_the_folder(tmp_path, owner):
    first = owner(leaves_child=True)
    first.kill()
    os.kill(first.child, 0)
    own_folder(tmp_path / "run").close()


def test_who_waits_gets_the_folder_when_it_is_free(tmp_path, owner):
    first = owner()
    began = time.monotonic()
    with pytest.raises(UserError):
        own_folder(tmp_path / "run", wait_s=0.3)
    assert time.monotonic() - began >= 0.3
    os.kill(first.pid, signal.SIGKILL)
    own_folder(tmp_path / "run", wait_s=20.0).close()


def test_parts_of_one_process_share_it_and_the_last_one_gives_it_back(tmp_path):
    outer, inner = own_folder(tmp_path), own_folder(tmp_path)
    inner.close()
    inner.close()
    assert not _free_for_others(tmp_path)
    outer.close()
    assert _free_for_others(tmp_path)
    own_folder(tmp_path)  # forgotten
    gc.collect()
    assert _free_for_others(tmp_path)


def test_a_folder_that_was_moved_aside_is_owned_no_more_under_its_old_name(tmp_path):
    folder = tmp_path / "run"
    with own_folder(folder):
        (folder / "metrics.csv").write_text("x\n")
        aside = move_aside(folder)
        assert (aside / "metrics.csv").exists() and not folder.exists()
        assert not _free_for_others(aside)
        with own_folder(folder):
            assert not _free_for_others(folder)
    assert _free_for_others(folder)


def test_a_folder_that_is_moved_aside_just_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    folder, flock = tmp_path / "run", lock.fcntl.flock

    def lock_late(*args):
        if not (tmp_path / "aside").exists():
            os.rename(folder, tmp_path / "aside")
        flock(*args)

    monkeypatch.setattr(lock.fcntl, "flock", lock_late)
    with own_folder(folder, wait_s=20.0):
        assert os.listdir(folder) == [".lock"] and not _free_for_others(folder)


def _free_for_others(folder: Path) -> bool:
    def try_to_own() -> None:
        try:
            own_folder(folder)
        except UserError:
            os._exit(2)
        os._exit(0)

    process = FORK.Process(target=try_to_own)
    process.start()
    process.join()
    return process.exitcode == 0


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO])
def test_a_file_system_without_locks_is_told_once_and_stops_nobody(tmp_path, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    for _ in range(2):
        with own_folder(tmp_path) as held:
            assert os.strerror(code) in held.note and "second process" in held.note
    monkeypatch.setattr(lock, "fcntl", None)
    assert own_folder(tmp_path).note


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EACCES])
def test_both_answers_for_a_taken_lock_mean_taken(tmp_path, monkeypatch, code):
    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(UserError, match="in use by another process; wait"):
        own_folder(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_attempt_leaves_a_file_open(tmp_path, owner, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    owner(tmp_path / "busy")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with own_folder(tmp_path), own_folder(tmp_path), own_folder(tmp_path):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    for _ in range(3):
        with pytest.raises(UserError):
            own_folder(tmp_path / "busy")
    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with own_folder(tmp_path):
        assert len(os.listdir("/proc/self/fd")) == before


@given(st.one_of(st.binary(max_size=60), st.dictionaries(st.sampled_from(["pid", "host", "since"]), st.one_of(
    st.none(), st.integers(), st.text(max_size=200), st.lists(st.integers(), max_size=2)))))  # fmt: skip
def test_whatever_a_lock_file_says_the_refusal_is_one_short_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / LOCK_FILE).write_bytes(data)
    told = lock._owner(folder)
    assert "\n" not in told and len(told) < 1000 and told.isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        own_folder(tmp_path / "run")


def test_a_lock_file_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "a" / LOCK_FILE).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / LOCK_FILE).symlink_to(tmp_path / "victim")
    (tmp_path / "c").write_text("a file")
    for name in "abc":
        with pytest.raises(UserError, match="cannot be written"):
            own_folder(tmp_path / name)
    assert not (tmp_path / "victim").exists()


class _Frozen(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 2, 3, 4, 5)


def test_starts_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    """Many processes at once; plain "look whether it is there, then make it" shares some."""
    monkeypatch.setattr(lock, "datetime", _Frozen)
    met, pipes = FORK.Barrier(12), []

    def start(pipe) -> None:
        met.wait()
        pipe.send(str(make_run_folder(tmp_path, "hand", "a")))

    for _ in range(12):
        mine, theirs = FORK.Pipe()
        FORK.Process(target=start, args=(theirs,)).start()
        pipes.append(mine)
    names = {Path(pipe.recv()).name for pipe in pipes}
    stem = "2026-01-02_03-04-05_a"
    assert names == {stem, *(f"{stem}-{n}" for n in range(2, 13))}


def test_names_of_new_folders_and_of_those_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "datetime", _Frozen)
    time_, root = "2026-01-02_03-04-05", tmp_path / "logs"
    made = [make_run_folder(root, "hand", name) for name in ("", "a", "a", "a")]
    assert made == [root / "hand" / name for name in (time_, f"{time_}_a", f"{time_}_a-2", f"{time_}_a-3")]
    assert all(folder.is_dir() for folder in made)
    (made[0] / "metrics.csv").write_text("x")
    aside = move_aside(made[0])
    assert aside == root / "hand" / f"{time_}.aside-{time_}" and (aside / "metrics.csv").exists()
    made[0].mkdir()
    assert move_aside(made[0]).name == f"{aside.name}-2"


def test_what_cannot_be_made_or_moved_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be made"):
        make_run_folder(tmp_path / "file", "hand", "")
    (tmp_path / "run").mkdir()

    def refuse(*args):
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(lock.os, "rename", refuse)
    with pytest.raises(UserError, match=r"cannot be moved aside \(busy\)"):
        move_aside(tmp_path / "run")
    assert sorted(os.listdir(tmp_path)) == ["file", "run"]

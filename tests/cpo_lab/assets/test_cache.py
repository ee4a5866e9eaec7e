# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpo_lab.assets import cache
from cpo_rl.errors import UserError

RACER = """
import sys, time
from pathlib import Path
from cpo_lab.assets.cache import cached_usd

def write(path):
    assert path.suffix == ".usda"
    with open(path, "w") as file:
        for line in range(200):
            file.write(f"line {line}\\n")
            file.flush()
            time.sleep(0.001)

go = Path(sys.argv[1])
while not go.exists():
    time.sleep(0.005)
path = cached_usd("race", "content", write)
assert len(Path(path).read_text().splitlines()) == 200, "half a file was visible"
print(path)
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))


def write_text(text):
    return lambda path: Path(path).write_text(text)


def test_the_second_call_does_not_write(tmp_path):
    calls = []

    def write(path):
        calls.append(path)
        Path(path).write_text("#usda 1.0")

    first, second = cache.cached_usd("a", "content", write), cache.cached_usd("a", "content", write)
    assert first == second
    assert len(calls) == 1
    assert Path(first).parent == tmp_path / "cache"
    assert sorted(os.listdir(tmp_path / "cache")) == [Path(first).name, f"{Path(first).name}.sha256"]


@pytest.mark.parametrize("which", ["", ".sha256"])
@pytest.mark.parametrize("damage", [b"", b"#us", b"\0" * 9, b"#usda 1.1", b"#usda 1.0 and more", None])
def test_a_damaged_file_is_made_again(which, damage):
    path = Path(cache.cached_usd("a", "content", write_text("#usda 1.0")))
    damaged = path.with_name(path.name + which)
    damaged.unlink()
    if damage is not None:
        damaged.write_bytes(damage)
    assert cache.cached_usd("a", "content", write_text("#usda 1.0")) == str(path)
    assert path.read_text() == "#usda 1.0"
    cache.cached_usd("a", "content", lambda path: pytest.fail("once made again it is whole"))


def test_what_cannot_be_replaced_is_one_sentence():
    path = Path(cache.cached_usd("a", "content", write_text("1")))
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        cache.cached_usd("a", "content", write_text("1"))


def test_other_content_gives_another_file():
    assert cache.cached_usd("a", "one", write_text("1")) != cache.cached_usd("a", "two", write_text("2"))


def test_a_failing_writer_leaves_nothing(tmp_path):
    def fail(path):
        Path(path).write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.cached_usd("a", "content", fail)
    assert os.listdir(tmp_path / "cache") == []


def test_an_unusable_folder_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(UserError, match="set CPO_LAB_CACHE to a writable folder") as caught:
        cache.cached_usd("a", "content", write_text("x"))
    assert str(caught.value).count(".") - str(tmp_path).count(".") == 1


def test_processes_that_start_at_once_see_one_whole_file(tmp_path):
    script, go = tmp_path / "racer.py", tmp_path / "go"
    script.write_text(RACER)
    racers = [
        subprocess.Popen([sys.executable, str(script), str(go)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    go.touch()
    paths = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(paths) == 1
    assert len(os.listdir(tmp_path / "cache")) == 2

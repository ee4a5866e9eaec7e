# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Any account has a place for every cache; one variable moves them all; damaged ones are made again."""

from __future__ import annotations

import getpass
import os
import random
import tempfile
from pathlib import Path

import pytest

from cpo_lab.assets import cache
from cpo_lab.launch import caches
from cpo_rl.errors import UserError

VARIABLES = [*caches.OWN_VARIABLES, *caches.SHARED_VARIABLES, cache.CACHE_VARIABLE, "HOME", "USER", "LOGNAME"]


@pytest.fixture(autouse=True)
def account(tmp_path, monkeypatch):
    """An account with a home of its own and nothing chosen; what a test changes is undone."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "to be restored")
        monkeypatch.delenv(variable)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(caches, "_replaced", [])
    cache.private_temporary.cache_clear()
    yield
    cache.private_temporary.cache_clear()


def below(folder: Path) -> bool:
    """Whether everything that is kept lies below a folder."""
    kept = [Path(os.environ[variable]) for variable in (*caches.OWN_VARIABLES, "XDG_CACHE_HOME")]
    return all(path.is_relative_to(folder) for path in [*kept, cache.cache_dir(), caches.kernel_cache()])


def test_an_ordinary_account_is_left_alone(tmp_path):
    caches.settle_caches()
    assert not set(caches.OWN_VARIABLES) & set(os.environ)
    assert caches.notice() is None
    assert cache.cache_dir() == tmp_path / "home/.cache/cpo_lab"
    assert caches.kernel_cache() == tmp_path / "home/.cache/warp"
    caches.check_caches()


def test_one_variable_moves_every_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "all"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    caches.settle_caches()
    assert below(tmp_path / "all")
    assert Path(tempfile.gettempdir()).is_relative_to(tmp_path / "all")
    assert caches.notice() is None
    caches.check_caches()


def test_a_variable_of_one_library_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "all"))
    monkeypatch.setenv("WARP_CACHE_PATH", str(tmp_path / "kernels"))
    caches.settle_caches()
    assert caches.kernel_cache() == tmp_path / "kernels"


@pytest.mark.parametrize("home", [None, "/proc", "/proc/nowhere", "/dev/null", "/dev/null/home"])
def test_an_account_without_a_home_that_can_be_written_gets_a_folder_of_its_own(tmp_path, monkeypatch, home):
    if home is None:
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        monkeypatch.setenv("HOME", home)
    caches.settle_caches()
    own = tmp_path / "tmp" / f"cpo_lab_{os.getuid()}"
    assert below(own)
    assert own.stat().st_mode & 0o777 == 0o700
    assert "CPO_LAB_CACHE" in caches.notice() and str(own) in caches.notice()
    assert "HOME" in os.environ
    caches.check_caches()
    assert Path(cache.cached_usd("a", "b", lambda path: path.write_text("x"))).parent == own


def test_a_folder_that_somebody_else_could_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc")
    (tmp_path / "tmp" / f"cpo_lab_{os.getuid()}").symlink_to(tmp_path)
    caches.settle_caches()
    assert cache.cache_dir().parent == tmp_path / "tmp" and not cache.cache_dir().is_symlink()
    cache.private_temporary.cache_clear()
    (tmp_path / "tmp" / f"cpo_lab_{os.getuid()}").unlink()
    (tmp_path / "tmp" / f"cpo_lab_{os.getuid()}").mkdir()
    (tmp_path / "tmp" / f"cpo_lab_{os.getuid()}").chmod(0o777)
    assert cache.private_temporary().name != f"cpo_lab_{os.getuid()}"


def test_an_account_without_a_name_gets_one(monkeypatch):
    def nobody():
        if "USER" in os.environ:
            return os.environ["USER"]
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    caches.settle_caches()
    assert getpass.getuser() == f"uid{os.getuid()}"


@pytest.mark.parametrize("variable", [cache.CACHE_VARIABLE, "WARP_CACHE_PATH"])
def test_a_chosen_folder_that_cannot_be_written_is_one_sentence(monkeypatch, variable):
    monkeypatch.setenv(variable, "/proc/nowhere")
    caches.settle_caches()
    with pytest.raises(UserError, match=rf"{variable} .* cannot be written .*; set {variable} to a writable folder\.$"):
        caches.check_caches()


def test_where_nothing_can_be_written_is_one_sentence(monkeypatch):
    def nowhere():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    caches.settle_caches()
    with pytest.raises(UserError, match="set TMPDIR"):
        caches.check_caches()


# -- damaged kernels ---------------------------------------------------------------------------------------------------


def elf(sections: int = 7) -> bytes:
    """The frame of an object file as Warp writes it: a header, some code, the table of sections."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    head[0x28:0x30] = (64 + 100).to_bytes(8, "little")
    head[0x3A:0x3C], head[0x3C:0x3E] = (64).to_bytes(2, "little"), sections.to_bytes(2, "little")
    return bytes(head) + b"c" * 100 + b"s" * 64 * sections


def kernels(folder: Path) -> Path:
    module = folder / "1.17.0" / "wp_module_0123"
    module.mkdir(parents=True)
    (module / "module.meta").write_text('{"kernel": 1}')
    (module / "module.cpu.o").write_bytes(elf())
    (module / "module.cpp").write_text("int main;")
    return module


def test_whole_kernels_stay(tmp_path):
    module = kernels(tmp_path)
    assert caches.remove_damaged_kernels(tmp_path) == [] and module.exists()


@pytest.mark.parametrize("name", ["module.meta", "module.cpu.o"])
@pytest.mark.parametrize("damage", ["empty", "half", "zeros", "garbage", "folder"])
def test_damaged_kernels_go(tmp_path, name, damage):
    module = kernels(tmp_path)
    file = module / name
    whole = file.read_bytes()
    contents = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "zeros": bytes(len(whole)),
        "garbage": random.Random(1).randbytes(len(whole)),
    }
    file.unlink()
    if damage == "folder":
        file.mkdir()
    else:
        file.write_bytes(contents[damage])
    assert caches.remove_damaged_kernels(tmp_path) == [module] and not module.exists()


def test_a_cache_that_is_not_there_has_no_damage(tmp_path):
    assert caches.remove_damaged_kernels(tmp_path / "nothing") == []

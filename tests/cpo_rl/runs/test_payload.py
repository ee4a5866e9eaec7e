# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tensors and plain values survive; everything else is refused and nothing is executed."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpo_rl.errors import UserError
from cpo_rl.runs.payload import from_bytes, plain_copy, to_bytes

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_survives_bit_for_bit(dtype):
    tensor = torch.tensor([0, 1, 1, 0]).to(dtype)
    read = from_bytes(to_bytes({"t": tensor}))["t"]
    assert read.dtype == dtype and torch.equal(read, tensor)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(payload=st.dictionaries(st.text(max_size=5), plain, max_size=4))
def test_plain_values_survive(payload):
    assert from_bytes(to_bytes(payload)) == payload


def test_a_view_is_stored_without_its_storage():
    base = torch.zeros(100_000)
    assert len(to_bytes({"v": base[:10]})) < 4_000
    read = from_bytes(to_bytes({"v": torch.arange(6.0).view(2, 3).t()}))["v"]
    assert torch.equal(read, torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]))


def test_copies_are_independent_and_without_gradient():
    weight = torch.nn.Parameter(torch.ones(3))
    copy = plain_copy({"w": weight})["w"]
    weight.data.zero_()
    assert type(copy) is torch.Tensor and not copy.requires_grad and copy.sum() == 3


def test_inference_tensors_can_be_stored():
    with torch.inference_mode():
        tensor = torch.ones(2)
    assert torch.equal(from_bytes(to_bytes({"t": tensor}))["t"], torch.ones(2))


@pytest.mark.parametrize("value", [np.float32(1.0), np.zeros(2), {1, 2}, object(), lambda: 0, torch.float32, b"x"])
def test_what_could_not_be_read_back_is_refused_when_saving_and_named(value):
    with pytest.raises(TypeError, match=r"payload\.a\[1\]\.b is a"):
        to_bytes({"a": [0, {"b": value}]})


def test_odd_keys_are_refused_when_saving():
    with pytest.raises(TypeError, match=r"payload\.a has a key of type tuple"):
        to_bytes({"a": {(1, 2): 0}})


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def torch_zip(instructions: bytes, compression=zipfile.ZIP_STORED, table="archive/data.pkl") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(table, instructions)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("wrap", ["zip", "bare", "torch.save", "legacy"])
def test_a_pickle_bomb_does_not_go_off(tmp_path, protocol, wrap):
    target = tmp_path / "owned"
    payload = {"iter": 1, "model": Bomb(target)}
    if wrap == "zip":
        data = torch_zip(pickle.dumps(payload, protocol))
    elif wrap == "bare":
        data = pickle.dumps(payload, protocol)
    else:
        buffer = io.BytesIO()
        torch.save(
            payload, buffer, pickle_protocol=max(protocol, 2), _use_new_zipfile_serialization=wrap == "torch.save"
        )
        data = buffer.getvalue()
    with pytest.raises(UserError, match="refused"):
        from_bytes(data, "evil.pt")
    assert not target.exists()
    if wrap == "zip":  # the bomb is a real one
        pickle.loads(zipfile.ZipFile(io.BytesIO(data)).read("archive/data.pkl"))
        assert target.exists()


def test_the_refusal_names_what_the_file_asked_for(tmp_path):
    buffer = io.BytesIO()
    torch.save({"x": Bomb(tmp_path / "a")}, buffer)
    with pytest.raises(UserError, match=r"evil\.pt was refused: it refers to '(posix|nt) mkdir'"):
        from_bytes(buffer.getvalue(), "evil.pt")


@pytest.mark.parametrize(
    "name", ["builtins getattr", "builtins eval", "torch load", "torch.nn.modules.linear Linear", "os system"]
)
def test_names_beyond_tensors_are_refused(name):
    module, attribute = name.split()
    instructions = b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n."
    with pytest.raises(UserError, match=f"refers to '{name}'"):
        from_bytes(torch_zip(instructions))


def test_other_ways_to_import_are_refused():
    for instructions in (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", b"(ios\nsystem\n.", b"\x80\x02\x82\x01."):
        with pytest.raises(UserError, match=r"^checkpoint was refused: it refers to"):
            from_bytes(torch_zip(instructions))


def test_compressed_or_inflated_archives_are_refused():
    instructions = pickle.dumps({"x": "a" * 10_000_000}, 2)
    with pytest.raises(UserError, match="uncompressed zip"):
        from_bytes(torch_zip(instructions, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="uncompressed zip"):
        from_bytes(torch_zip(b"\x80\x02}.", table="archive/code.pkl"))


def test_scripted_modules_are_refused():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    with pytest.raises(UserError, match="refused"):
        from_bytes(buffer.getvalue())


@pytest.mark.parametrize("value", [[1, 2], 3, {1: 2}, torch.zeros(2)])
def test_a_file_without_named_entries_is_refused(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with pytest.raises(UserError, match="no dictionary of named entries"):
        from_bytes(buffer.getvalue())


def test_ordered_dictionaries_become_plain():
    buffer = io.BytesIO()
    torch.save({"model": OrderedDict(a=torch.ones(1))}, buffer)
    assert type(from_bytes(buffer.getvalue())["model"]) is dict


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(data):
    good = to_bytes({"model": {"w": torch.arange(20.0)}, "iter": 3, "infos": None})
    bad = bytearray(good)
    kind = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    place = data.draw(st.integers(0, len(good) - 1))
    if kind == "flip":
        bad[place] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del bad[place:]
    else:
        bad[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    with contextlib.suppress(UserError):
        assert isinstance(from_bytes(bytes(bad)), dict)


def test_a_tensor_larger_than_its_storage_is_refused():
    good = to_bytes({"w": torch.zeros(7)})
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    table = next(name for name in entries if name.endswith("data.pkl"))
    assert entries[table].count(b"K\x07") >= 1
    entries[table] = entries[table].replace(b"K\x07\x85", b"J" + struct.pack("<i", 2**30) + b"\x85")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="refused"):
        from_bytes(buffer.getvalue())


def test_the_reader_behind_the_first_fence_is_the_restricted_one(monkeypatch):
    given, real = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: given.append(kwargs) or real(*args, **kwargs))
    from_bytes(to_bytes({"t": torch.ones(1)}))
    assert [kwargs["weights_only"] for kwargs in given] == [True]


def test_nothing_reads_a_file_with_an_unrestricted_reader():
    """Every call of torch.load in both packages says that it reads weights only, in so many words."""
    root, calls = Path(__file__).parents[3], 0
    for file in [*root.glob("source/**/*.py"), *root.glob("exts/**/*.py"), *root.glob("scripts/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load"):
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                calls += 1
                assert keywords.get("weights_only") == "True", f"{file}:{node.lineno}"
    assert calls >= 2

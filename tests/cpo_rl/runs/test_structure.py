# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a checkpoint's table of contents describes has bounds, and is refused before any of it is built."""

from __future__ import annotations

import io
import pickle
import time
import tracemalloc
import zipfile
from typing import Any
from unittest.mock import patch

import pytest
import torch

from cpo_rl.errors import UserError
from cpo_rl.runs import payload, structure
from cpo_rl.runs.payload import from_bytes, to_bytes


def archive(instructions: bytes, **storages: bytes) -> bytes:
    """A file in torch's form."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", instructions)
        file.writestr("archive/version", "3\n")
        for key, content in storages.items():
            file.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


def doubled(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = [leaf, leaf]
    return leaf


def filled_last(levels: int) -> bytes:
    """The same as :func:`doubled`, with every list filled after it was put into the one around it."""
    made = b"".join(b"]q" + bytes([level]) for level in range(levels + 1))
    filled = b"".join(b"h%c(h%ch%ce" % (level, level + 1, level + 1) for level in range(levels))
    return b"\x80\x02" + made + filled + b"}(X\x01\x00\x00\x00ah\x00u."


def tensor(key: str = "0", items: int = 4, size: str = "(I4\ntq\x00", kind: str = "Float") -> bytes:
    """Instructions for one tensor, whatever they claim."""
    claim = pickle.dumps(items, 2)[2:-1]
    shape = b"".join(pickle.dumps(n, 2)[2:-1] for n in eval(size)) if size.startswith("[") else b"K\x04"
    strides = b"K\x00" * (len(eval(size)) if size.startswith("[") else 1)
    return (
        b"\x80\x02}X\x01\x00\x00\x00tctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        + kind.encode() + b"Storage\nX" + len(key).to_bytes(4, "little") + key.encode()
        + b"X\x03\x00\x00\x00cpu" + claim + b"tQK\x00(" + shape + b"t(" + strides + b"t\x89"
        + b"ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip


def refused(data: bytes) -> str:
    """Refuse a file without building anything; return the sentence."""
    tracemalloc.start()
    start = time.perf_counter()
    with patch.object(torch, "load", side_effect=AssertionError("was built")), pytest.raises(UserError) as refusal:
        from_bytes(data)
    assert time.perf_counter() - start < 5.0
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
    return str(refusal.value)


@pytest.mark.parametrize("levels", [25, 40, 49])
def test_lists_in_lists_twice_at_every_level(levels):
    data = archive(pickle.dumps({"a": doubled(levels, [])}, 2))
    assert len(data) < 2000
    assert "entries" in refused(data)


def test_lists_that_are_filled_after_they_were_used():
    assert from_bytes(archive(filled_last(2))) == {"a": doubled(2, [])}
    assert "entries" in refused(archive(filled_last(40)))


@pytest.mark.parametrize("levels", [60, 300])
def test_depth(levels):
    nested: Any = []
    for _ in range(levels):
        nested = [nested]
    assert "nested deeper than 50 levels" in refused(archive(pickle.dumps({"a": nested}, 2)))


def test_a_list_in_itself():
    loop: list[Any] = []
    loop.append(loop)
    assert "contains itself" in refused(archive(pickle.dumps({"a": loop}, 2)))


def test_many_entries():
    with patch.object(structure, "MOST_ENTRIES", 1000):
        assert "more than 1000 entries" in refused(archive(pickle.dumps({"a": [0] * 1000}, 2)))


def test_many_instructions():
    with patch.object(structure, "MOST_INSTRUCTIONS", 1000):
        assert "more than 1000 instructions" in refused(archive(pickle.dumps({"a": [0] * 1000}, 2)))


def test_a_tensor_as_torch_writes_it_is_read():
    assert from_bytes(archive(tensor(), **{"0": bytes(16)}))["t"].shape == (4,)


@pytest.mark.parametrize(
    ("instructions", "storage"),
    [
        (tensor(items=5), bytes(16)),
        (tensor(items=10**12), bytes(16)),
        (tensor(items=-1), bytes(16)),
        (tensor(items=4, kind="Double"), bytes(16)),
        (tensor(size="[10**6, 10**6]"), bytes(16)),
        (tensor(size="[5]"), bytes(16)),
        (tensor(size="[-4, -1]"), bytes(16)),
    ],
    ids=["one more", "huge", "negative", "wider items", "stride of zero", "size", "negative size"],
)
def test_tensors_larger_than_the_file(instructions, storage):
    assert "larger than its place in the file" in refused(archive(instructions, **{"0": storage}))


@pytest.mark.parametrize("instruction", [b"P0\n", b"i", b"\x93", b"\x81", b"\x82\x01", b"\x8f", b"\x97", b"2", b"0"])
def test_instructions_that_no_checkpoint_needs(instruction):
    """Also those that are harmless: what is allowed is listed, not what is forbidden."""
    assert "was refused" in refused(archive(b"\x80\x02}q\x00(X\x01\x00\x00\x00aN" + instruction + b"u."))


def test_what_we_write_is_followed():
    whole = {"model": {"w": torch.zeros(3, 2)}, "list": [1, 2.5, None, True, "x", (1, (2, 3))], "big": 2**62, "s": []}
    assert str(from_bytes(to_bytes(whole))) == str(whole)


def test_the_reader_is_asked_for_plain_tensors_only():
    """torch's own fence stands behind ours: nobody reads with ``weights_only=False``."""
    with patch.object(payload.torch, "load", wraps=torch.load) as load:
        from_bytes(to_bytes({"a": 1}))
    assert load.call_args.kwargs["weights_only"] is True

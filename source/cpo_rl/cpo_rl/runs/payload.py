# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Tensors and plain values to bytes and back, without executing anything.

The bytes are an ordinary torch zip archive, so rsl_rl's own ``runner.load`` opens them. Its table of contents is
written in pickle's instruction set, which is why reading is fenced three times: the archive may only be torch's
uncompressed zip form, the instructions may name nothing but the builders of tensors and ordered dictionaries and must
describe something with bounds (:mod:`cpo_rl.runs.structure`), and torch's restricted reader (``weights_only=True``),
which has no way to import or call anything else, does the rest. A file that wants more is refused before the first
instruction runs.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

from cpo_rl.errors import UserError
from cpo_rl.runs.files import reason
from cpo_rl.runs.structure import RefusedError, check_structure


def plain_copy(value: Any, path: str = "payload") -> Any:
    """Return ``value`` with every tensor as a compact copy on the CPU.

    Compact, because torch saves the whole storage behind a view; on the CPU, so that the file opens on any machine.

    Args:
        value: Nested dictionaries (string or integer keys), lists and tuples of tensors, numbers, strings and None.
        path: Where ``value`` sits, for the message.

    Raises:
        TypeError: If something else is inside, naming its place.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"{path} has a key of type {type(key).__name__}; use strings or integers.")
        return {key: plain_copy(item, f"{path}.{key}") for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain_copy(item, f"{path}[{i}]") for i, item in enumerate(value))
    raise TypeError(
        f"{path} is a {type(value).__name__}; a checkpoint holds tensors, numbers, strings, lists and dicts."
    )


def to_bytes(payload: Mapping[str, Any]) -> bytes:
    """Serialize a payload.

    Raises:
        TypeError: If the payload holds something that could not be read back safely.
    """
    buffer = io.BytesIO()
    torch.save(plain_copy(payload), buffer)
    return buffer.getvalue()


def from_bytes(
    data: bytes, name: str = "checkpoint", map_location: str | torch.device | None = "cpu"
) -> dict[str, Any]:
    """Read a payload without executing anything it contains.

    Args:
        data: Content of the file.
        name: What to call the file in messages.
        map_location: Device of the tensors; None keeps those stored.

    Returns:
        The payload.

    Raises:
        UserError: If the bytes are not a checkpoint, are damaged, or refer to anything but tensors and plain values.
    """
    _inspect(data, name)
    try:
        payload = torch.load(io.BytesIO(data), map_location=map_location, weights_only=True)
        payload = _checked(payload)
    except Exception as error:  # a hostile file may raise anything in there; none of it is our bug
        raise UserError(
            f"{name} was refused: it does not read as tensors and plain values ({reason(error)})."
        ) from None
    if not isinstance(payload, dict) or not all(isinstance(key, str) for key in payload):
        raise UserError(f"{name} was refused: it holds no dictionary of named entries.")
    return payload


def first_not_finite(value: Any, path: str = "") -> str | None:
    """Return where a nested payload first holds a floating point number that is not finite, or None."""
    if isinstance(value, torch.Tensor):
        bad = value.is_floating_point() and not bool(torch.isfinite(value).all())
    elif isinstance(value, (Mapping, list, tuple)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        found = (first_not_finite(item, f"{path}.{key}".lstrip(".")) for key, item in items)
        return next((place for place in found if place is not None), None)
    else:
        bad = isinstance(value, float) and not math.isfinite(value)
    return path if bad else None


def shape_difference(mine: Any, theirs: Any, path: str) -> str | None:
    """Return where two nested states differ in names, lengths, shapes of tensors or kinds of values, or None."""
    if isinstance(mine, torch.Tensor):
        same = isinstance(theirs, torch.Tensor) and mine.shape == theirs.shape
        return None if same else f"{path} has another shape"
    if isinstance(mine, Mapping):
        if not isinstance(theirs, Mapping) or mine.keys() != theirs.keys():
            return f"{path} has other entries"
        return next(filter(None, (shape_difference(mine[key], theirs[key], f"{path}.{key}") for key in mine)), None)
    if isinstance(mine, (list, tuple)):
        if not isinstance(theirs, (list, tuple)) or len(mine) != len(theirs):
            return f"{path} has another length"
        parts = (shape_difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(mine, theirs, strict=True)))
        return next(filter(None, parts), None)
    odd = mine is not None and isinstance(theirs, torch.Tensor | Mapping | list | tuple)
    return f"{path} is of another kind" if odd else None


def _inspect(data: bytes, name: str) -> None:
    """Refuse archives that are not torch's uncompressed zip form, or whose instructions want what is not allowed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            tables = [entry for entry in entries if entry.filename.endswith(".pkl")]
            stored = all(e.compress_type == zipfile.ZIP_STORED for e in entries) and sum(
                e.file_size for e in entries
            ) <= len(data)
            if len(tables) != 1 or not tables[0].filename.endswith("/data.pkl") or not stored:
                raise UserError(f"{name} was refused: it is no checkpoint in torch's uncompressed zip format.")
            folder = tables[0].filename.removesuffix("data.pkl") + "data/"
            sizes = {e.filename.removeprefix(folder): e.file_size for e in entries if e.filename.startswith(folder)}
            check_structure(archive.read(tables[0]), sizes)
    except RefusedError as error:
        raise UserError(f"{name} was refused: {error}.") from None
    except UserError:
        raise
    except Exception as error:  # zipfile and pickletools raise many kinds on damaged input
        raise UserError(f"{name} was refused: it is damaged or no checkpoint ({reason(error)}).") from None


def _checked(value: Any) -> Any:
    """Return ``value`` with ordered dictionaries as plain ones; raise TypeError on anything that is not plain."""
    if value is None or isinstance(value, torch.Tensor) or type(value) in (bool, int, float, str):
        return value
    if type(value) in (dict, OrderedDict):
        return {key: _checked(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_checked(item) for item in value)
    raise TypeError(f"it holds a {type(value).__name__}")

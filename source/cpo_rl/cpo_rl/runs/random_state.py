# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The global random generators of a process: Python, NumPy, torch on the CPU and on the device in use."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cpo_rl.runs.payload import shape_difference


def capture(device: str | torch.device = "cpu") -> dict[str, Any]:
    """Return the states of all global generators as tensors and plain values.

    Args:
        device: The device training runs on; its generator is included when it is a CUDA device.
    """
    version, words, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": {"version": version, "words": _pack(np.array(words, dtype=np.uint32)), "gauss": gauss},
        "numpy": {
            "algorithm": algorithm,
            "keys": _pack(np.asarray(keys)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(torch.device(device))
    return state


def restore(state: Mapping[str, Any], device: str | torch.device = "cpu") -> list[str]:
    """Set all global generators to a captured state.

    Args:
        state: Return value of :func:`capture`.
        device: The device training runs on now.

    Returns:
        What could not be restored, in words (a CUDA state without a CUDA device, or the other way round).
    """
    python, numpy = state["python"], state["numpy"]
    words = tuple(_unpack(python["words"]).tolist())
    random.setstate((python["version"], words, python["gauss"]))
    np.random.set_state(
        (numpy["algorithm"], _unpack(numpy["keys"]), numpy["position"], numpy["has_gauss"], numpy["cached"])
    )
    torch.set_rng_state(state["torch"].cpu())
    wants_cuda = torch.device(device).type == "cuda"
    if wants_cuda and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), torch.device(device))
    if wants_cuda != ("cuda" in state):
        return ["the random generator of the device, because the run moved between CPU and CUDA"]
    return []


def check(state: Any, device: str | torch.device = "cpu") -> None:
    """Make sure that :func:`restore` can set a state; NumPy reads beyond its memory where a position is wrong.

    Raises:
        ValueError: If it cannot.
    """
    mine = capture(device)
    mine.pop("cuda", None)
    stored = {name: value for name, value in state.items() if name != "cuda"} if isinstance(state, Mapping) else None
    wrong = shape_difference(mine, stored, "the state of random generators")
    if wrong is not None:
        raise ValueError(wrong)
    python, numpy = state["python"], state["numpy"]
    words = _unpack(python["words"])
    whole = python["version"] == mine["python"]["version"] and words[-1] < len(words)
    whole = whole and (python["gauss"] is None or type(python["gauss"]) is float)
    whole = whole and numpy["algorithm"] == mine["numpy"]["algorithm"] and type(numpy["position"]) is int
    whole = whole and 0 <= numpy["position"] <= len(numpy["keys"])
    whole = whole and numpy["has_gauss"] in (0, 1) and type(numpy["cached"]) is float
    if not whole or state["torch"].dtype != torch.uint8:
        raise ValueError("the state of random generators is damaged")


def _pack(words: np.ndarray) -> torch.Tensor:
    """Return 32-bit words as the integers of equal bits that a checkpoint can hold."""
    return torch.from_numpy(words.astype(np.uint32).view(np.int32).copy())


def _unpack(words: torch.Tensor) -> np.ndarray:
    """Undo :func:`_pack`."""
    return words.cpu().numpy().view(np.uint32)

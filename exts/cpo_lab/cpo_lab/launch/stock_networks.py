# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a checkpoint of rsl_rl's own runner tells about its networks, where nothing beside it does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError

_GATES = {"lstm": 4, "gru": 3}
"""Rows of a recurrent layer's weights per unit."""


def networks_in(checkpoint: Path) -> dict[str, Any]:
    """Return the settings ``actor`` and ``critic`` of rsl_rl's networks in a file; empty if it holds none.

    Sizes and kinds follow from the tensors; the activation does not.

    Raises:
        UserError: If the file cannot be read, or is of an rsl_rl that is too old.
    """
    from cpo_rl.runs.checkpoint_reader import read_checkpoint

    payload = read_checkpoint(checkpoint).payload
    if "model_state_dict" in payload:
        raise UserError(
            f"checkpoint {checkpoint.name!r} is of rsl_rl before version 5, whose networks have other names; only "
            "those of rsl_rl 5 can be read."
        )
    states = {name: payload.get(f"{name}_state_dict") for name in ("actor", "critic")}
    return {name: _settings(state) for name, state in states.items() if isinstance(state, Mapping)}


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of one network from its tensors by name."""
    layers = sorted((int(found[1]), name) for name in state if (found := re.fullmatch(r"mlp\.(\d+)\.weight", name)))
    settings: dict[str, Any] = {
        "hidden_dims": [len(state[name]) for _, name in layers[:-1]],
        "obs_normalization": any(name.startswith("obs_normalizer.") for name in state),
    }
    recurrent = [name for name in state if re.fullmatch(r"rnn\.rnn\.weight_hh_l\d+", name)]
    if recurrent:
        rows, units = state[recurrent[0]].shape
        kind = next((kind for kind, gates in _GATES.items() if rows == gates * units), "lstm")
        settings |= {"rnn_type": kind, "rnn_hidden_dim": units, "rnn_num_layers": len(recurrent)}
    noise = {"distribution.std_param": "scalar", "distribution.log_std_param": "log"}
    kinds = [kind for name, kind in noise.items() if name in state]
    return settings | ({"distribution_cfg": {"std_type": kinds[0]}} if kinds else {})

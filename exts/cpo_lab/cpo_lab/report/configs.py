# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Configurations of runs as flat dotted keys: what tells two runs apart once seed and file names are left out."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

type FlatConfig = dict[str, str]
"""Dotted key, prefixed with 'env.' or 'agent.', to the value in JSON notation."""

BOOKKEEPING = frozenset(
    {
        "seed",
        "run_name",
        "log_dir",
        "logger",
        "wandb_project",
        "neptune_project",
        "resume",
        "load_run",
        "load_checkpoint",
        "save_interval",
        "max_iterations",
        "diagnostics_interval",
        "experiment_name",
        "video_recorders",
        "visualizer_cfgs",
    }
)
"""Last parts of keys that do not change what is learned per environment step, so seeds may differ in them."""


class _PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader that reads Python-tagged nodes (tuples, slices, enums) as plain lists, mappings and strings."""


def _plain(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)
_PlainLoader.add_multi_constructor("!", _plain)


def read_config(folder: Path, problems: list[str]) -> FlatConfig | None:
    """Reads params/env.yaml and params/agent.yaml of a run folder.

    Args:
        folder: Run folder.
        problems: Receives one sentence per file that is missing or damaged.

    Returns:
        Both files flattened, without bookkeeping keys; None if either is unreadable (half a configuration would put
        runs together that differ).
    """
    merged: FlatConfig = {}
    complete = True
    for part in ("env", "agent"):
        file = folder / "params" / f"{part}.yaml"
        try:
            text = file.read_text(encoding="utf-8")
            merged.update(_parse(part, _without_bookkeeping(text)))
        except FileNotFoundError:
            problems.append(f"params/{part}.yaml is missing.")
            complete = False
        except (OSError, ValueError, yaml.YAMLError) as error:
            problems.append(f"params/{part}.yaml is damaged ({str(error).splitlines()[0]}).")
            complete = False
    return merged if complete else None


def fingerprint(config: FlatConfig | None) -> str:
    """Short digest that is equal for runs of one configuration, 'unknown' without one."""
    if config is None:
        return "unknown"
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def differing_keys(configs: Sequence[FlatConfig | None]) -> list[str]:
    """Keys whose value is not the same in all known configurations, sorted, agent before env."""
    known = [config for config in configs if config is not None]
    keys = sorted({key for config in known for key in config})
    return [key for key in keys if len({config.get(key) for config in known}) > 1]


def _without_bookkeeping(text: str) -> str:
    """Drops one-line bookkeeping entries, so that the seeds of one configuration share one parse."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if not _is_bookkeeping_scalar(line))


def _is_bookkeeping_scalar(line: str) -> bool:
    key, separator, value = line.strip().partition(":")
    return bool(separator and value.strip()) and key in BOOKKEEPING


@functools.lru_cache(maxsize=256)
def _parse(part: str, text: str) -> FlatConfig:
    content = yaml.load(text, Loader=_PlainLoader)
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    flat: FlatConfig = {}
    _flatten(part, content, flat)
    return flat


def _flatten(prefix: str, value: Any, into: FlatConfig) -> None:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            if str(key) not in BOOKKEEPING:
                _flatten(f"{prefix}.{key}", child, into)
    elif isinstance(value, list) and any(isinstance(child, (dict, list)) for child in value):
        for index, child in enumerate(value):
            _flatten(f"{prefix}.{index}", child, into)
    else:
        into[prefix] = json.dumps(value, default=str)

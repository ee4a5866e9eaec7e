# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""``params/env.yaml`` and ``params/agent.yaml``: read without executing anything, and compared between runs."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cpo_rl.runs.files import read_file, reason, write_text

type FlatConfig = dict[str, str]
"""Dotted key, prefixed with 'env.' or 'agent.', to the value in JSON notation."""

PARTS = ("env", "agent")
"""The files in ``params/``, without their ending."""

MAX_KEYS = 100_000
"""Most keys of a configuration; a file whose references to itself unfold to more is damaged."""

MAX_CHANGES = 200
"""Most settings that are told as changed; more changed by another version, not by hand."""

MAX_BYTES = 10_000_000
"""Longest file; ours have some tens of kilobytes."""

MAX_DEPTH = 200
"""Deepest nesting; ours is about ten."""

_BLOCKS = re.compile(rf"^(?: |- ?|\? ?|: ?){{{4 * MAX_DEPTH}}}", re.MULTILINE)
"""A line that is indented, or begins lists in lists, more often than so many levels need."""

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
    """Safe loader to which every unknown tag (Python's tuples, slices, enums, calls) is a plain list, dict or text."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys, which no launcher writes and which double a mapping with every line."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("it has a merge key (<<)")
        super().flatten_mapping(node)


def _plain(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_PlainLoader.add_multi_constructor("", _plain)


def params_file(folder: Path, part: str) -> Path:
    """Return the file of a part of :data:`PARTS` in a run folder."""
    return folder / "params" / f"{part}.yaml"


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the mapping in a YAML file as plain values: nothing is imported, called or constructed.

    Raises:
        OSError: If the file is missing or cannot be read.
        ValueError: If it holds no mapping.
    """
    return _parse_yaml(read_file(path, MAX_BYTES).decode("utf-8"))


def _parse_yaml(text: str) -> dict[str, Any]:
    if _BLOCKS.search(text):
        raise ValueError("nested too deeply")  # the parser's time grows with the square of the depth
    try:
        _check_depth(text)
        content = yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error) or "nested too deeply") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # a tag on what does not have its form
        raise ValueError(f"a value cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    try:
        _count(content, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return content


def _check_depth(text: str) -> None:
    """Refuse what nests deeper than any configuration, before it is put together: that would crash the process.

    Raises:
        ValueError: If it does.
        yaml.YAMLError: If it is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_PlainLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")


def _count(value: Any, before: int) -> int:
    """Count the entries of nested mappings and lists, one that is referred to twice twice.

    Raises:
        ValueError: If there are more than readers should have to walk through.
    """
    count = before + 1
    if count > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for entry in entries:
        count = _count(entry, count)
    return count


def read_config(folder: Path, problems: list[str]) -> FlatConfig | None:
    """Read both files of a run for a comparison with those of others.

    Args:
        folder: Run folder.
        problems: Receives one sentence per file that is missing or damaged.

    Returns:
        Both files flattened, without bookkeeping keys; None if either is unreadable (half a configuration would put
        runs together that differ).
    """
    merged: FlatConfig = {}
    complete = True
    for part in PARTS:
        file = params_file(folder, part)
        try:
            merged.update(_parse(part, _without_bookkeeping(read_file(file, MAX_BYTES).decode("utf-8"))))
        except FileNotFoundError:
            problems.append(f"params/{file.name} is missing.")
            complete = False
        except (OSError, ValueError) as error:
            problems.append(f"params/{file.name} is damaged ({reason(error)}).")
            complete = False
    return merged if complete else None


def plain(values: Any) -> dict[str, Any]:
    """Return settings as a run's files would give them back: tuples are lists, other objects what their tag holds.

    Args:
        values: Settings as dictionaries, lists and values.
    """
    return _parse_yaml(_as_yaml(values))


def changes(part: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that differ, without bookkeeping: key to the value before and now, None where there is none.

    Args:
        part: One of :data:`PARTS`, with which keys begin.
        before: Plain settings; those that are not known, too large or too deep to compare have no changes.
        now: Plain settings.
    """
    flat: list[FlatConfig] = [{}, {}]
    if not before:
        return {}
    try:
        for values, into in zip((before, now), flat, strict=True):
            _flatten(part, values, into)
    except (ValueError, RecursionError):
        return {}
    old, new = flat
    different = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return {key: [json.loads(known.get(key, "null")) for known in (old, new)] for key in different[:MAX_CHANGES]}


def write_params(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the configuration of a run into its folder, as Isaac Lab's launcher does but each file whole or not at all.

    Args:
        folder: The run folder.
        settings: Settings by part of :data:`PARTS`.

    Raises:
        OSError: If the disk is full or read-only.
    """
    for part, values in settings.items():
        file = params_file(folder, part)
        file.parent.mkdir(exist_ok=True)
        write_text(file, _as_yaml(values))


def _as_yaml(values: Any) -> str:
    return yaml.dump(values, default_flow_style=False, sort_keys=False)


def fingerprint(config: FlatConfig | None) -> str:
    """Return a short digest that is equal for runs of one configuration, 'unknown' without one."""
    if config is None:
        return "unknown"
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def differing_keys(configs: Sequence[FlatConfig | None]) -> list[str]:
    """Return the keys whose value is not the same in all known configurations, sorted, agent before env."""
    known = [config for config in configs if config is not None]
    keys = sorted({key for config in known for key in config})
    return [key for key in keys if len({config.get(key) for config in known}) > 1]


def _without_bookkeeping(text: str) -> str:
    """Drop one-line bookkeeping entries, so that the seeds of one configuration share one parse."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if not _is_bookkeeping_scalar(line))


def _is_bookkeeping_scalar(line: str) -> bool:
    key, separator, value = line.strip().partition(":")
    return bool(separator and value.strip()) and key in BOOKKEEPING


@functools.lru_cache(maxsize=256)
def _parse(part: str, text: str) -> FlatConfig:
    flat: FlatConfig = {}
    try:
        _flatten(part, _parse_yaml(text), flat)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return flat


def _flatten(prefix: str, value: Any, into: FlatConfig) -> None:
    if len(into) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    if isinstance(value, dict) and value:
        for key, child in value.items():
            if str(key) not in BOOKKEEPING:
                _flatten(f"{prefix}.{key}", child, into)
    elif isinstance(value, list) and any(isinstance(child, (dict, list)) for child in value):
        for index, child in enumerate(value):
            _flatten(f"{prefix}.{index}", child, into)
    else:
        into[prefix] = json.dumps(value, default=str)

# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A run folder is data: what it names may not be imported, called or written to, unless its user trusts it.

Isaac Lab imports and calls whatever a configuration names as ``package.module:name``, so the settings that a run was
started with are as powerful as a program. Those that come from a folder are looked through before they are applied;
what is typed on the command line is the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from cpo_rl.errors import UserError

_CODE = re.compile(r"\s*(lambda\b.*|(\{DIR\}|[A-Za-z_])[\w.\\]*:\s*[A-Za-z_].*)", re.DOTALL)
"""What Isaac Lab takes for the name of a function or class, or evaluates."""

_CODE_FIELD = re.compile(r"(.*_)?(class_name|class_type|class|func|fn|callable|strategy)")
"""Fields that name a function or class, also by a path with dots."""

_WRITING_FIELD = re.compile(r"(.*_)?(dir|save_to_mjcf|video_recorders)")
"""Fields that name a place that is written to."""

_ALGORITHM = "agent.algorithm.class_name"


def refuse_foreign(settings: Sequence[str], folder: Path) -> None:
    """Refuse settings of a run folder that name code or places to write to.

    Classes of rsl_rl and of this library are known, and algorithms of installed packages that register tasks, whose
    code runs in any case.

    Args:
        settings: The settings that the folder keeps.
        folder: The folder, for the message.

    Raises:
        UserError: Naming the first one.
    """
    for token in settings:
        path, _, text = token.partition("=")
        for field, value in _texts(path, text):
            if _is_known(field, value):
                continue
            last = field.rpartition(".")[2]
            if _CODE.fullmatch(value) or (_CODE_FIELD.fullmatch(last) and re.search(r"[.:]", value)):
                kind = "code that would be run"
            elif _WRITING_FIELD.fullmatch(last) and value.strip().lower() not in ("", "none", "null"):
                kind = "a place that would be written to"
            else:
                continue
            raise UserError(
                f"The run in {str(folder)!r} names {kind}, {f'{field}={value}'[:200]!r}; if you trust who made it, "
                "add --trust."
            )


def _texts(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield every text in a setting with its place: the whole, and each in a list or dictionary."""
    from cpo_lab.launch.resolution import read_value

    yield path, text.strip().strip("'\"")
    yield from _nested(path, read_value(text))


def _nested(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield path, str(key)
            yield from _nested(f"{path}.{key}", entry)
    elif isinstance(value, list | tuple | set):
        for entry in value:
            yield from _nested(path, entry)
    elif isinstance(value, str):
        yield path, value.strip()


def _is_known(field: str, value: str) -> bool:
    """Whether a text names an algorithm that may be imported."""
    module, _, name = value.partition(":")
    return field == _ALGORITHM and name.isidentifier() and module.split(".")[0] in known_packages()


def known_packages() -> set[str]:
    """Packages whose algorithms a run folder may name."""
    registering = {point.value.split(":")[0].split(".")[0] for point in metadata.entry_points(group="isaaclab.tasks")}
    return {"cpo_rl", "rsl_rl", "cpo_lab"} | registering - {"isaaclab_tasks"}

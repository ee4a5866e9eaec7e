# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings such as ``env.episode_length_s=5`` applied to a task's configurations, or refused in one sentence.

Isaac Lab's resolver sets any attribute that it is told to, so a mistyped name would be accepted and do nothing, and a
value that cannot be is found by an engine, which names no setting. Here every value is read once, compared with the
field's annotation (:mod:`cpo_lab.tasks.kinds`) and range (:mod:`cpo_lab.tasks.ranges`), and handed on in one spelling.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from cpo_lab.launch.settings import check_written
from cpo_lab.tasks.kinds import ANY, Kind, field_kind, refuse_unknown_code, told_kind
from cpo_lab.tasks.ranges import wrong
from cpo_rl.errors import UserError, suggestion

_MISSING = object()

_WORDS = {"true": True, "false": False, "none": None, "null": None}


# -- as values ---------------------------------------------------------------------------------------------------------


def read_value(text: str) -> Any:
    """Return the value that a setting's text means: Python's spelling, else Hydra's of lists and dictionaries.

    ``[256,128]``, ``(1,2)`` and ``'text'`` are Python's, ``[policy,critic]`` and ``{actor: [policy]}`` Hydra's,
    ``null`` and ``True`` either's; everything else is text.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ast.literal_eval(text)
    if text[:1] in ("[", "{"):
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        with contextlib.suppress(HydraException, ValueError, RecursionError):
            return OverridesParser.create().parse_override(f"x={text}").value()
    return text


# -- in configurations -------------------------------------------------------------------------------------------------


def apply_settings(task: str, agent_key: str, settings: Sequence[str], *, play_mode: bool = False) -> tuple[Any, Any]:
    """Make a task's configurations with Isaac Lab's resolver, refusing settings that name nothing or cannot be.

    Args:
        task: Gym id of the task.
        agent_key: Registration key of the agent.
        settings: Presets and settings.
        play_mode: Whether the environment's settings for playing replace those for training.

    Returns:
        Environment configuration and runner configuration.

    Raises:
        UserError: If a preset or a field is unknown, or a value is of the wrong kind or out of range.
    """
    from isaaclab_tasks.utils import resolve_task_config

    from cpo_lab.launch.algorithm import use_named_algorithm

    check_written(settings)  # those of a run folder too: Hydra ends the process at what it cannot read
    fields = [token for token in settings if token.startswith(("env.", "agent."))]
    try:
        with redirect_stdout(io.StringIO()):  # Isaac Lab prints which file it reads
            places = _presets_of(task, agent_key) if fields else {}
            named = [token for token in settings if token not in fields or _names_preset(token, places)]
            env_cfg, agent_cfg = resolve_task_config(task, agent_key, play_mode=play_mode, overrides=named)
    except UserError:
        raise
    except ValueError as error:
        # Isaac Lab reports unknown presets over several lines; the first one says what is wrong
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"{reason}; cpo-lab list --task {task} shows what there is.") from None
    fields = [token for token in fields if token not in named]
    refusal = vars(agent_cfg).get("refusal")
    if refusal:  # the chosen one of a task's agents has no settings that an ensemble could take
        raise UserError(refusal)
    use_named_algorithm(agent_cfg, _named_algorithm(fields))
    if fields:
        # chosen presets are objects of their classes, which the next configuration of this process holds as well
        env_cfg, agent_cfg = copy.deepcopy((env_cfg, agent_cfg))
    for token in fields:
        apply_setting(token, {"env": env_cfg, "agent": agent_cfg})
    return env_cfg, agent_cfg


def _named_algorithm(settings: Sequence[str]) -> str | None:
    """Return the class that settings name for the algorithm, None if they name none."""
    values = [text.strip("'\"") for name, _, text in (token.partition("=") for token in settings)
              if name == "agent.algorithm.class_name"]  # fmt: skip
    return values[-1] if values else None


def _presets_of(task: str, agent_key: str) -> dict[str, set[str]]:
    """Return what can be chosen by name at places of a task's configurations, such as ``env.sim.physics``."""
    from isaaclab_tasks.utils.hydra import collect_presets
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    keys = {"env": "env_cfg_entry_point", "agent": agent_key}
    return {
        path: {str(name) for name in names}
        for section, key in keys.items()
        for path, names in collect_presets(load_cfg_from_registry(task, key), section).items()
    }


def _names_preset(token: str, places: Mapping[str, set[str]]) -> bool:
    """Whether a setting chooses a preset.

    Raises:
        UserError: If it chooses the engine, which has a selector of its own.
    """
    path, _, text = token.partition("=")
    if text not in places.get(path, ()):
        return False
    if path == "env.sim.physics":
        raise UserError(f"Setting {token} leaves the rest of the task as it is for another engine; use physics={text}.")
    return True


@dataclasses.dataclass(frozen=True)
class _Place:
    """A field of a configuration, or an entry of one."""

    path: str
    """Where it is, such as ``env.sim.dt``."""

    value: Any
    """Its value before the settings."""

    owner: type | None
    """Class of the configuration that holds the field; None for the configuration of a section itself."""

    field: str
    """Name of the field."""

    kind: Kind
    """What it may hold."""

    holder: Any = None
    """The configuration, dictionary or list that it is in."""

    key: str = ""
    """Under which name or index."""

    def child(self, key: str) -> _Place:
        """Return a field or entry of it.

        Raises:
            UserError: If there is none of that name.
        """
        path, node = f"{self.path}.{key}", self.value
        if dataclasses.is_dataclass(node) and key in _children(node):
            value = getattr(node, key)
            kind = told_kind(field_kind(type(node), key), value)
            return _Place(path, value, type(node), key, kind, node, key)
        entry = _entry(node, key)
        if entry is _MISSING:
            raise UserError(f"Setting {path} names no field of {self.path}; {suggestion(key, _children(node))}")
        kind = told_kind(self.kind.part(key), entry)
        return _Place(path, entry, self.owner, self.field, kind, node, key)

    def put(self, value: Any) -> None:
        """Give it another value."""
        if isinstance(self.holder, dict):
            self.holder[self.key] = value
        elif isinstance(self.holder, list):
            self.holder[int(self.key)] = value
        elif isinstance(self.holder, tuple):
            whole = self.path.rpartition(".")[0]
            raise UserError(f"Setting {self.path} must be given as a whole, {whole}=[...].")
        else:
            setattr(self.holder, self.key, value)

    @property
    def is_group(self) -> bool:
        """Whether it holds configurations, so that a dictionary sets what it names and leaves the rest."""
        node = self.value
        entries = node.values() if isinstance(node, Mapping) else []
        return dataclasses.is_dataclass(node) or any(dataclasses.is_dataclass(entry) for entry in entries)


def apply_setting(token: str, sections: Mapping[str, Any]) -> None:
    """Check a setting and apply it; a dictionary sets what it names.

    Args:
        token: ``env.<path>=<value>`` or ``agent.<path>=<value>``.
        sections: The configurations by section; changed.

    Raises:
        UserError: If it names nothing, or its value is of another kind or out of range.
    """
    path, _, text = token.partition("=")
    section, *keys = path.split(".")
    place = _Place(section, sections[section], None, section, ANY)
    for key in keys:
        place = place.child(key)
    for leaf, value in list(_leaves(place, read_value(text), text)):
        leaf.put(_accepted(leaf, value))


def _leaves(place: _Place, value: Any, text: str) -> Iterator[tuple[_Place, Any]]:
    """Yield the fields that a setting gives values to, and the values."""
    if place.is_group and isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(place.child(str(key)), entry, str(entry))
    elif type(value) in (int, float) and not place.kind.holds(value) and place.kind.holds(text):
        yield place, text  # a number as a name
    elif type(value) is float and value.is_integer() and not place.kind.holds(value) and place.kind.holds(int(value)):
        yield place, int(value)  # 1e3
    else:
        yield place, value


def _accepted(place: _Place, value: Any) -> Any:
    """Return a value as its field takes it.

    Raises:
        UserError: If the field does not take it.
    """
    setting = f"Setting {place.path}={value if isinstance(value, str) else repr(value)}"
    if place.is_group and value is not None:
        names = [f"{place.path}.{name}" for name in _children(place.value)]
        raise UserError(f"{setting} must name fields of it, such as {', '.join(names[:3])}.")
    if place.owner is not None:
        rule = wrong(place.owner, place.field, place.kind, place.value, value)
        if rule is not None:
            raise UserError(f"{setting} must {rule}.")
    if place.kind.names_code and isinstance(value, str):
        from isaaclab.utils.string import ResolvableString

        refuse_unknown_code(setting, value)
        return ResolvableString(value)
    return tuple(value) if isinstance(place.value, tuple) and isinstance(value, list) else value


def _children(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        return [str(key) for key in node]
    if not dataclasses.is_dataclass(node):
        return []
    return [field.name for field in dataclasses.fields(node) if not field.name.startswith("_")]


def _entry(node: Any, key: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(key, _MISSING)
    if isinstance(node, list | tuple):
        return node[int(key)] if key.isdecimal() and int(key) < len(node) else _MISSING
    return _MISSING
